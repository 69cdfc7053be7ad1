/**
 * What the kernel has open through one mount, counted by inode: it closes each as often as it was opened, or the mount ends and
 * everything is closed. While an inode is open, it stays, on the whole matrix, when its last name goes (`MatrixFs.open`).
 */
import { assert } from '../base/assert.ts'
import type { Ino } from '../base/ids.ts'
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts'
import type { Inode, MatrixFs } from '../metadata/index.ts'

export class Opens {
  readonly #fs: MatrixFs
  readonly #counts = new Map<Ino, number>()
  #ended = false

  constructor(fs: MatrixFs) {
    this.#fs = fs
  }

  /** Open inodes. */
  get size(): number {
    return this.#counts.size
  }

  open(ino: Ino): MaybePromise<Inode> {
    const inode = this.#fs.open(ino)
    return isPromise(inode) ? inode.then((opened) => this.#opened(opened)) : this.#opened(inode)
  }

  #opened(inode: Inode): Inode {
    const { ino } = inode
    // the mount ended while it was being opened: nobody will close it
    if (this.#ended) this.#fs.close(ino)
    else this.#counts.set(ino, (this.#counts.get(ino) ?? 0) + 1)
    return inode
  }

  close(ino: Ino): void {
    if (this.#ended) return
    const count = this.#counts.get(ino)
    assert(count !== undefined, `inode ${ino} is closed as often as it was opened`)
    if (count > 1) this.#counts.set(ino, count - 1)
    else this.#counts.delete(ino)
    this.#fs.close(ino)
  }

  has(ino: Ino): boolean {
    return this.#counts.has(ino)
  }

  /** The mount has ended. */
  end(): void {
    for (const [ino, count] of this.#counts) for (let left = count; left > 0; left--) this.#fs.close(ino)
    this.#counts.clear()
    this.#ended = true
  }
}
