/** Chooses the driver of a LUN by its URL. */
import { MatrixError } from '../base/errors.ts'
import { defaultTimings, type Timings } from '../base/timings.ts'
import type { Host } from '../platform/host.ts'
import { type Log, silentLog } from '../platform/log.ts'
import { BlockLun } from './drivers/block-lun.ts'
import { FileLun } from './drivers/file-lun.ts'
import { IscsiLun } from './drivers/iscsi-lun.ts'
import { ISCSI_FORM } from './iscsi/url.ts'
import type { Lun } from './lun.ts'

export type OpenLunOptions = {
  /** Of the matrix: how long an I/O may take. */
  readonly timings?: Timings
  readonly log?: Log
}

/**
 * Opens `file:/path`, a plain path, `block:/dev/…`, or `iscsi://host/target/lun` (iscsi/url.ts). Rejects with MatrixError 'config' for a URL it has no driver
 * for, 'not-found' or 'lun-io'; for devices as `BlockLun.open`, for iSCSI as `IscsiLun.open` does.
 * What is opened here bypasses the fence gate: a node wraps it in its `PseudoStorageDriver` before anything else.
 */
export async function openLun(
  url: string,
  host: Host,
  { timings = defaultTimings, log = silentLog }: OpenLunOptions = {},
): Promise<Lun> {
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(url)?.[1]?.toLowerCase()
  if (scheme === undefined) return FileLun.open(url, host.files)
  if (scheme === 'file') return FileLun.open(filePath(url), host.files)
  if (scheme === 'block')
    return BlockLun.open(url.slice('block:'.length), host.files, {
      ...{ timings, log, clock: host.clock, programs: host.programs },
    })
  if (scheme === 'iscsi') return IscsiLun.open(url, host, { timings, log })
  throw new MatrixError(
    'config',
    `${url}: LUNs of kind "${scheme}:" are not supported; use file:/absolute/path, a plain path, block:/dev/…, or ${ISCSI_FORM}`,
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
