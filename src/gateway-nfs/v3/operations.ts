/** The table of NFS version 3: the operation of each procedure number. Procedure 0, NULL, does nothing and is not here. */
import { assert } from '../../base/assert.ts'
import { access } from './op-access.ts'
import { commit } from './op-commit.ts'
import { create } from './op-create.ts'
import { fsinfo } from './op-fsinfo.ts'
import { fsstat } from './op-fsstat.ts'
import { getattr } from './op-getattr.ts'
import { link } from './op-link.ts'
import { lookup } from './op-lookup.ts'
import { mkdir } from './op-mkdir.ts'
import { mknod } from './op-mknod.ts'
import { pathconf } from './op-pathconf.ts'
import { read } from './op-read.ts'
import { readdir } from './op-readdir.ts'
import { readdirplus } from './op-readdirplus.ts'
import { readlink } from './op-readlink.ts'
import { remove } from './op-remove.ts'
import { rename } from './op-rename.ts'
import { rmdir } from './op-rmdir.ts'
import { setattr } from './op-setattr.ts'
import { symlink } from './op-symlink.ts'
import { write } from './op-write.ts'
import type { AnyOperation } from './operation.ts'
import { procedures } from './tables.ts'

const all = [
  getattr,
  setattr,
  lookup,
  access,
  readlink,
  read,
  write,
  create,
  mkdir,
  symlink,
  mknod,
  remove,
  rmdir,
  rename,
  link,
  readdir,
  readdirplus,
  fsstat,
  fsinfo,
  pathconf,
  commit,
] as readonly AnyOperation[]

/** Indexed by procedure number. */
export const operations: readonly (AnyOperation | undefined)[] = [undefined, ...all]

for (const [number, operation] of operations.entries()) {
  assert(!operation || procedures[operation.name].number === number, 'every operation stands at its number')
}
