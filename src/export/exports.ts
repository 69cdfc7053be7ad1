/**
 * Exports: which filesystem is served under which path, to which clients, and as whom. The configuration builds them with
 * `makeExport`; several exports may share a path, then the first that admits the client counts.
 *
 * An export with a `directory` serves that part of its filesystem, and nothing above it: its handles are sealed (handles.ts), there is no way up from its
 * root, and a directory that is moved out of it loses its way up. What a client holds of an object stays good when the object is moved
 * out, and a file with another name outside is the same file: as with every server whose handles name objects and not paths.
 */
import { hkdfSync } from 'node:crypto'
import { crc32c } from '../base/crc32c.ts'
import { MatrixError } from '../base/errors.ts'
import { isHostPattern } from '../base/host-pattern.ts'
import { type Ino, ROOT_INO } from '../base/ids.ts'
import type { MatrixFs } from '../metadata/index.ts'
import { type AddressRange, inRange, parseRange } from './addresses.ts'
import { HANDLE_BYTES, SEALED_HANDLE_BYTES } from './handles.ts'

/** Whose requests are made in the name of the anonymous user: root's, nobody's, everybody's. */
export type Squash = 'root_squash' | 'no_root_squash' | 'all_squash'

/** A connection in the clear; with TLS; with TLS and a certificate of the client. Each is more than the one before. */
export type Security = 'none' | 'tls' | 'mutual'
const securities: readonly Security[] = ['none', 'tls', 'mutual']

/** An export as the configuration states it. */
export type ExportOptions = {
  /** Absolute, without a trailing slash: `/home`. */
  readonly path: string
  readonly fs: MatrixFs
  /** Addresses, address/prefix-length, or `*`; IPv4 and IPv6; host names, `*.` and a domain. At least one. */
  readonly clients: readonly string[]
  /** The part of the filesystem that is served: `/projects/a`. Default: all of it. */
  readonly directory?: string
  /** Of the matrix, for the seals of handles: necessary with a directory. */
  readonly secret?: string
  /** Only clients with a port below 1024, which their machines give to root alone. Default false. */
  readonly privilegedPorts?: boolean
  /** What an NFS client's connection needs. Default 'none': nothing. */
  readonly security?: Security
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
  /** Names of clients, and patterns of such. */
  readonly hosts: readonly string[]
  readonly privilegedPorts: boolean
  readonly security: Security
  /** Names of byte strings from the filesystem's root down to the export's. Empty: it is the same. */
  readonly directory: readonly string[]
  /** Of sealed handles; there exactly when `directory` is not empty. */
  readonly key: Uint8Array | undefined
  /** Of the export's root, once it was found (root.ts). */
  root: Ino | undefined
  readonly access: 'ro' | 'rw'
  readonly squash: Squash
  readonly anonUid: number
  readonly anonGid: number
}

const NOBODY = 65534
const ID_MAX = 2 ** 32 - 1

/** What export rules ask of a client. */
export type ClientFacts = {
  readonly bytes: Uint8Array
  readonly port: number
  /** Whether its address has a name like this. */
  isNamed(pattern: string): boolean
}

/** Ports that only root may use, where that means anything. */
const PRIVILEGED_PORTS = 1024
const KEY_BYTES = 16

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
  const directory = namesOf(options)
  const hosts = clients.filter(isHostPattern)
  return {
    path,
    id: crc32c(Buffer.from(path, 'utf8')) || 1,
    fs,
    clients,
    hosts,
    ranges: clients.filter((each) => !hosts.includes(each)).map(parseRange),
    privilegedPorts: options.privilegedPorts ?? false,
    security: options.security ?? 'none',
    directory,
    key: directory.length > 0 ? keyOf(options) : undefined,
    root: directory.length > 0 ? undefined : ROOT_INO,
    access,
    squash,
    anonUid,
    anonGid,
  }
}

function namesOf({ path, directory = '/' }: ExportOptions): string[] {
  const names = Buffer.from(directory, 'utf8').toString('latin1').split('/').slice(1)
  if (directory === '/') return []
  if (!directory.startsWith('/') || names.some((name) => name === '' || name === '.' || name === '..')) {
    throw new MatrixError('config', `export ${path}: directory '${directory}': expected a path such as '/projects'`)
  }
  return names
}

/** The same at every node, and another for every directory: handles of what was exported before are of no use. */
function keyOf({ path, directory, secret }: ExportOptions): Uint8Array {
  if (secret === undefined)
    throw new MatrixError('config', `export ${path}: a directory is exported only with a secret for its handles`)
  const info = `matrixfs file handles ${JSON.stringify([path, directory])}`
  return new Uint8Array(hkdfSync('sha256', secret, '', info, KEY_BYTES))
}

/** True when the client is one of the export's. */
export function admits(exported: Export, client: ClientFacts): boolean {
  if (exported.privilegedPorts && client.port >= PRIVILEGED_PORTS) return false
  return (
    exported.ranges.some((range) => inRange(client.bytes, range)) ||
    exported.hosts.some((pattern) => client.isNamed(pattern))
  )
}

/** Whether a connection is as well protected as the export wants. */
export function isProtected({ security }: Export, has: Security): boolean {
  return securities.indexOf(has) >= securities.indexOf(security)
}

/** Bytes of its handles. */
export function handleBytes({ key }: Export): number {
  return key ? SEALED_HANDLE_BYTES : HANDLE_BYTES
}

/** What a client may mount under a path: the export and the names below it, or why not. */
export type Match =
  | { readonly kind: 'granted'; readonly exported: Export; readonly below: readonly string[] }
  | { readonly kind: 'refused' }
  | { readonly kind: 'absent' }

/** Whether a path (a byte string) is the export's or below it. */
export function holds(exported: Export, path: string): boolean {
  return depthIn(exported, namesIn(path)) !== undefined
}

function namesIn(path: string): string[] {
  return path.split('/').filter((part) => part !== '')
}

/** Names that the export's path has, when the wanted path begins with them. */
function depthIn({ path }: Export, wanted: readonly string[]): number | undefined {
  // names on the wire are byte strings, a configured path is text: compare bytes
  const parts = Buffer.from(path, 'utf8').toString('latin1').split('/').slice(1)
  return parts.every((part, index) => part === wanted[index]) ? parts.length : undefined
}

/** Finds the export with the longest path that holds `path` (a byte string) and admits the client. */
export function match(exports: readonly Export[], path: string, client: ClientFacts): Match {
  const wanted = namesIn(path)
  let best: Export | undefined
  let bestDepth = -1
  let known = false
  for (const exported of exports) {
    const depth = depthIn(exported, wanted)
    if (depth === undefined) continue
    known = true
    if (depth > bestDepth && admits(exported, client)) {
      best = exported
      bestDepth = depth
    }
  }
  if (best) return { kind: 'granted', exported: best, below: wanted.slice(bestDepth) }
  return { kind: known ? 'refused' : 'absent' }
}
