/** A filesystem as this gateway offers it. */
import type { Caller, MatrixFs } from '../metadata/index.ts'

export type HttpExport = {
  /** First segment of its URLs: `home` for http://host:port/home/. */
  readonly name: string
  readonly fs: MatrixFs
  /** In whose name requests are made that do not say from whom they are. */
  readonly caller: Caller
  /** What these may do, where there are users (default 'rw'). */
  readonly anonymous?: 'rw' | 'ro' | 'off'
  readonly readOnly?: boolean
  /** How long caches may keep files without asking: the value of Cache-Control (default NO_CACHE). */
  readonly cacheControl?: string
  /** Permission bits that new files and directories do not get (default 0o022). */
  readonly umask?: number
}

/** The matrix is coherent; a cache that asks back with the tag is, too. */
export const NO_CACHE = 'no-cache'
export const DEFAULT_UMASK = 0o022

export function fileMode(share: HttpExport): number {
  return 0o666 & ~(share.umask ?? DEFAULT_UMASK)
}

export function directoryMode(share: HttpExport): number {
  return 0o777 & ~(share.umask ?? DEFAULT_UMASK)
}
