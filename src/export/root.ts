/** Where exports begin: their roots, and that nothing leads above them. */
import { FsError } from '../base/errors.ts'
import { type Ino, ROOT_INO } from '../base/ids.ts'
import { type Caller, DIR, type FileName, type Inode, type MatrixFs } from '../metadata/index.ts'
import type { Export } from './exports.ts'

const SUPERUSER: Caller = { uid: 0, gid: 0, gids: [] }

/** Walks down from the export's root, as root and without following symbolic links. Rejects with FsError, ENOTDIR for what is no directory. */
export async function directoryBelow(exported: Export, below: readonly FileName[]): Promise<Inode> {
  const root = await findRoot(exported)
  return walk(exported.fs, root, below)
}

/** The export's root, as it is now: a directory that was replaced by another is found again. */
async function findRoot(exported: Export): Promise<Inode> {
  const { fs, directory } = exported
  const root = await walk(fs, await fs.getattr(ROOT_INO), directory)
  exported.root = root.ino
  return root
}

async function walk(fs: MatrixFs, from: Inode, names: readonly FileName[]): Promise<Inode> {
  let inode = from
  for (const name of names) {
    if (name === '..') throw new FsError('EINVAL') // no way up: an export ends at its root
    inode = (await fs.lookup(SUPERUSER, inode.ino, name)).inode
  }
  if (inode.type !== DIR) throw new FsError('ENOTDIR')
  return inode
}

/**
 * ".." of a directory of an export that is a part of its filesystem: of its root, the root itself. Rejects with ESTALE for a
 * directory that is not in the export any more.
 */
export async function lookupAbove(
  exported: Export,
  caller: Caller,
  ino: Ino,
): Promise<{ readonly dir: Inode; readonly inode: Inode }> {
  const { fs } = exported
  const root = exported.root ?? (await findRoot(exported)).ino
  if (ino === root) return fs.lookup(caller, ino, '.')
  const found = await fs.lookup(caller, ino, '..')
  for (let at = found.inode; at.ino !== root; at = await fs.getattr(at.parent))
    if (at.ino === ROOT_INO) throw new FsError('ESTALE', 'the directory has been moved out of the export')
  return found
}
