/**
 * The keys of matrixd's configuration file: one table for the check of a file, its messages and docs/configuration.md.
 * Names are those of the file; `MatrixdConfig` (config.ts) is what the program gets.
 */
import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import { MAX_NETWORKS, MAX_SLOTS } from '../src/base/limits.ts'
import { MiB, TiB } from '../src/base/units.ts'
import { type LogLevel, logLevels, type Subsystem, subsystems } from '../src/platform/index.ts'
import { isIscsiUrl } from '../src/san/index.ts'
import { failbackPolicies, severities } from '../src/services/index.ts'
import { admin } from './admin-config.ts'
import { replicate } from './replicate-schema.ts'
import { devices, services } from './services-schema.ts'
import { tlsKeys } from './tls-keys.ts'
import {
  address,
  addresses,
  client,
  duration,
  interfaceAddress,
  isPath,
  key,
  monitor,
  name,
  oneOf,
  path,
  size,
  text,
  whole,
} from './values.ts'

/** Shortest secret, characters: the mesh's keys are as strong as this. */
export const SECRET_MIN = 16
/** Exports of one node: each is a name in every gateway. */
export const MAX_EXPORTS = 1024
/** Local mounts of one node. */
export const MAX_MOUNTS = 256
/** Virtual hosts of one matrix. */
export const MAX_VIRTUAL_HOSTS = 64
/** Rules of the notifier. */
export const MAX_NOTIFY_RULES = 64
/** LUNs of one matrix. */
export const MAX_LUNS = 256

/** Where clients look for a port mapper. */
const PORTMAP_PORT = 111
const MAX_ID = 2 ** 32 - 2
const NOBODY = 65534

export const fenceAgents = ['kill', 'scsi-pr', 'script', 'lease'] as const
export type FenceAgentName = (typeof fenceAgents)[number]
export const portmapModes = ['auto', 'own', 'rpcbind', 'off'] as const
export type PortmapMode = (typeof portmapModes)[number]

const matrix = v.strictObject({
  name: name('Name of the matrix. It is written on its LUNs; a LUN of another matrix is refused.'),
  secret_file: v.optional(
    path(
      'File whose first line is the secret that all nodes share. Only its owner may be able to read it. Either this or `secret` is necessary.',
    ),
  ),
  secret: v.optional(
    text(
      'The secret itself, instead of `secret_file`. Then only the owner of this file may be able to read it.',
      `at least ${SECRET_MIN} characters`,
      (written) => written.length >= SECRET_MIN && written.length <= 4096,
    ),
  ),
})

const slot = whole(
  "The node's numbered place on the LUNs. It never changes, and never goes to another node while this one is a member. A filesystem is mounted by nodes whose slot is below its number of slots.",
  { min: 0, max: MAX_SLOTS - 1 },
)
const mesh = addresses(
  'Where the node listens for the others. With several networks a list, the preferred one first, in the same order for all nodes: when one network fails, the nodes go on over the next.',
  MAX_NETWORKS,
)

const node = v.strictObject({
  name: name('Name of this node: one of `[[nodes]]`, or a new one, with `slot` and `mesh`.'),
  slot: v.optional(
    whole('The slot of this node, when it is not among `[[nodes]]`. As there.', { min: 0, max: MAX_SLOTS - 1 }),
  ),
  mesh: v.optional(
    addresses('Where this node listens for the others, when it is not among `[[nodes]]`. As there.', MAX_NETWORKS),
  ),
  drills: v.optional(
    key(
      'Whether its network cable can be pulled for drills: as long as there is a file `network.cut` in state_dir, the mesh is silent.',
      'true or false',
      (written) => (typeof written === 'boolean' ? written : undefined),
    ),
  ),
  state_dir: path(
    'Folder for the local image of the metadata. It is a cache: it may be deleted while the node is down. Made when it is not there.',
  ),
})

const nodes = v.pipe(
  v.array(
    v.strictObject({
      name: name('Name of the node.'),
      slot,
      mesh,
    }),
  ),
  v.maxLength(MAX_SLOTS, `at most ${MAX_SLOTS} nodes`),
)

function isLunUrl(written: string): boolean {
  if (isIscsiUrl(written)) return true
  const [, scheme, rest] = /^(file|block):(.*)$/s.exec(written) ?? []
  return rest !== undefined && isPath(rest) && (scheme === 'file' || isAbsolute(rest))
}

