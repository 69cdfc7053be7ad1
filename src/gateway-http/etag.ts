/**
 * Strong entity tags. `change` grows with every change of the inode and is the same at every node; the change time is in
 * the tag because a crash may take back an unstable write that some client has read, and the number would then come again.
 */
import type { Inode } from '../metadata/index.ts'

export function etagOf(inode: Inode): string {
  return `"${inode.ino}-${inode.change}-${inode.ctimeS}.${inode.ctimeNs}"`
}

/**
 * The tag of a file that is sent compressed: another representation, and so another strong tag (RFC 9110 8.8.3.3). It names the same content, so that who
 * changes a file on condition of its tag may give either.
 */
export function gzipTag(etag: string): string {
  return `${etag.slice(0, -1)}-gzip"`
}
