/**
 * Strong entity tags. `change` grows with every change of the inode and is the same at every node; the change time is in
 * the tag because a crash may take back an unstable write that some client has read, and the number would then come again.
 */
import type { Inode } from '../metadata/index.ts'

export function etagOf(inode: Inode): string {
  return `"${inode.ino}-${inode.change}-${inode.ctimeS}.${inode.ctimeNs}"`
}
