/** All groups, in the order they run. */
import type { Group } from '../rules.ts'
import { chmod, chown, lchown, utimens } from './attributes.ts'
import { access, chdir, exec, fsync, lstat, stat, statvfs } from './looks.ts'
import { link, mkdir, mknod, readlink, rmdir, symlink, unlink } from './names.ts'
import { creat, open } from './open.ts'
import { rename } from './rename.ts'

export const groups: readonly Group[] = [
  open,
  creat,
  link,
  unlink,
  symlink,
  readlink,
  mkdir,
  rmdir,
  rename,
  mknod,
  chmod,
  chown,
  lchown,
  utimens,
  stat,
  lstat,
  access,
  chdir,
  exec,
  statvfs,
  fsync,
]
