/** All operations, by opcode. What is not here is answered with ENOSYS: the kernel then does without, and does not ask again. */
import { opcodes } from '../wire/constants.ts'
import { getattr, setattr, statfs, statx } from './attributes.ts'
import { fsyncdir, opendir, readdir, releasedir } from './directories.ts'
import { create, fsync, open, read, release, write } from './files.ts'
import { flush, getlk, setlk, setlkw } from './locks.ts'
import { link, lookup, mkdir, mknod, readlink, rename, rename2, rmdir, symlink, unlink } from './names.ts'
import type { AnyOperation, Operation } from './operation.ts'

export const operations: readonly (AnyOperation | undefined)[] = tableOf([
  ...[lookup, readlink, symlink, mknod, mkdir, link, unlink, rmdir, rename, rename2],
  ...[getattr, setattr, statfs, statx],
  ...[open, create, read, write, fsync, release],
  ...[getlk, setlk, setlkw, flush],
  ...[opendir, readdir, fsyncdir, releasedir],
])

// biome-ignore lint/suspicious/noExplicitAny: each operation fits itself, whatever its types
function tableOf(list: readonly Operation<any, any>[]): AnyOperation[] {
  const table: AnyOperation[] = []
  for (const operation of list) table[opcodes[operation.name]] = operation
  return table
}