const luns = v.pipe(
  v.array(
    v.strictObject({
      url: text(
        'Where this node finds the LUN. The order does not matter and may differ between nodes: LUNs are known by their labels.',
        '"file:" and a path (a relative one is relative to this file), "block:" and the absolute path of a device, such as "block:/dev/disk/by-id/wwn-0x5000c500a1b2c3d4", or of several that lead to it, with commas between ([how](operating.md#luns-that-are-block-devices)), or iscsi://HOST[:3260]/TARGET/LUN with options ([how](operating.md#luns-of-an-iscsi-target))',
        isLunUrl,
      ),
    }),
  ),
  v.minLength(1, 'at least one LUN'),
  v.maxLength(MAX_LUNS, `at most ${MAX_LUNS} LUNs`),
)

const fencing = v.strictObject({
  agents: v.optional(
    v.pipe(
      v.array(
        oneOf(
          'How a failed node is cut off, tried in this order. `kill`: SIGKILL to exactly its process, for nodes on one host. `scsi-pr`: the LUNs themselves refuse its writes, by SCSI persistent reservations; then it is an agent of all nodes ([how](operating.md#fencing-by-reservations)). `script`: a program of yours cuts it off, at its power or at the storage ([how](operating.md#fencing-by-a-script)). `lease`: wait until its disk lease is surely over.',
          fenceAgents,
        ),
      ),
      v.minLength(1, 'at least one agent: without one no lock of a failed node is ever freed'),
    ),
    ['kill', 'lease'],
  ),
  script: v.optional(
    text(
      'The program of agent `script`, and necessary with it. Nobody but its owner may be able to write to it.',
      'an absolute path',
      (written) => isPath(written) && isAbsolute(written),
    ),
  ),
  script_timeout: v.optional(
    duration('A script that takes longer is killed, and counts as unable. Default: 10s.', { min: '100ms', max: '10m' }),
  ),
  script_dry_run: v.optional(
    key(
      'Whether the script knows the argument `--dry-run`: then `matrix fence test NODE --dry-run` runs it with it. Default: false.',
      'true or false',
      (written) => (typeof written === 'boolean' ? written : undefined),
    ),
  ),
})

const timings = v.strictObject({
  io_timeout: v.optional(
    duration(
      'Longest time a healthy LUN takes for one I/O; leases, heartbeats and suspicion derive from it. The same on all nodes.',
      { min: '100ms', max: '60s' },
    ),
    '2s',
  ),
})

const nfs = v.strictObject({
  listen: address(
    'Where NFS version 3 and its helpers (MOUNT, NLM, NSM) are served: one port, TCP and UDP. With port 2049 and a port mapper, clients need name no port.',
  ),
  udp: v.optional(
    key('Whether NFS itself is served by UDP, too. Its helpers always are.', 'true or false', (written) =>
      typeof written === 'boolean' ? written : undefined,
    ),
    false,
  ),
  portmap: v.optional(
    oneOf(
      'How clients find the port. `own`: a port mapper of our own at `portmap_port` of the same address. `rpcbind`: the one of this machine is told. `auto`: the first of these that can be; when none can, a line in the log says so. `off`: not at all ([more](nfs.md#port-mapper)).',
      portmapModes,
    ),
    'auto',
  ),
  portmap_port: v.optional(
    whole('Port of our own port mapper, TCP and UDP. Clients ask at 111.', { min: 1, max: 65_535 }),
    PORTMAP_PORT,
  ),
  groups: v.optional(
    oneOf(
      "Who says which groups a user is in. `client`: its requests do, at most 16 (AUTH_SYS). `server`: this node, by `id -G`, and the client's list is not looked at ([more](nfs.md#users-and-groups)).",
      ['client', 'server'],
    ),
    'client',
  ),
  tls_certificate: v.optional(
    path(
      'Certificate of this node for RPC-with-TLS, and those between it and its CA (PEM). With it and `tls_key`, clients may use TLS on the same port. Read again by `matrix export reload`.',
    ),
  ),
  tls_key: v.optional(path('Its private key (PEM). Only its owner may be able to read it.')),
  tls_client_ca: v.optional(
    path('Certificates of the CA (PEM) whose certificates clients show where an export says `tls = "mutual"`.'),
  ),
})

function isUrl(written: string): boolean {
  return /^https?:\/\/[^\s]{1,1000}$/.test(written)
}
function isShort(written: string): boolean {
  return written.length >= 1 && written.length <= 256
}

