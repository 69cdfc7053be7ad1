/**
 * Inodes that the kernel has found lately. It goes to a file in two steps, LOOKUP and then GETATTR, and between them another may put a file in its
 * place: the inode is gone then, although at every moment something has been at the name. A local filesystem keeps an inode for as
 * long as somebody is on the way to it; here it is enough to say what it was, and that it has no name any more.
 */

import { isFsError } from '../base/errors.ts'
import type { Ino } from '../base/ids.ts'
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts'
import { asOfNow, type Inode } from '../metadata/index.ts'

/** As many as requests may be under way, and more. */
const REMEMBERED = 512

export class LatelyFound {
  readonly #inodes = new Map<Ino, Inode>()

  note(inode: Inode): Inode {
    const inodes = this.#inodes
    if (inodes.get(inode.ino) === inode) return inode
    inodes.set(inode.ino, inode)
    if (inodes.size > REMEMBERED) {
      const [oldest] = inodes.keys()
      inodes.delete(oldest as Ino)
    }
    return inode
  }

  /** What `getattr` gives; of what is gone, what was found. */
  orFound(ino: Ino, getattr: () => MaybePromise<Inode>): MaybePromise<Inode> {
    try {
      const inode = getattr()
      return isPromise(inode) ? inode.catch((error) => this.#found(ino, error)) : inode
    } catch (error) {
      return this.#found(ino, error)
    }
  }

  #found(ino: Ino, error: unknown): Inode {
    const found = this.#inodes.get(ino)
    if (!found || !isFsError(error, 'ESTALE')) throw error
    return { ...asOfNow(found), nlink: 0, wire: undefined }
  }
}
