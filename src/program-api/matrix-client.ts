/**
 * How a program reaches a matrix: the calls on objects, with whoever asks already known. Two ways fulfil it: over the network by NFS version 3 (nfs-client.ts),
 * from anywhere; and within matrixd itself, straight to the filesystem (direct-client.ts).
 *
 * An object is known by a reference that stays right when it is renamed, and is ESTALE once the object is gone. Names and the
 * targets of symbolic links are text, UTF-8 on the disk. A change that was answered is stable: it outlives the death of every node. All
 * calls fail with an error that has a `code` of POSIX (failure.ts).
 */

/** What a file is; the numbers are those of RFC 1813 (ftype3). */
export const FILE = 1
export const DIRECTORY = 2
export const BLOCK_DEVICE = 3
export const CHARACTER_DEVICE = 4
export const SYMLINK = 5
export const SOCKET = 6
export const PIPE = 7
export type ObjectType = 1 | 2 | 3 | 4 | 5 | 6 | 7

export type Attributes = {
  readonly type: ObjectType
  /** Permission and set-id bits. */
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  /** Bytes; of a symbolic link those of its target. */
  readonly size: number
  /** Bytes that are allocated: less than `size` for a sparse file. */
  readonly allocated: number
  readonly rdevMajor: number
  readonly rdevMinor: number
  readonly ino: number
  /** Milliseconds since 1970, with fractions. */
  readonly atimeMs: number
  readonly mtimeMs: number
  readonly ctimeMs: number
}

export type Changes = {
  readonly mode?: number | undefined
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  readonly size?: number | undefined
  readonly atimeMs?: number | undefined
  readonly mtimeMs?: number | undefined
}

export type Found<Ref> = { readonly object: Ref; readonly attributes: Attributes }
export type Listed = { readonly name: string; readonly ino: number }
export type Space = {
  readonly totalBytes: number
  readonly freeBytes: number
  readonly totalFiles: number
  readonly freeFiles: number
}

export interface MatrixClient<Ref> {
  /** The directory that was asked for. */
  readonly root: Found<Ref>
  getattr(object: Ref): Promise<Attributes>
  setattr(object: Ref, changes: Changes): Promise<Attributes>
  /** Follows no link. */
  lookup(dir: Ref, name: string): Promise<Found<Ref>>
  readlink(object: Ref): Promise<string>
  /** Fills `into` from `offset` of the file; bytes read, fewer than asked for only at its end. */
  read(object: Ref, into: Uint8Array, offset: number): Promise<number>
  /** All of `data`; what the file is afterwards. */
  write(object: Ref, data: Uint8Array, offset: number): Promise<Attributes>
  /** EEXIST when there is anything by that name, be it a link. */
  create(dir: Ref, name: string, mode: number): Promise<Found<Ref>>
  mkdir(dir: Ref, name: string, mode: number): Promise<Found<Ref>>
  symlink(dir: Ref, name: string, target: string): Promise<Found<Ref>>
  mknod(
    dir: Ref,
    name: string,
    what: Pick<Attributes, 'type' | 'mode' | 'rdevMajor' | 'rdevMinor'>,
  ): Promise<Found<Ref>>
  remove(dir: Ref, name: string): Promise<void>
  rmdir(dir: Ref, name: string): Promise<void>
  rename(fromDir: Ref, fromName: string, toDir: Ref, toName: string): Promise<void>
  link(object: Ref, dir: Ref, name: string): Promise<void>
  /** Every name but "." and "..". */
  list(dir: Ref): Promise<readonly Listed[]>
  space(): Promise<Space>
  close(): Promise<void>
}

/** A time as protocols have it; the same milliseconds come back. */
export function timeOf(ms: number): { s: number; ns: number } {
  const s = Math.floor(ms / 1000)
  const ns = Math.round((ms - s * 1000) * 1e6)
  return ns < 1e9 ? { s, ns } : { s: s + 1, ns: ns - 1e9 }
}

export function millisecondsOf(s: number, ns: number): number {
  return s * 1000 + ns / 1e6
}
