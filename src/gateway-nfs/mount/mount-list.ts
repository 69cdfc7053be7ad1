/** Who has mounted what through this node: advice for DUMP, kept in memory and bounded (RFC 1813 5.2.2). */
import { type Export, holds } from '../../export/index.ts'
import { MOUNTS_MAX } from '../limits.ts'

export type Mount = { readonly host: string; readonly path: string }

export class MountList {
  /** In the order of mounting; the key joins host and path. */
  readonly #mounts = new Map<string, Mount>()

  add(mount: Mount): void {
    const key = keyOf(mount)
    this.#mounts.delete(key)
    this.#mounts.set(key, mount)
    if (this.#mounts.size <= MOUNTS_MAX) return
    for (const oldest of this.#mounts.keys()) {
      this.#mounts.delete(oldest)
      break
    }
  }

  remove(mount: Mount): void {
    this.#mounts.delete(keyOf(mount))
  }

  removeAll(host: string): void {
    for (const [key, mount] of this.#mounts) if (mount.host === host) this.#mounts.delete(key)
  }

  /** What was mounted of an export that is no more is not mounted any more. */
  list(exports: readonly Export[]): readonly Mount[] {
    for (const [key, { path }] of this.#mounts) if (!exports.some((each) => holds(each, path))) this.#mounts.delete(key)
    return [...this.#mounts.values()]
  }
}

function keyOf({ host, path }: Mount): string {
  return `${host}\0${path}`
}