const http = v.strictObject({
  listen: address('Where HTTP and WebDAV are served.'),
  uid: v.optional(whole('User id that requests act as.', { min: 0, max: MAX_ID }), NOBODY),
  gid: v.optional(whole('Group id that requests act as.', { min: 0, max: MAX_ID }), NOBODY),
  ...tlsKeys,
  users: v.optional(
    path(
      'File with the users that may log in, as `matrix user` writes it ([how](http.md#who-may)). Without it everybody is anonymous. Taken anew when it changes.',
    ),
  ),
  insecure_logins: v.optional(
    key(
      'Whether passwords and tokens are taken over plain HTTP from other machines, too: only behind a proxy that speaks TLS.',
      'true or false',
      (written) => (typeof written === 'boolean' ? written : undefined),
    ),
    false,
  ),
  cors_origins: v.optional(
    v.array(
      text(
        'Origins whose pages may use this gateway from a browser (CORS), or "*" for all of them, without credentials then.',
        '"*", or a scheme and host such as "https://app.example"',
        (written) => /^(\*|https?:\/\/[^\s/]{1,253})$/.test(written),
      ),
    ),
    [],
  ),
  bearer_issuer: v.optional(
    text(
      'Identity provider whose tokens are taken (OpenID Connect): their `iss`. Together with `bearer_audience` and `bearer_keys`.',
      'a URL',
      isUrl,
    ),
  ),
  bearer_audience: v.optional(text('Their `aud`: what the provider calls this matrix.', '1…256 characters', isShort)),
  bearer_keys: v.optional(
    path("File with the provider's public keys (a JWK Set; RS256, ES256 or EdDSA). Taken anew when it changes."),
  ),
  bearer_claim: v.optional(
    text("The claim with the user's name, who has to be in `users`, too.", '1…256 characters', isShort),
    'preferred_username',
  ),
})

const exports_ = v.pipe(
  v.array(
    v.strictObject({
      path: text(
        'Name clients use: NFS mounts this path; HTTP serves it below `/` when it is one name.',
        '"/" and a name of 1…32 characters a-z, 0-9, - and _, such as "/home", or up to eight of them, such as "/home/projects"',
        (written) => /^(\/[a-z0-9][a-z0-9_-]{0,31}){1,8}$/.test(written),
      ),
      filesystem: name('Filesystem of the matrix that is served under this path.'),
      directory: v.optional(
        text(
          'Part of the filesystem that is served, and nothing above it, by NFS only ([how far that holds](nfs.md#a-part-of-a-filesystem)). Default: all of it.',
          'a path from the root of the filesystem, such as "/projects"',
          (written) => /^(\/(?!\.{1,2}(\/|$))[^/\0]{1,255})+$/.test(written) && written.length <= 1024,
        ),
      ),
      clients: v.optional(
        v.pipe(v.array(client('Who may mount.')), v.minLength(1, 'at least one client, or leave the export out')),
        ['127.0.0.0/8', '::1'],
      ),
      privileged_ports: v.optional(
        key(
          'Whether NFS clients need a port below 1024, which their system gives to root alone. Windows has none to give.',
          'true or false',
          (written) => (typeof written === 'boolean' ? written : undefined),
        ),
        false,
      ),
      tls: v.optional(
        oneOf(
          'What an NFS client needs to use this export. `optional`: nothing; it may use TLS. `required`: TLS. `mutual`: TLS, with a certificate of `nfs.tls_client_ca` ([more](nfs.md#tls)).',
          ['optional', 'required', 'mutual'],
        ),
        'optional',
      ),
      access: v.optional(oneOf('`ro`: nobody may change anything through this export.', ['rw', 'ro']), 'rw'),
      anonymous: v.optional(
        oneOf(
          'What those may do over HTTP who do not log in: all that `uid` and `gid` of `[http]` may, only read, or nothing. Default: `rw` without `users`, `off` with them.',
          ['rw', 'ro', 'off'],
        ),
      ),
      cache_control: v.optional(
        text(
          'What `Cache-Control` says of files that are read over HTTP: for how long browsers and caches may use them without asking whether they have changed. `no-cache`: they ask each time.',
          'directives of RFC 9111 with commas between, such as "public, max-age=3600"',
          (written) =>
            written.length <= 256 &&
            /^[a-z][a-z-]*(=(\d+|"[a-z, -]*"))?(, *[a-z][a-z-]*(=(\d+|"[a-z, -]*"))?)*$/i.test(written),
        ),
        'no-cache',
      ),
      squash: v.optional(
        oneOf('Whose user ids are replaced by `anon_uid` and `anon_gid`: those of root, of all, of none.', [
          'root',
          'all',
          'none',
        ]),
        'root',
      ),
      anon_uid: v.optional(
        whole('User id of the nobody that squashed callers become.', { min: 0, max: MAX_ID }),
        NOBODY,
      ),
      anon_gid: v.optional(whole('Group id of the same.', { min: 0, max: MAX_ID }), NOBODY),
    }),
  ),
  v.maxLength(MAX_EXPORTS, `at most ${MAX_EXPORTS} exports`),
)

