/**
 * SHARE and UNSHARE: share reservations of DOS and Windows. Whoever opens a file says what it wants to do, and what others may not do
 * meanwhile. Known to this node only, and gone when it restarts: clients that need them have to come through one node.
 */
import type { RangeOwner } from '../../locking/index.ts'
import type { MatrixFs } from '../../metadata/index.ts'
import { SHARES_MAX } from '../limits.ts'
import type { LockedFile } from './files.ts'
import { Nlm4Failure } from './status.ts'
import { NLM4_DENIED_NOLOCKS } from './tables.ts'

type Share = RangeOwner & { readonly access: number; readonly deny: number }

export class Shares {
  /** By filesystem and inode. */
  readonly #files = new Map<string, Share[]>()
  #count = 0

  get count(): number {
    return this.#count
  }

  /** False: another one's is in the way. A second one of the same owner replaces its first. Throws Nlm4Failure. */
  share(file: LockedFile, share: Share): boolean {
    const key = keyOf(file)
    const others = (this.#files.get(key) ?? []).filter((each) => !isSame(each, share))
    if (others.some((each) => (each.deny & share.access) !== 0 || (share.deny & each.access) !== 0)) return false
    if (this.#count >= SHARES_MAX) throw new Nlm4Failure(NLM4_DENIED_NOLOCKS)
    this.#put(key, [...others, share])
    return true
  }

  unshare(file: LockedFile, owner: RangeOwner): void {
    const key = keyOf(file)
    this.#put(
      key,
      (this.#files.get(key) ?? []).filter((each) => !isSame(each, owner)),
    )
  }

  dropClient(fs: MatrixFs, client: string): void {
    for (const [key, shares] of this.#files) {
      if (!key.startsWith(`${fs.fsid}/`)) continue
      this.#put(
        key,
        shares.filter((each) => each.client !== client),
      )
    }
  }

  #put(key: string, shares: Share[]): void {
    this.#count += shares.length - (this.#files.get(key)?.length ?? 0)
    if (shares.length > 0) this.#files.set(key, shares)
    else this.#files.delete(key)
  }
}

function isSame(one: RangeOwner, other: RangeOwner): boolean {
  return one.client === other.client && one.owner === other.owner
}

function keyOf({ fs, ino }: LockedFile): string {
  return `${fs.fsid}/${ino}`
}
