/** Rows of the image's tables as the records that they stand for. */
import type { BlockAddress, Ino } from '../../base/ids.ts'
import type { DavLockRecord, FileName, FileType, InodeRecord } from './mutation.ts'
import type {
  DavLockRow,
  DirentRow,
  ExtentRow,
  InodeRow,
  NfsClientRow,
  SpaceRow,
  StoredInodeRow,
} from './statements.ts'

/** An inode with the number of blocks that its extents map. */
export type StoredInode = { readonly record: InodeRecord; readonly blocks: number }
export type DirentRecord = {
  readonly name: FileName
  readonly cookie: number
  readonly ino: Ino
  readonly type: FileType
}
/** File blocks block … block+count-1 lie at address …. */
export type ExtentRecord = { readonly block: number; readonly count: number; readonly address: BlockAddress }
/** Blocks address … address+count-1. */
export type SpaceRecord = { readonly address: BlockAddress; readonly count: number }
/** Codes `state` and `facts` are the gateway's own. */
export type NfsClientRecord = {
  readonly name: string
  readonly address: string
  readonly state: number
  readonly facts: string
}

export function inodeOfRow(row: InodeRow): InodeRecord {
  const r = row as readonly number[]
  return {
    ino: r[0] as number,
    generation: r[1] as number,
    type: r[2] as FileType,
    mode: r[3] as number,
    nlink: r[4] as number,
    uid: r[5] as number,
    gid: r[6] as number,
    size: r[7] as number,
    rdevMajor: r[8] as number,
    rdevMinor: r[9] as number,
    atimeS: r[10] as number,
    atimeNs: r[11] as number,
    mtimeS: r[12] as number,
    mtimeNs: r[13] as number,
    ctimeS: r[14] as number,
    ctimeNs: r[15] as number,
    btimeS: r[16] as number,
    btimeNs: r[17] as number,
    change: r[18] as number,
    parent: r[19] as number,
    nextCookie: r[20] as number,
    target: row[21] as string,
  }
}

export function storedOfRow(row: StoredInodeRow): StoredInode {
  return { record: inodeOfRow(row as unknown as InodeRow), blocks: row[row.length - 1] as number }
}

export function davLockOfRow(row: DavLockRow): DavLockRecord {
  const [ino, token, dir, shared, infinite, expires, principal, owner, root] = row
  return { ino, token, dir, shared: shared === 1, infinite: infinite === 1, expires, principal, owner, root }
}

export function direntOfRow([name, cookie, ino, type]: DirentRow): DirentRecord {
  return { name, cookie, ino, type: type as FileType }
}

export function extentOfRow([block, count, address]: ExtentRow): ExtentRecord {
  return { block, count, address }
}

export function spaceOfRow([address, count]: SpaceRow): SpaceRecord {
  return { address, count }
}

export function nfsClientOf([name, address, state, facts]: NfsClientRow): NfsClientRecord {
  return { name, address, state, facts }
}
