/**
 * The SAN locks: who of those that may not be able to talk is administrator, decided by nothing but reads and writes of sectors on the
 * membership partitions (R91, R99). A lease in the manner of Disk Paxos (Gafni and Lamport 2003; sanlock does the same).
 *
 * Ownership goes by terms. Each term has one owner, a life of a node, decided for ever. The owner holds the locks as long as its disk
 * lease is good, until it releases them. Term t+1 begins once the owner of term t has released them or is surely dead.
 *
 *     try for term t, ballot b (higher than any seen, unique to the slot):
 *       1  write  promised b                             then read all: somebody further on → give up
 *          owner := what was accepted in the highest ballot seen of this term, else this life
 *       2  write  promised b, accepted b, owner          then read all: somebody further on → give up
 *          now the owner of t is decided; write that, too, to spare others the two rounds
 *
 * Invariants
 *   1. A sector has one writer, which never takes back a promise: a new life of a slot begins with what its former one has written
 *      (it starts only when nothing of that one can land any more, lease-claim.ts).
 *   2. Two decisions of one term name one owner: each round writes to a majority before it reads a majority, so of two tries the later
 *      one meets the promise, and the accepted owner, of the earlier.
 *   3. A life owns a term only by a decision, and its own lease outlives whatever it does as the owner: whoever takes the next term has
 *      waited for the end of that lease and of its last I/O.
 *   4. Writes of one sector go one after another (partitions.ts); after one that failed, and so may land later, the next one repeats
 *      it or goes beyond it.
 *
 * A crash leaves: a promise (others choose a higher ballot); an accepted owner (the next try of this term decides for it; being dead, it
 * is passed over by the next term); a decision. A damaged sector says nothing: of three partitions another copy counts.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { type Life, sameLife } from '../base/life.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import { Turns } from '../base/turns.ts'
import type { Log } from '../platform/log.ts'
import { decodeCopies, newestFirst, sectorOf } from './lease-sector.ts'
import { SAN_LOCK_OFFSET, sanLockOffset } from './lun-layout.ts'
import type { Partitions } from './partitions.ts'
import { decodeSanLock, encodeSanLock, type SanLockRecord } from './san-lock-sector.ts'

export type SanLockOptions = {
  /** Behind the fence gate: nothing is decided by a node that may not write. */
  readonly partitions: Partitions
  /** This one, with a good disk lease. */
  readonly life: Life
  readonly log: Log
}

/** Who owned the latest term that is decided. */
export type SanLockOwner = { readonly term: number; readonly life: Life; readonly released: boolean }

export type SanLockOutcome =
  /** This life owns `term`. */
  | { readonly kind: 'held'; readonly term: number }
  /** Another life owns it and has not released it. */
  | { readonly kind: 'owned'; readonly owner: SanLockOwner }
  /** Another life tries, too: try again a little later. */
  | { readonly kind: 'contended' }

export class SanLock {
  readonly #options: SanLockOptions
  #own: SanLockRecord | undefined
  /** One try or release at a time. */
  readonly #turns = new Turns()

  constructor(options: SanLockOptions) {
    this.#options = options
  }

