/** Makes a filesystem: its first two checkpoints, holding the root directory and all space free. */
import { ROOT_INO } from '../base/ids.ts'
import { SECTOR_SIZE } from '../base/limits.ts'
import type { FilesystemRecord, Lun } from '../san/index.ts'
import { spaceMark } from './alloc/new-space.ts'
import { packImage } from './checkpoint/pack.ts'
import { CheckpointStore } from './checkpoint/store.ts'
import { FsLayout } from './fs-layout.ts'
import { apply } from './image/apply.ts'
import { Image } from './image/image.ts'
import { DIR, type InodeRecord } from './image/mutation.ts'

export type FormatOptions = {
  /** Wall-clock time, milliseconds since 1970. */
  readonly now: number
}

/** A new directory's first cookie: 1 and 2 are "." and "..". */
export const FIRST_COOKIE = 3

/**
 * Writes the filesystem of `record` to its LUNs, durably; what was there is lost. Nobody may have it mounted. Throws
 * MatrixError 'lun-too-small', 'no-space' (the free map alone outgrows the checkpoint area), 'lun-io'.
 */
export async function formatFilesystem(
  luns: readonly Lun[],
  record: FilesystemRecord,
  { now }: FormatOptions,
): Promise<void> {
  const layout = new FsLayout(
    record,
    luns.map((lun) => lun.size),
  )
  const first = luns[0] as Lun
  const manifests = Buffer.alloc(record.slots * 2 * SECTOR_SIZE)
  await first.write(layout.manifestStart(0, 0), [manifests], { purpose: 'erase', durable: true })
  const image = Image.empty()
  try {
    image.begin()
    apply(image, { op: 'putInode', inode: rootInode(now) })
    for (const group of layout.groups()) {
      const { from, to } = layout.groupRange(group)
      apply(image, { op: 'putFree', address: from, count: to - from })
    }
    for (let lun = 0; lun < layout.lunCount; lun++)
      apply(image, { op: 'putSetting', key: spaceMark(lun), value: String(layout.dataBlocksOf(lun)) })
    image.commit()
    const store = new CheckpointStore(first, layout)
    // two generations from the start: one damaged checkpoint never loses a filesystem
    for (const sequence of [1, 2]) await store.publish(0, sequence, packImage(image), [])
  } finally {
    image.close()
  }
}

function rootInode(now: number): InodeRecord {
  const seconds = Math.floor(now / 1000)
  const nanoseconds = Math.floor((now - seconds * 1000) * 1e6)
  return {
    ino: ROOT_INO,
    generation: 1,
    type: DIR,
    mode: 0o755,
    nlink: 2,
    uid: 0,
    gid: 0,
    size: 0,
    rdevMajor: 0,
    rdevMinor: 0,
    atimeS: seconds,
    atimeNs: nanoseconds,
    mtimeS: seconds,
    mtimeNs: nanoseconds,
    ctimeS: seconds,
    ctimeNs: nanoseconds,
    btimeS: seconds,
    btimeNs: nanoseconds,
    change: 1,
    parent: ROOT_INO,
    nextCookie: FIRST_COOKIE,
    target: '',
  }
}
