/** All groups, in the order they run. */
import type { Group } from '../rules.ts'
import { chmod, chown, lchown, utimens } from './attributes.ts'
import { setgid, setid, sticky, groups as supplementary } from './bits.ts'
import { append, lseek, mmap, read, sparse, unlinked, write } from './data.ts'
import { readdir } from './directories.ts'
import { names } from './limits.ts'
import { access, chdir, exec, fsync, lstat, stat, statvfs } from './looks.ts'
import { link, mkdir, mknod, readlink, rmdir, symlink, unlink } from './names.ts'
import { creat, open } from './open.ts'
import { rename } from './rename.ts'
import { ftruncate, truncate } from './truncate.ts'

export const groups: readonly Group[] = [
  [open, creat, link, unlink, symlink, readlink, mkdir, rmdir, rename, mknod],
  [chmod, chown, lchown, utimens, truncate, ftruncate],
  [read, write, append, lseek, sparse, unlinked, mmap, fsync],
  [stat, lstat, access, chdir, exec, statvfs, readdir],
  [sticky, setgid, setid, supplementary, names],
].flat()