const mounts = v.pipe(
  v.array(
    v.strictObject({
      filesystem: name('Filesystem of the matrix that is mounted on this machine (Linux, as root; docs/mount.md).'),
      directory: path('Where: a directory that exists. What a node that died left mounted there is cleared first.'),
    }),
  ),
  v.maxLength(MAX_MOUNTS, `at most ${MAX_MOUNTS} mounts`),
)

const virtualHosts = v.pipe(
  v.array(
    v.strictObject({
      name: name('Name of the virtual host ([what it is](services.md#virtual-hosts)).'),
      address: interfaceAddress(
        'The address that clients use, with the bits of its network. It belongs to the matrix: no node has it otherwise.',
      ),
      interface: text(
        'Network interface of this node that bears the address. It may be another one at each node.',
        'the name of a network interface, such as "eth0"',
        (written) => /^[^\s/]{1,15}$/.test(written),
      ),
      nodes: v.pipe(
        v.array(name('Nodes that may bear it: the primary, then its backups in order. The same in all files.')),
        v.minLength(1, 'at least one node'),
        v.maxLength(MAX_SLOTS, `at most ${MAX_SLOTS} nodes`),
      ),
      policy: v.optional(
        oneOf(
          'Whether it goes back to an earlier node of the list once that one is well again for 10 s. The same in all files.',
          failbackPolicies,
        ),
        'AUTOFAILBACK',
      ),
      monitors: v.optional(
        v.array(
          monitor(
            'What has to answer at a node, so that it may bear the address: its own NFS (procedure NULL) or HTTP, or any other service of the machine that takes TCP connections. Default: `nfs` where this node serves NFS, otherwise `http`.',
          ),
        ),
      ),
      probe_interval: v.optional(duration('Every monitor probes so often.', { min: '100ms', max: '10m' }), '1s'),
      probe_timeout: v.optional(
        duration('A probe that is not answered for so long has failed.', { min: '50ms', max: '1m' }),
        '1s',
      ),
      probe_retries: v.optional(
        whole('So many further probes fail, one after another, before the service counts as failed.', {
          min: 0,
          max: 100,
        }),
        2,
      ),
    }),
  ),
  v.maxLength(MAX_VIRTUAL_HOSTS, `at most ${MAX_VIRTUAL_HOSTS} virtual hosts`),
)

const addressProgram = v.strictObject({
  script: v.optional(
    text(
      'A program that adds and removes the addresses of virtual hosts at this node ([how](services.md#virtual-hosts-on-other-systems)); necessary on systems other than Linux. Nobody but its owner may be able to write to it. Default: `ip` and `arping`.',
      'an absolute path',
      (written) => isPath(written) && isAbsolute(written),
    ),
  ),
  script_timeout: v.optional(duration('A script that takes longer is killed.', { min: '100ms', max: '1m' }), '5s'),
})

const patterns = (about: string, allowed: string, fits: RegExp) =>
  v.pipe(
    v.array(text(about, allowed, (written) => fits.test(written))),
    v.minLength(1, 'at least one, or leave it out'),
    v.maxLength(64, 'at most 64'),
  )
function isMailAddress(written: string): boolean {
  return /^[^\s@<>,;"]{1,64}@[^\s@<>,;"]{1,255}$/.test(written)
}

