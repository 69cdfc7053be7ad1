/**
 * The Matrix Filesystem as gateways use it: POSIX semantics, one verb per file beside this one. A verb answers at once when
 * its locks and inodes are cached, else with a promise; it fails with FsError (thrown or rejected) and never half-way.
 *
 * A verb that changes something has changed it in memory when it answers; `afterDurable` tells when it would survive.
 * A gateway replies to such a request only then (RFC 1813 4.8), so that concurrent requests share a flush. Names and symlink
 * targets are byte strings (image/mutation.ts). Verbs given an `ino` that does not exist fail with ESTALE.
 */
import type { Ino } from '../../base/ids.ts'
import type { MaybePromise } from '../../base/maybe-promise.ts'
import type { RangeLocks } from '../../locking/index.ts'
import { CHUNK_BYTES } from '../cache/chunk.ts'
import type { RequestId } from '../image/done-requests.ts'
import type { FileName, FileType, InodeRecord } from '../image/mutation.ts'
import type { WatchedClients } from '../ranges/index.ts'
import type { AttributeChanges } from './attributes.ts'
import type { Caller } from './caller.ts'
import type { DavFs } from './dav/dav-fs.ts'

export type { AttributeChanges, TimeChange } from './attributes.ts'
export type { Caller, DavGuard } from './caller.ts'

/**
 * A cached inode as callers see it: the current row plus a slot for encodings. The object may change after the verb's turn of the
 * event loop; encode at once. `wire` belongs to the gateways (cached encodings); the filesystem sets it to undefined on every change.
 */
export interface Inode extends Readonly<InodeRecord> {
  /** Blocks mapped or reserved × 512-byte units are `allocated / 512`; bytes. */
  readonly allocated: number
  wire: unknown
}

/** What an object looked like just before the change: for weak cache consistency (RFC 1813 2.6 wcc_attr). */
export type Before = {
  readonly size: number
  readonly mtimeS: number
  readonly mtimeNs: number
  readonly ctimeS: number
  readonly ctimeNs: number
}

/** Initial attributes of a new object: `mode` already has the client's umask applied. */
export type CreateAttributes = AttributeChanges

export type Changed = { readonly before: Before; readonly inode: Inode }
export type DirChanged = { readonly before: Before; readonly dir: Inode }
export type Created = DirChanged & { readonly inode: Inode; readonly created: boolean }
export type RenameHow = {
  /** EEXIST when the new name is there already. */
  readonly noReplace?: boolean
  /** For callers whom WebDAV locks bind: what gets the name was hidden until now, and is new content of the resource there, with the properties of that, or a copy. */
  readonly fresh?: Fresh | undefined
  readonly request?: RequestId | undefined
}
export type StoreHow = {
  /** Of a file that is new; one that is replaced leaves its own, with its owner as far as the caller may give files away. */
  readonly mode: number
  readonly mtime?: { readonly s: number; readonly ns: number } | undefined
  /** EEXIST when the name is there already. */
  readonly noReplace?: boolean
  /** Told what has the name now, in the moment of the change; what it throws is what `store` fails with. Pure: it may be told several times. */
  readonly expect?: (current: Inode | undefined) => void
}
export type Renamed = { readonly from: DirChanged; readonly to: DirChanged }

export type Fresh = 'content' | 'copy'

/** 'unchecked': an existing regular file is opened (size applied). 'guarded': EEXIST. exclusive: EEXIST unless made with the same 8-byte verifier. */
export type CreateHow = 'unchecked' | 'guarded' | { readonly verifier: Buffer }

export type DirEntry = {
  readonly name: FileName
  /** Continue after this entry with it; grows within the directory. "." is 1, ".." is 2. */
  readonly cookie: number
  readonly ino: Ino
  readonly type: FileType
}
export type DirListing = { readonly dir: Inode; readonly entries: readonly DirEntry[]; readonly eof: boolean }
export type DirListingPlus = {
  readonly dir: Inode
  readonly entries: readonly (DirEntry & { readonly inode: Inode | undefined })[]
  readonly eof: boolean
}

/** An inode as it was: the object in memory goes on changing, and is another one when another node may have changed it. */
export type InodeVersion = {
  readonly inode: Inode
  readonly change: number
  readonly ctimeS: number
  readonly ctimeNs: number
}
/** A whole listing as it was: its directory, and the inodes of its entries. */
export type ListingSeal = { readonly dir: InodeVersion; readonly members: readonly InodeVersion[] }

export function versionOfInode(inode: Inode): InodeVersion {
  const { change, ctimeS, ctimeNs } = inode
  return { inode, change, ctimeS, ctimeNs }
}

export function isVersion({ inode, change, ctimeS, ctimeNs }: InodeVersion, now: Inode | undefined): boolean {
  return now === inode && now.change === change && now.ctimeS === ctimeS && now.ctimeNs === ctimeNs
}

/** File content in one or more pieces (views on the cache: use or copy them at once); holes are zeroes. */
export type ReadResult = {
  readonly inode: Inode
  readonly pieces: readonly Buffer[]
  readonly length: number
  readonly eof: boolean
}

export type FsStatistics = {
  readonly totalBytes: number
  readonly freeBytes: number
  readonly totalFiles: number
  readonly freeFiles: number
}

/** Longest content that `store` takes, bytes. */
export const MAX_STORED_BYTES = CHUNK_BYTES
export const R_OK = 4
export const W_OK = 2
export const X_OK = 1

