/**
 * The local mounts of one node: those of its configuration, and those that `matrix mount` asks for while it runs (control.ts).
 * A mount that somebody else unmounts is forgotten; all that are left are unmounted when the node stops.
 */

import { MatrixError } from '../base/errors.ts'
import { Turns } from '../base/turns.ts'
import { FuseMount } from '../gateway-fuse/index.ts'
import type { MatrixFs } from '../metadata/index.ts'
import type { Clock, Log } from '../platform/index.ts'

export type LocalMountsOptions = {
  /** The filesystems that this node serves now. */
  readonly filesystems: () => readonly MatrixFs[]
  readonly clock: Clock
  readonly log: Log
}

export class LocalMounts {
  readonly #options: LocalMountsOptions
  readonly #mounts = new Set<FuseMount>()
  /** One change at a time: two requests for one directory must not cross. */
  readonly #turns = new Turns()
  #closed = false

  constructor(options: LocalMountsOptions) {
    this.#options = options
  }

  get list(): readonly FuseMount[] {
    return [...this.#mounts]
  }

  /** Rejects with a MatrixError that says what to do. */
  mount(filesystem: string, directory: string): Promise<FuseMount> {
    return this.#turns.take(async () => {
      if (this.#closed) throw new MatrixError('withdrawn', 'the node is stopping')
      const { filesystems, clock, log } = this.#options
      const fs = filesystems().find(({ name }) => name === filesystem)
      if (!fs) {
        const known = filesystems().map(({ name }) => name)
        throw new MatrixError(
          'not-found',
          `the matrix has no filesystem "${filesystem}" that could be mounted (it has: ${known.join(', ') || 'none'})`,
        )
      }
      const mount: FuseMount = await FuseMount.start({
        ...{ fs, directory, clock, log },
        onEnd: () => this.#mounts.delete(mount),
      })
      this.#mounts.add(mount)
      return mount
    })
  }

  /** Rejects with MatrixError 'not-found'; 'in-use' unless `lazy`. */
  unmount(directory: string, lazy: boolean): Promise<void> {
    return this.#turns.take(async () => {
      // of two at one place the older was unmounted by somebody else, and waits for its last user
      const mount = this.list.findLast((each) => each.directory === directory || each.requested === directory)
      if (!mount) {
        const known = this.list.map((each) => each.directory)
        throw new MatrixError(
          'not-found',
          `nothing of this node is mounted at ${directory} (it has: ${known.join(', ') || 'none'})`,
        )
      }
      await (lazy ? mount.stop() : mount.stopIfIdle())
      this.#mounts.delete(mount)
    })
  }

  /** The node has halted. */
  abandon(): void {
    this.#closed = true
    for (const mount of this.#mounts) mount.abandon()
  }

  /** Unmounts everything. */
  close(): Promise<void> {
    this.#closed = true
    return this.#turns.take(async () => {
      await Promise.all(this.list.map((mount) => mount.stop()))
      this.#mounts.clear()
    })
  }
}
