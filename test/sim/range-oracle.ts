/**
 * What clients believe of the byte ranges that they have locked, byte by byte: from the answer that they have a range to the call by which
 * they give it up. Whatever nodes die meanwhile, the locks of two never conflict. Only what a client at a node locked (a mount) ends with the life of
 * that node: when its process is gone, its lease is over, or it begins to stop (then it has unmounted before).
 */
import type { Ino } from '../../src/base/ids.ts'
import type { ByteRange, RangeLock, RangeMode } from '../../src/locking/index.ts'
import type { SimHost, SimWorld } from './world.ts'

/** Files of which bytes are locked; the nodes on which they were born are there in some runs and not in others. */
export const INOS: readonly Ino[] = [6400, 6401, 6402, 6468, 1]
export const BYTES = 8

/** One owner of ranges; at a node, it ends with its life. */
export type Believer = {
  readonly client: string
  readonly owner: string
  readonly at: { readonly name: string; isOver(): boolean } | undefined
}

type Beliefs = Map<Believer, (RangeMode | undefined)[]>

export class RangeOracle {
  readonly #world: SimWorld
  readonly #beliefs = new Map<Ino, Beliefs>(INOS.map((ino) => [ino, new Map()]))
  /** Grants that were held against all other clients. */
  grants = 0
  /** Requests that wait now, and when two of them did last, world time. */
  waiting = 0
  #twoWaitedAt = Number.NEGATIVE_INFINITY

  constructor(world: SimWorld) {
    this.#world = world
  }

  waitEnds(): void {
    if (this.waiting >= 2) this.#twoWaitedAt = this.#world.now
    this.waiting--
  }

  /**
   * A node tells a waiter of a deadlock: somebody else waits, too, or did when it was found. It is told some time after that only by a node that stood still in between; `graceMs` after it
   * went on it has told everything.
   */
  toldOfDeadlock({ stoodStill }: SimHost, graceMs: number): void {
    if (this.waiting >= 2) return
    const isLate = stoodStill !== undefined && this.#world.now - stoodStill.until <= graceMs
    if (!isLate || this.#twoWaitedAt < stoodStill.since)
      this.fail('somebody is told of a deadlock, and nobody else waits')
  }

  /** The bytes as the believer has them now, to go back to. */
  snapshot(ino: Ino, who: Believer): readonly (RangeMode | undefined)[] {
    return [...this.#bytes(ino, who)]
  }

  restore(ino: Ino, who: Believer, bytes: readonly (RangeMode | undefined)[]): void {
    this.#of(ino).set(who, [...bytes])
  }

  /** It has been told that it has the range. */
  holds(ino: Ino, who: Believer, { start, end }: ByteRange, mode: RangeMode): void {
    this.grants++
    for (const [other, bytes] of this.#of(ino)) {
      if (other === who || other.at?.isOver()) continue
      for (let at = start; at <= end; at++) {
        const theirs = bytes[at]
        if (theirs && (theirs === 'exclusive' || mode === 'exclusive'))
          this.fail(`byte ${at} of ${ino} is locked by ${nameOf(who)} (${mode}) and by ${nameOf(other)} (${theirs})`)
      }
    }
    this.#bytes(ino, who).fill(mode, start, end + 1)
  }

  /** It asks for the range in a mode that may be weaker than what it has: from now on it counts on no more than that. */
  weakens(ino: Ino, who: Believer, { start, end }: ByteRange, mode: RangeMode): void {
    const bytes = this.#bytes(ino, who)
    for (let at = start; at <= end; at++) if (bytes[at] && mode === 'shared') bytes[at] = 'shared'
  }

  /** It counts on the range no longer. */
  releases(ino: Ino, who: Believer, { start, end }: ByteRange): void {
    this.#bytes(ino, who).fill(undefined, start, end + 1)
  }

  forgets(who: Believer): void {
    for (const beliefs of this.#beliefs.values()) beliefs.delete(who)
  }

  /** What the believer counts on, as single bytes. */
  *believed(who: Believer): IterableIterator<RangeLock & { readonly ino: Ino }> {
    const { client, owner } = who
    for (const [ino, beliefs] of this.#beliefs) {
      for (const [at, mode] of (beliefs.get(who) ?? []).entries()) {
        if (mode) yield { ino, client, owner, start: at, end: at, mode }
      }
    }
  }

  fail(what: string): void {
    this.#world.fail(new Error(`${this.#world.now} ms: ${what}`))
  }

  #of(ino: Ino): Beliefs {
    return this.#beliefs.get(ino) as Beliefs
  }

  #bytes(ino: Ino, who: Believer): (RangeMode | undefined)[] {
    const beliefs = this.#of(ino)
    let bytes = beliefs.get(who)
    if (!bytes) beliefs.set(who, (bytes = new Array<RangeMode | undefined>(BYTES).fill(undefined)))
    return bytes
  }
}

function nameOf({ client, owner, at }: Believer): string {
  return `${client}/${owner}${at ? ` at ${at.name}` : ''}`
}
