/** The configuration of `matrix target`: a TOML file, of which docs/iscsi-target.md shows a sample. Paths are relative to the file. */
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import { type ConfigFiles, realFiles } from './files.ts'
import { failure, parseToml, readText } from './load.ts'
import { explain } from './problems.ts'
import { addresses, key, oneOf, path, size, text, whole } from './values.ts'

const MAX_PORTALS = 16
/** RFC 7143, 9.2.1: 96 bits. */
export const CHAP_SECRET_MIN = 12

const user = (about: string) =>
  v.optional(text(about, '1…255 characters', (written) => written.length > 0 && written.length < 256))
const yes = (about: string) =>
  v.optional(key(about, 'true or false', (written) => (typeof written === 'boolean' ? written : undefined)))

const schema = v.strictObject({
  name: text('Name of the target.', 'a name that begins with iqn., eui. or naa.', (written) =>
    /^(?:iqn\.|eui\.|naa\.)[a-z0-9.:_-]{1,219}$/.test(written),
  ),
  portals: addresses('Where it listens.', MAX_PORTALS),
  portal_groups: v.optional(oneOf('Whether each portal is a port of its own, or one has them all.', ['each', 'one'])),
  control: v.optional(path('Its control socket; left out, `control.sock` beside this file.')),
  user: user('Of initiators, when they have to prove who they are (CHAP).'),
  secret_file: v.optional(path('File whose first line is their secret.')),
  target_user: user('Of the target, when initiators ask it for a proof.'),
  target_secret_file: v.optional(path('File whose first line is its secret.')),
  luns: v.array(
    v.strictObject({
      number: whole('Its number.', { min: 0, max: 16_383 }),
      path: path('The file that holds its blocks. Beside it lies one with `.reservations` behind its name.'),
      size: v.optional(
        size('Its file is made with this size, sparse, when there is none, and grown to it.', {
          min: 1024 * 1024,
          max: 2 ** 50,
        }),
      ),
      block_size: v.optional(
        key('Bytes of a block.', '512 or 4096', (written) =>
          written === 512 || written === 4096 ? written : undefined,
        ),
      ),
      cache: v.optional(
        oneOf('Its write cache: that of the operating system, or one of its own that a power loss empties.', [
          'host',
          'volatile',
        ]),
      ),
      sync: yes('Durable writes wait for the disk of this machine.'),
      read_only: yes('It is write-protected.'),
      serial: v.optional(
        text('Its serial number; left out, `LUN` and its number.', '1…32 letters and digits', (written) =>
          /^[A-Za-z0-9]{1,32}$/.test(written),
        ),
      ),
    }),
  ),
})

export type TargetConfig = {
  readonly name: string
  readonly portals: readonly { readonly host: string; readonly port: number }[]
  readonly portalGroups: 'each' | 'one'
  readonly control: string
  readonly chap?: {
    readonly user: string
    readonly secretFile: string
    readonly target?: { readonly user: string; readonly secretFile: string }
  }
  readonly luns: readonly {
    readonly number: number
    readonly path: string
    readonly size: number | undefined
    readonly blockSize: number
    readonly cache: 'host' | 'volatile'
    readonly sync: boolean
    readonly isReadOnly: boolean
    readonly serial: string
  }[]
}

/** Throws MatrixError 'config'; its message names the file and has a line for each problem. */
export function loadTargetConfig(written: string, files: ConfigFiles = realFiles): TargetConfig {
  const file = resolve(written)
  const result = v.safeParse(schema, parseToml(file, readText(file, files)))
  if (!result.success)
    throw failure(
      file,
      result.issues.map((issue) => explain(schema, issue)),
    )
  const found = result.output
  const problems = conflicts(found)
  if (problems.length > 0) throw failure(file, problems)
  const place = (relative: string): string => resolve(dirname(file), relative)
  const { user, secret_file, target_user, target_secret_file } = found
  const target = target_user && target_secret_file && { user: target_user, secretFile: place(target_secret_file) }
  return {
    name: found.name,
    portals: found.portals,
    portalGroups: found.portal_groups ?? 'each',
    control: place(found.control ?? 'control.sock'),
    ...(user && secret_file && { chap: { user, secretFile: place(secret_file), ...(target && { target }) } }),
    luns: found.luns.map((lun) => ({
      number: lun.number,
      path: place(lun.path),
      size: lun.size,
      blockSize: lun.block_size ?? 512,
      cache: lun.cache ?? 'host',
      sync: lun.sync ?? true,
      isReadOnly: lun.read_only ?? false,
      serial: lun.serial ?? `LUN${lun.number}`,
    })),
  }
}

function conflicts(found: v.InferOutput<typeof schema>): string[] {
  const problems: string[] = []
  const twice = (what: string, values: readonly unknown[]): void => {
    const again = values.find((value, i) => values.indexOf(value) !== i)
    if (again !== undefined) problems.push(`luns: ${what} ${again} is there twice; allowed are different ones`)
  }
  twice(
    'number',
    found.luns.map(({ number }) => number),
  )
  twice(
    'path',
    found.luns.map((lun) => lun.path),
  )
  if (found.luns.length === 0) problems.push('luns: there is none; allowed is at least one')
  const { user, secret_file, target_user, target_secret_file } = found
  if ((user === undefined) !== (secret_file === undefined))
    problems.push('user, secret_file: allowed are both, or none')
  if ((target_user === undefined) !== (target_secret_file === undefined))
    problems.push('target_user, target_secret_file: allowed are both, or none')
  if (target_user !== undefined && user === undefined) problems.push('target_user: needs user and secret_file')
  return problems
}
