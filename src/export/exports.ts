/**
 * Exports: which filesystem is served under which path, to which clients, and as whom. The configuration builds them with
 * `makeExport`; several exports may share a path, then the first that admits the client counts.
 */
import { crc32c } from '../base/crc32c.ts'
import { MatrixError } from '../base/errors.ts'
import type { MatrixFs } from '../metadata/index.ts'
import { type AddressRange, inRange, parseRange } from './addresses.ts'

/** Whose requests are made in the name of the anonymous user: root's, nobody's, everybody's. */
export type Squash = 'root_squash' | 'no_root_squash' | 'all_squash'

/** An export as the configuration states it. */
export type ExportOptions = {
  /** Absolute, without a trailing slash: `/home`. */
  readonly path: string
  readonly fs: MatrixFs
  /** Addresses, address/prefix-length, or `*`; IPv4 and IPv6. At least one. */
  readonly clients: readonly string[]
  /** Default 'rw'. */
  readonly access?: 'ro' | 'rw'
  /** Default 'root_squash'. */
  readonly squash?: Squash
  /** Numeric ids of the anonymous user; default 65534 each. */
  readonly anonUid?: number
  readonly anonGid?: number
}

export type Export = {
  readonly path: string
  /** In handles: the same on every node, because it is made of the path alone. Never 0. */
  readonly id: number
  readonly fs: MatrixFs
  readonly clients: readonly string[]
  readonly ranges: readonly AddressRange[]
  readonly access: 'ro' | 'rw'
  readonly squash: Squash
  readonly anonUid: number
  readonly anonGid: number
}

const NOBODY = 65534
const ID_MAX = 2 ** 32 - 1

/** Checks and completes the configuration of an export. Throws MatrixError 'config' that names what is wrong. */
export function makeExport(options: ExportOptions): Export {
  const { path, fs, clients, access = 'rw', squash = 'root_squash', anonUid = NOBODY, anonGid = NOBODY } = options
  if (!/^(\/[^/\0]+)+$/.test(path) || path.split('/').some((part) => part === '.' || part === '..')) {
    throw new MatrixError('config', `export path '${path}': expected an absolute path such as '/home'`)
  }
  if (clients.length === 0) throw new MatrixError('config', `export ${path} admits nobody: name its clients, or '*'`)
  for (const id of [anonUid, anonGid]) {
    if (!Number.isInteger(id) || id < 0 || id > ID_MAX) {
      throw new MatrixError('config', `export ${path}: anonymous id ${id} is not between 0 and ${ID_MAX}`)
    }
  }
  return {
    path,
    id: crc32c(Buffer.from(path, 'utf8')) || 1,
    fs,
    clients,
    ranges: clients.map(parseRange),
    access,
    squash,
    anonUid,
    anonGid,
  }
}

/** True when `address` (of `parseAddress`) is one of the export's clients. */
export function admits(exported: Export, address: Uint8Array): boolean {
  return exported.ranges.some((range) => inRange(address, range))
}

/** What a client may mount under a path: the export and the names below it, or why not. */
export type Match =
  | { readonly kind: 'granted'; readonly exported: Export; readonly below: readonly string[] }
  | { readonly kind: 'refused' }
  | { readonly kind: 'absent' }

/** Finds the export with the longest path that holds `path` (a byte string) and admits `address`. */
export function match(exports: readonly Export[], path: string, address: Uint8Array): Match {
  const wanted = path.split('/').filter((part) => part !== '')
  let best: Export | undefined
  let bestDepth = -1
  let known = false
  for (const exported of exports) {
    // names on the wire are byte strings, a configured path is text: compare bytes
    const parts = Buffer.from(exported.path, 'utf8').toString('latin1').split('/').slice(1)
    if (parts.length > wanted.length || parts.some((part, index) => part !== wanted[index])) continue
    known = true
    if (parts.length > bestDepth && admits(exported, address)) {
      best = exported
      bestDepth = parts.length
    }
  }
  if (best) return { kind: 'granted', exported: best, below: wanted.slice(bestDepth) }
  return { kind: known ? 'refused' : 'absent' }
}