/**
 * Verbs that change names or attributes may be given the `request` that a client asked by, and may ask by again, here or at any other
 * node. When it has been done already they fail with DoneAlready (op.ts), and nothing is done a second time.
 */
export interface MatrixFs {
  readonly name: string
  /** In handles; never 0. */
  readonly fsid: number
  /** 8 bytes that change with every start of this node: the NFS write verifier. */
  readonly writeVerifier: Buffer
  /** Byte-range locks; `open` and `close` know nothing of them. */
  readonly ranges: RangeLocks
  /** Clients that this node watches over: those that hold byte-range locks. */
  readonly clients: WatchedClients

  getattr(ino: Ino): MaybePromise<Inode>
  /** With `guardCtime`, fails with EAGAIN unless the ctime still is that (NFS3ERR_NOT_SYNC). */
  setattr(
    caller: Caller,
    ino: Ino,
    changes: AttributeChanges,
    guardCtime?: { s: number; ns: number },
    request?: RequestId,
  ): MaybePromise<Changed>
  /** "." and ".." are answered too. */
  lookup(caller: Caller, dir: Ino, name: FileName): MaybePromise<{ readonly dir: Inode; readonly inode: Inode }>
  /** Which of the bits R_OK|W_OK|X_OK in `wanted` the caller has. */
  access(caller: Caller, ino: Ino, wanted: number): MaybePromise<{ readonly inode: Inode; readonly granted: number }>
  readlink(caller: Caller, ino: Ino): MaybePromise<{ readonly inode: Inode; readonly target: string }>
  /** `trusted`: the gateway has checked permission at open; NFS lets the owner read regardless of mode (RFC 1813 4.4) and passes nothing. */
  read(caller: Caller, ino: Ino, offset: number, length: number, trusted?: boolean): MaybePromise<ReadResult>
  /**
   * Copies `data` before it returns. `stable`: resolves once data and metadata are durable; else they are by the next `commitFile`.
   * At 'end': where the file ends when its lock is held, whoever else appends on whatever node.
   */
  write(
    caller: Caller,
    ino: Ino,
    offset: number | 'end',
    data: Buffer,
    stable: boolean,
    trusted?: boolean,
  ): MaybePromise<Changed>
  /** Everything written to the file through this node is durable (RFC 1813 COMMIT, fsync). */
  commitFile(ino: Ino): MaybePromise<Changed>
  create(
    caller: Caller,
    dir: Ino,
    name: FileName,
    attributes: CreateAttributes,
    how: CreateHow,
    request?: RequestId,
  ): MaybePromise<Created>
  /**
   * A file with the name and this content, at most MAX_STORED_BYTES, in one transaction: where there was none, or in place of another (a new inode). Whoever looks finds
   * the old content or the new, whole, also after a crash. Copies `content` before it returns.
   */
  store(caller: Caller, dir: Ino, name: FileName, content: Buffer, how: StoreHow): Promise<Created>
  mkdir(
    caller: Caller,
    dir: Ino,
    name: FileName,
    attributes: CreateAttributes,
    request?: RequestId,
  ): MaybePromise<Created>
  symlink(
    caller: Caller,
    dir: Ino,
    name: FileName,
    target: string,
    attributes: CreateAttributes,
    request?: RequestId,
  ): MaybePromise<Created>
  mknod(
    caller: Caller,
    dir: Ino,
    name: FileName,
    type: FileType,
    attributes: CreateAttributes,
    rdevMajor: number,
    rdevMinor: number,
    request?: RequestId,
  ): MaybePromise<Created>
  /** Removes a name that is not a directory's; the inode goes with its last name and last open. */
  remove(caller: Caller, dir: Ino, name: FileName, request?: RequestId): MaybePromise<DirChanged>
  rmdir(caller: Caller, dir: Ino, name: FileName, request?: RequestId): MaybePromise<DirChanged>
  rename(
    caller: Caller,
    fromDir: Ino,
    fromName: FileName,
    toDir: Ino,
    toName: FileName,
    how?: RenameHow,
  ): MaybePromise<Renamed>
  link(
    caller: Caller,
    ino: Ino,
    dir: Ino,
    name: FileName,
    request?: RequestId,
  ): MaybePromise<DirChanged & { readonly inode: Inode }>
  /** Entries after `cookie` (0: from the start), at most `limit`. */
  readdir(caller: Caller, dir: Ino, cookie: number, limit: number): MaybePromise<DirListing>
  readdirplus(caller: Caller, dir: Ino, cookie: number, limit: number): MaybePromise<DirListingPlus>
  /** True: `readdirplus` would give what it gave then, names and inodes. False: it might not. For a directory that the caller may read. */
  isUnchanged(caller: Caller, dir: Ino, seal: ListingSeal): MaybePromise<boolean>
  statfs(): MaybePromise<FsStatistics>
  /** Dead properties and locks of WebDAV. */
  readonly dav: DavFs

  /** Keeps an inode alive on the whole matrix after its last name is gone, until the matching `close`. */
  open(ino: Ino): MaybePromise<Inode>
  close(ino: Ino): void

  /** Runs `done` once every change that verbs have answered so far is durable (metadata; data only where written stable): within the call when it already is. */
  afterDurable(done: (error?: Error) => void): void
  /** Everything, data included, is durable. */
  sync(): Promise<void>
}
