/** Removing what is not at the source any more. */
import { constants } from 'node:fs'
import { join } from 'node:path/posix'
import type { InodeLike } from '@zenfs/core'
import { codeOf } from '../program-api/index.ts'
import type { Tree } from './tree.ts'

/** An object, and of a directory everything in it that `mayGo`; a directory in which something stays, stays. Gives how many objects went. */
export async function removeTree(
  tree: Tree,
  path: string,
  inode: InodeLike,
  mayGo: (path: string) => boolean,
): Promise<number> {
  if (!mayGo(path)) return 0
  if ((inode.mode & constants.S_IFMT) !== constants.S_IFDIR) {
    await tree.unlink(path)
    return 1
  }
  let removed = 0
  for (const name of await tree.readdir(path)) {
    const each = join(path, name)
    removed += await removeTree(tree, each, await tree.stat(each), mayGo)
  }
  try {
    await tree.rmdir(path)
    return removed + 1
  } catch (error) {
    if (codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST') return removed
    throw error
  }
}
