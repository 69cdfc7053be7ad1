/** The keys of `[[services]]` and `[[devices]]`: what is looked after for the sake of virtual hosts (docs/services.md). */
import { isIP } from 'node:net'
import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import type { PeerAddress } from '../src/platform/transport.ts'
import { deviceKinds, recoveryPolicies, serviceKinds } from '../src/services/index.ts'
import { address, duration, isPath, key, name, oneOf, parseAddress, text, whole } from './values.ts'

/** Services and devices of one node, each. */
export const MAX_SERVICES = 256
const MAX_WEIGHT = 1000

function program(about: string) {
  return text(
    `${about} It is run with the action (\`start\`, \`stop\`, \`recover\`, \`probe\`) as its one argument; nobody but its owner may be able to write to it.`,
    'an absolute path',
    (written) => isPath(written) && isAbsolute(written),
  )
}

const patience = {
  probe_interval: v.optional(duration('It is probed so often.', { min: '100ms', max: '10m' }), '1s'),
  probe_timeout: v.optional(
    duration('A probe that is not answered for so long has failed.', { min: '50ms', max: '1m' }),
    '1s',
  ),
  probe_retries: v.optional(
    whole('So many further probes fail, one after another, before it counts as failed.', { min: 0, max: 100 }),
    2,
  ),
  recover: v.optional(
    program('A program that repairs it at this node; only when that does not help it counts as failed.'),
  ),
  restarts: v.optional(
    whole('So often within five minutes it is repaired, before it counts as failed.', { min: 0, max: 100 }),
    1,
  ),
  script_timeout: v.optional(
    duration('A program that takes longer is killed with all that it has started.', { min: '100ms', max: '1m' }),
    '10s',
  ),
}

const hosts = (about: string) =>
  v.pipe(v.array(name(about)), v.minLength(1, 'at least one virtual host'), v.maxLength(64, 'at most 64 virtual hosts'))

const query = text(
  'Of kind `dns`: a name that the server knows, or may look for.',
  'a name of the DNS, such as "example.org"',
  (written) => written.length <= 253 && /^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+$/.test(written),
)

export const services = v.pipe(
  v.array(
    v.strictObject({
      name: name('Name of the service ([what it is](services.md#services)).'),
      virtual_hosts: hosts('Virtual hosts for whose place it counts; exactly one for an application.'),
      kind: oneOf(
        'How it is probed: by its protocol ([each of them](services.md#probes)), by a connection alone (`tcp`), or by a program (`script`).',
        serviceKinds,
      ),
      at: v.optional(
        address(
          'Where this node serves it. Default for `nfs` and `http`: where matrixd itself does. Not for `script`.',
        ),
      ),
      path: v.optional(
        text('Of kinds `http`, `https` and `webdav`: what is asked for.', 'a path, such as "/health"', (written) =>
          /^\/[\x21-\x7e]{0,1000}$/.test(written),
        ),
      ),
      query: v.optional(query),
      script: v.optional(program('Of kind `script`: the service is well while this exits with 0.')),
      start: v.optional(
        program(
          'Makes it an application: it is started where its virtual host is. The program ends once it serves, and does no harm when it runs already.',
        ),
      ),
      stop: v.optional(
        program(
          'Of an application, and necessary with `start`: stops it when its virtual host goes, and at the start of matrixd; exits with 0 when nothing runs.',
        ),
      ),
      start_before: v.optional(
        key(
          'Whether an application is started before the address comes to the node, and not once it is served there.',
          'true or false',
          (written) => (typeof written === 'boolean' ? written : undefined),
        ),
        false,
      ),
      policy: v.optional(
        oneOf(
          'What a failure means that could not be repaired here. `AUTORECOVER`: it counts against this node until the service is well again. `NOAUTORECOVER`: until somebody says so (`matrix service clear`). `NOFAILOVER`: no virtual host moves for it.',
          recoveryPolicies,
        ),
        'AUTORECOVER',
      ),
      weight: v.optional(
        whole('How much its failure counts: the node with the smallest sum wins.', { min: 1, max: MAX_WEIGHT }),
        1,
      ),
      recover_after: v.optional(
        duration(
          'With AUTORECOVER, an application that has failed at this node, and moved, may be tried here again after so long.',
          { min: '1s', max: '24h' },
        ),
        '5m',
      ),
      ...patience,
    }),
  ),
  v.maxLength(MAX_SERVICES, `at most ${MAX_SERVICES} services`),
)

export const devices = v.pipe(
  v.array(
    v.strictObject({
      name: name('Name of the device ([what it is](services.md#devices)).'),
      virtual_hosts: v.optional(
        hosts('Virtual hosts that need it: a node where it fails is no place for them. Default: all of this file.'),
      ),
      kind: oneOf(
        'What it is: a `disk`, directory or file of this node that can be read; a `lun` or `filesystem` of the matrix that this node can use; a `gateway` that answers; or whatever a `script` says.',
        deviceKinds,
      ),
      path: v.optional(
        text('Of kind `disk`: what is read.', 'an absolute path', (written) => isPath(written) && isAbsolute(written)),
      ),
      lun: v.optional(name('Of kind `lun`: its name.')),
      filesystem: v.optional(name('Of kind `filesystem`: its name.')),
      gateway: v.optional(
        key(
          'Of kind `gateway`: its address, which is sent an ICMP echo (by `ping`); with a port, a TCP connection is made.',
          'an IP address, or one with a port, such as "10.0.0.1" or "10.0.0.1:80"',
          (written): { readonly host: string; readonly port?: number } | undefined => {
            if (typeof written !== 'string') return undefined
            return isIP(written) === 0 ? withPort(parseAddress(written)) : { host: written }
          },
        ),
      ),
      script: v.optional(program('Of kind `script`: the device is well while this exits with 0.')),
      policy: v.optional(
        oneOf('What a failure means that could not be repaired here, as for services.', recoveryPolicies),
        'AUTORECOVER',
      ),
      ...patience,
    }),
  ),
  v.maxLength(MAX_SERVICES, `at most ${MAX_SERVICES} devices`),
)

function withPort(at: PeerAddress | undefined): PeerAddress | undefined {
  return at && isIP(at.host) !== 0 ? at : undefined
}
