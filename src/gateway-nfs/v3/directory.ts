/**
 * What READDIR and READDIRPLUS share. Cookies grow within a directory and stay good for ever, so the cookie verifier says nothing but
 * which directory they belong to: it is made of its inode number and generation, and 0 is accepted too.
 */
import type { Export } from '../../export/index.ts'
import type { DirEntry, Inode } from '../../metadata/index.ts'
import type { XdrReader } from '../xdr/reader.ts'
import type { XdrWriter } from '../xdr/writer.ts'
import { NFS3ERR_BAD_COOKIE } from './constants.ts'
import { Nfs3Failure } from './status.ts'

/** Cookie verifier as two words. */
export type CookieVerifier = { readonly high: number; readonly low: number }

export function readVerifier(from: XdrReader): CookieVerifier {
  return { high: from.uint32(), low: from.uint32() }
}

export function putVerifier(out: XdrWriter, dir: Inode): void {
  out.uint32(dir.generation)
  out.uint32(dir.ino)
}

/** A cookie that this directory cannot have given out is refused (RFC 1813 3.3.16). */
export function checkCookie(dir: Inode, cookie: number, { high, low }: CookieVerifier): void {
  if (cookie === 0 || (high === 0 && low === 0)) return
  if (high !== dir.generation >>> 0 || low !== dir.ino % 2 ** 32) throw new Nfs3Failure(NFS3ERR_BAD_COOKIE)
}

/**
 * The entries as an export shows them. Above the root of one that is a part of its filesystem there is nothing: ".." is the root itself there, and has
 * no handle anywhere, since a directory may have been moved out.
 */
export function entriesIn<E extends DirEntry>(
  { key, root }: Export,
  dir: Inode,
  entries: readonly E[],
): readonly (E & { readonly inode?: Inode | undefined })[] {
  if (!key) return entries
  const isTop = root === undefined || root === dir.ino
  return entries.map((entry) =>
    entry.name === '..' ? { ...entry, ino: isTop ? dir.ino : entry.ino, inode: undefined } : entry,
  )
}

/** An entry3: "one follows", fileid, name, cookie. */
export function entryBytes(entry: DirEntry): number {
  return 24 + ((entry.name.length + 3) & ~3)
}

/** What dircount counts of an entry (RFC 1813 3.3.17): fileid, name, cookie. */
export function nameBytes(entry: DirEntry): number {
  return entryBytes(entry) - 4
}

export function putEntry(out: XdrWriter, entry: DirEntry): void {
  out.uint32(1)
  out.uint64(entry.ino)
  out.string(entry.name)
  out.uint64(entry.cookie)
}
