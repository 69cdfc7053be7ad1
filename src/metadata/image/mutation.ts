/**
 * Mutations: the only way metadata changes, for own changes, peers' changes and recovery alike (`apply.ts`). Each puts or
 * removes exactly one row; applying a frame's mutations in order to equal images gives equal images. A put replaces the row
 * with the same key; a remove of a row that is not there is damage, not a no-op.
 *
 * Names are byte strings: JavaScript strings whose characters are the bytes 1…255 ('latin1'), so that any POSIX name survives.
 */
import type { BlockAddress, Incarnation, Ino, Slot } from '../../base/ids.ts'

/** NFS ftype3 numbering (RFC 1813 2.3.5): 1 regular, 2 directory, 3 block, 4 character, 5 symlink, 6 socket, 7 fifo. */
export const REG = 1
export const DIR = 2
export const BLK = 3
export const CHR = 4
export const LNK = 5
export const SOCK = 6
export const FIFO = 7
export type FileType = 1 | 2 | 3 | 4 | 5 | 6 | 7

/** A byte string (see above): 1 … 255 bytes, no NUL, no '/'. */
export type FileName = string

/** One row of `inode`. Times are seconds since 1970 and nanoseconds; sizes bytes. */
export type InodeRecord = {
  readonly ino: Ino
  readonly generation: number
  readonly type: FileType
  /** Permission bits, 0 … 0o7777. */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly rdevMajor: number
  readonly rdevMinor: number
  readonly atimeS: number
  readonly atimeNs: number
  readonly mtimeS: number
  readonly mtimeNs: number
  readonly ctimeS: number
  readonly ctimeNs: number
  readonly btimeS: number
  readonly btimeNs: number
  /** Grows with every change of attributes, content or entries: ETags, NFSv4 change, cached encodings. */
  readonly change: number
  /** Directories: the directory that holds them (root: itself). Others: 0. */
  readonly parent: Ino
  /** Directories: cookie of the next new entry, from 3 on (1 and 2 are "." and ".."). Others: 0. */
  readonly nextCookie: number
  /** Symbolic links: the target as a byte string. Others: ''. */
  readonly target: string
}

export type Mutation =
  | { readonly op: 'putInode'; readonly inode: InodeRecord }
  | { readonly op: 'removeInode'; readonly ino: Ino }
  | {
      readonly op: 'putDirent'
      readonly dir: Ino
      readonly name: FileName
      readonly cookie: number
      readonly ino: Ino
      readonly type: FileType
    }
  | { readonly op: 'removeDirent'; readonly dir: Ino; readonly name: FileName }
  /** File blocks block … block+count-1 lie at address … (blocks, not bytes). Extents of one inode never overlap. */
  | {
      readonly op: 'putExtent'
      readonly ino: Ino
      readonly block: number
      readonly count: number
      readonly address: BlockAddress
    }
  | { readonly op: 'removeExtent'; readonly ino: Ino; readonly block: number }
  /** Free space of the address's allocation group (lock G). Never crosses a group. */
  | { readonly op: 'putFree'; readonly address: BlockAddress; readonly count: number }
  | { readonly op: 'removeFree'; readonly address: BlockAddress }
  /** Space freed by a transaction of `slot`, not yet returned to its group (lock N): a group is not needed to unlink. */
  | { readonly op: 'putFreed'; readonly slot: Slot; readonly address: BlockAddress; readonly count: number }
  | { readonly op: 'removeFreed'; readonly slot: Slot; readonly address: BlockAddress }
  /** An inode without a name that waits for its last close or its removal (lock N). */
  | { readonly op: 'putOrphan'; readonly slot: Slot; readonly ino: Ino }
  | { readonly op: 'removeOrphan'; readonly slot: Slot; readonly ino: Ino }
  /** `slot` may use inode counters below `inoCounter` (ino = counter × MAX_SLOTS + slot); reserved in batches. */
  | { readonly op: 'putSlot'; readonly slot: Slot; readonly inoCounter: number }
  | { readonly op: 'putSetting'; readonly key: string; readonly value: string }
  /** Bytes start … end of an inode are locked (lock L). Ranges of one owner never overlap; those of two only where both are shared. */
  | ({
      readonly op: 'putRangeLock'
      readonly start: number
      readonly end: number
      readonly exclusive: boolean
    } & OfOwner)
  | ({ readonly op: 'removeRangeLock'; readonly start: number } & OfOwner)
  /** Somebody waits, at the place `place` of the inode's line, for that; by the node that lives in `slot` as `incarnation` (lock L). */
  | ({
      readonly op: 'putRangeWait'
      readonly place: number
      readonly slot: Slot
      readonly incarnation: Incarnation
      readonly start: number
      readonly end: number
      readonly exclusive: boolean
    } & OfOwner)
  | { readonly op: 'removeRangeWait'; readonly ino: Ino; readonly place: number }
  /** A client that `slot` watches over: it is told when its server restarts, and its locks go when it restarts itself (lock N). */
  | {
      readonly op: 'putNfsClient'
      readonly slot: Slot
      readonly name: string
      readonly address: string
      readonly state: number
      /** What the gateway needs besides, in a form of its own. */
      readonly facts: string
    }
  | { readonly op: 'removeNfsClient'; readonly slot: Slot; readonly name: string }

/** Whose byte ranges these are (locking/range-locks.ts). */
type OfOwner = { readonly ino: Ino; readonly client: string; readonly owner: string }