  /** The latest owner as the partitions tell, undefined before the first. Rejects with 'lun-io', 'timeout', 'lun-damaged'. */
  async owner(): Promise<SanLockOwner | undefined> {
    return latestOwner(await this.#readAll())
  }

  /**
   * One try. `isDead`: whether a life is surely dead; asked of an owner that has not released the locks. Rejects with 'lun-io', 'timeout',
   * 'lun-damaged', 'fenced'.
   */
  acquire(isDead: (owner: Life) => Promise<boolean>): Promise<SanLockOutcome> {
    return this.#turns.take(() => this.#acquire(isDead))
  }

  /** Gives up `term`, which this life owns. Nothing may be done as its owner from the call on. Rejects as `acquire`. */
  release(term: number): Promise<void> {
    return this.#turns.take(async () => {
      const own = this.#own
      const { life } = this.#options
      assert(own?.term === term && own.owner && sameLife(own.owner, life), `released term ${term} without owning it`)
      await this.#write({ ...own, state: 'released' })
    })
  }

  async #acquire(isDead: (owner: Life) => Promise<boolean>): Promise<SanLockOutcome> {
    const { life, log } = this.#options
    const seen = await this.#readAll()
    // what this slot has promised: read once per life, then known
    this.#own ??= seen.find((record) => record.slot === life.slot)
    const own = this.#own ?? { ...unwritten, slot: life.slot }
    const before = [own, ...seen]
    const highestTerm = Math.max(...before.map((record) => record.term))
    const last = latestOwner(before)
    // a later term has begun already: whoever began it was sure that this owner is no more
    const isOver = !last || last.released || last.term < highestTerm
    if (!isOver) {
      if (sameLife(last.life, life)) return this.#hold(own, last.term)
      if (!brokenRules.ownerSurelyDead && !(await isDead(last.life))) return { kind: 'owned', owner: last }
    }
    const term = last?.term === highestTerm ? highestTerm + 1 : Math.max(highestTerm, 1)
    const kept = own.term === term ? own : { ...unwritten, slot: life.slot, term }
    const highest = Math.max(kept.promised, ...before.filter((other) => other.term === term).map((r) => r.promised))
    const ballot = nextBallot(highest, life.slot)

    await this.#write({ ...kept, promised: ballot })
    const first = await this.#readAll()
    if (this.#isBehind(term, ballot, first)) return { kind: 'contended' }
    const owner = (brokenRules.acceptedOwnerStays ? undefined : acceptedOwner(term, [...first, kept])) ?? life

    await this.#write({ ...kept, promised: ballot, accepted: ballot, owner })
    const second = await this.#readAll()
    if (!brokenRules.laterBallotWins && this.#isBehind(term, ballot, second)) return { kind: 'contended' }
    await this.#write({ ...kept, promised: ballot, accepted: ballot, owner, state: 'decided' })
    log.info({ term, owner, ballot }, 'the owner of the SAN locks is decided')
    if (sameLife(owner, life)) return { kind: 'held', term }
    return { kind: 'owned', owner: { term, life: owner, released: false } }
  }

  /** Another one has decided for this life: the own sector must say so, too, so that it can be released. */
  async #hold(own: SanLockRecord, term: number): Promise<SanLockOutcome> {
    assert(own.term === term && own.owner, `term ${term} is this life's, which never asked for it`)
    if (own.state !== 'decided') await this.#write({ ...own, owner: this.#options.life, state: 'decided' })
    return { kind: 'held', term }
  }

  #isBehind(term: number, ballot: number, seen: readonly SanLockRecord[]): boolean {
    return seen.some(
      (other) =>
        other.slot !== this.#options.life.slot &&
        (other.term > term || (other.term === term && (other.promised > ballot || other.state !== 'undecided'))),
    )
  }

  /** The newest record of every slot that has one. */
  async #readAll(): Promise<SanLockRecord[]> {
    const regions = await this.#options.partitions.read(SAN_LOCK_OFFSET, MAX_SLOTS * SECTOR_SIZE)
    return Array.from({ length: MAX_SLOTS }, (_, slot) => {
      const copies = regions.map((region) => sectorOf(slot, region))
      return decodeCopies(copies, (copy) => decodeSanLock(slot, copy)).sort(newestFirst)[0]
    }).filter((record) => record !== undefined)
  }

  async #write(next: SanLockRecord): Promise<void> {
    const { life, partitions } = this.#options
    const counter = this.#own?.incarnation === life.incarnation ? this.#own.counter + 1 : 1
    // from here on it may land, whatever the answer
    this.#own = { ...next, incarnation: life.incarnation, counter }
    await partitions.write(sanLockOffset(life.slot), encodeSanLock(this.#own), 'san-lock')
  }
}

const unwritten: SanLockRecord = {
  slot: 0,
  incarnation: 0,
  counter: 0,
  term: 0,
  promised: 0,
  accepted: 0,
  owner: undefined,
  state: 'undecided',
}

/** The decided term that is highest, with its owner; released when the owner says so. */
function latestOwner(records: readonly SanLockRecord[]): SanLockOwner | undefined {
  let latest: SanLockOwner | undefined
  for (const { term, owner, state } of records) {
    if (state === 'undecided' || !owner || term < (latest?.term ?? 0)) continue
    const released = state === 'released' || (latest?.term === term && latest.released)
    latest = { term, life: owner, released }
  }
  return latest
}

/** The owner accepted in the highest ballot of `term`. */
function acceptedOwner(term: number, records: readonly SanLockRecord[]): Life | undefined {
  const accepted = records.filter((record) => record.term === term && record.accepted > 0)
  return accepted.sort((a, b) => b.accepted - a.accepted)[0]?.owner
}

/** The lowest ballot above `highest` that is this slot's alone, from 1. */
function nextBallot(highest: number, slot: number): number {
  const round = Math.floor(highest / MAX_SLOTS) + 1
  return round * MAX_SLOTS + slot
}
