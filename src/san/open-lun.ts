/** Chooses the driver of a LUN by its URL. */
import { MatrixError } from '../base/errors.ts'
import { defaultTimings, type Timings } from '../base/timings.ts'
import type { Files } from '../platform/files.ts'
import type { Programs } from '../platform/programs.ts'
import { BlockLun } from './drivers/block-lun.ts'
import { FileLun } from './drivers/file-lun.ts'
import type { Lun } from './lun.ts'

export type OpenLunOptions = {
  /** Of the matrix: how long an I/O may take. */
  readonly timings?: Timings
  /** Where nodes register at the LUNs: how block devices are asked. */
  readonly programs?: Programs
}

/**
 * Opens `file:/path`, a plain path, or `block:/dev/…`. Rejects with MatrixError 'config' for a URL it has no driver for, 'not-found' or
 * 'lun-io'; for devices as `BlockLun.open` does.
 * What is opened here bypasses the fence gate: a node wraps it in its `PseudoStorageDriver` before anything else.
 */
export async function openLun(
  url: string,
  files: Files,
  { timings = defaultTimings, programs }: OpenLunOptions = {},
): Promise<Lun> {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(url)?.[1]?.toLowerCase()
  if (scheme === undefined) return FileLun.open(url, files)
  if (scheme === 'file') return FileLun.open(filePath(url), files)
  if (scheme === 'block') return BlockLun.open(url.slice('block:'.length), files, { timings, programs })
  throw new MatrixError(
    'config',
    `${url}: LUNs of kind "${scheme}:" are not supported; use file:/absolute/path, a plain path, or block:/dev/…`,
  )
}

function filePath(url: string): string {
  const rest = url.slice('file:'.length)
  if (!rest.startsWith('//')) return rest
  const { hostname, pathname } = new URL(url)
  if (hostname !== '' && hostname !== 'localhost') {
    throw new MatrixError('config', `${url}: a file on another host is no LUN; use file:/absolute/path`)
  }
  return decodeURIComponent(pathname)
}