const notify = v.pipe(
  v.array(
    v.strictObject({
      name: name('Name of the rule ([how rules work](notifier.md)). It is part of what a target knows a delivery by.'),
      events: v.optional(
        patterns(
          'Kinds of events ([which there are](notifier.md#events)). Default: all.',
          'kinds such as "node-down"; * stands for any characters, as in "virtual-host-*"',
          /^[a-z*-]{1,64}$/,
        ),
        ['*'],
      ),
      objects: v.optional(
        patterns(
          'What they have happened to. Default: anything.',
          'TYPE:NAME such as "node:n2"; * stands for any characters, as in "service:*"',
          /^(\*|[a-z*-]{1,32}:[^\s]{1,128})$/,
        ),
        ['*'],
      ),
      severity: v.optional(oneOf('The least severe events that it goes by.', severities), 'info'),
      script: v.optional(
        text(
          'A program that is run for each event. Nobody but its owner may be able to write to it. Exactly one of `script`, `webhook`, `webhook_file` and `mail_to` is necessary.',
          'an absolute path',
          (written) => isPath(written) && isAbsolute(written),
        ),
      ),
      webhook: v.optional(text('A URL that each event is posted to, as JSON.', 'a URL', isUrl)),
      webhook_file: v.optional(
        path(
          'File whose first line is that URL, when whoever knows it may post. Only its owner may be able to read it.',
        ),
      ),
      webhook_token_file: v.optional(
        path(
          'File whose first line is a token that is sent to the URL (`Authorization: Bearer`). Only its owner may be able to read it.',
        ),
      ),
      webhook_ca: v.optional(path('Certificates to trust there instead of those of the system (PEM).')),
      mail_to: v.optional(
        v.pipe(
          v.array(
            text(
              'Who gets a mail for each event, by way of `[mail]`.',
              'an address such as "ops@example.org"',
              isMailAddress,
            ),
          ),
          v.minLength(1, 'at least one address'),
          v.maxLength(32, 'at most 32 addresses'),
        ),
      ),
      timeout: v.optional(duration('An attempt that takes longer has failed.', { min: '100ms', max: '10m' }), '30s'),
      retries: v.optional(
        whole('So often it is tried again before the event is put on the list of dead deliveries.', {
          min: 0,
          max: 1000,
        }),
        12,
      ),
      retry_after: v.optional(
        duration('Pause before the first of these; twice as long before each further one, up to five minutes.', {
          min: '10ms',
          max: '5m',
        }),
        '1s',
      ),
    }),
  ),
  v.maxLength(MAX_NOTIFY_RULES, `at most ${MAX_NOTIFY_RULES} rules`),
)

const mail = v.strictObject({
  server: address('The mail server (SMTP) that takes the mails of `[[notify]]`, such as "smtp.example.org:587".'),
  security: v.optional(
    oneOf(
      '`starttls`: TLS is begun on the connection, or nothing is sent. `tls`: from the first byte. `none`: in the clear.',
      ['starttls', 'tls', 'none'],
    ),
    'starttls',
  ),
  from: text('Sender of the mails.', 'an address such as "matrix@example.org"', isMailAddress),
  user: v.optional(text('Who logs in there. Together with `password_file`.', '1…256 characters', isShort)),
  password_file: v.optional(path('File with the password in its first line. Only its owner may be able to read it.')),
  ca: v.optional(path('Certificates to trust instead of those of the system (PEM).')),
})

const cache = v.strictObject({
  data: v.optional(
    size('Memory for cached file data. Dirty data counts; when half of it is dirty, writers wait.', {
      min: 16 * MiB,
      max: TiB,
    }),
    '256MiB',
  ),
})

const log = v.strictObject({
  level: v.optional(oneOf('Least severe lines that are written to standard error, as JSON.', logLevels), 'info'),
  levels: v.optional(
    key(
      `The same for lines of some parts of the node. They can be changed without a restart, too: \`matrix log level\`.`,
      `a table of ${subsystems.map((each) => `"${each}"`).join(', ')}, each with a level, such as { nfs = "debug" }`,
      levelsOf,
    ),
    {},
  ),
})

function levelsOf(written: unknown): Partial<Record<Subsystem, LogLevel>> | undefined {
  const table = v.safeParse(v.record(v.picklist(subsystems), v.picklist(logLevels)), written)
  return table.success ? table.output : undefined
}

/** The whole file. */
export const fileSchema = v.strictObject({
  matrix,
  node,
  nodes: v.optional(nodes, []),
  luns,
  fencing: v.optional(fencing, {}),
  timings: v.optional(timings, {}),
  nfs: v.optional(nfs),
  http: v.optional(http),
  admin: v.optional(admin),
  exports: v.optional(exports_, []),
  mounts: v.optional(mounts, []),
  virtual_hosts: v.optional(virtualHosts, []),
  services: v.optional(services, []),
  devices: v.optional(devices, []),
  addresses: v.optional(addressProgram, {}),
  notify: v.optional(notify, []),
  mail: v.optional(mail),
  replicate: v.optional(replicate, []),
  cache: v.optional(cache, {}),
  log: v.optional(log, {}),
})

export type ConfigFile = v.InferOutput<typeof fileSchema>
