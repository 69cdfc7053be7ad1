/**
 * The tables of this node: each is good as long as lock L of its inode is held, and is changed only while that is held exclusively,
 * together with its rows. What is void goes first, then what was to be done is, then those who wait here and whose turn has come are
 * granted; it is committed, and other nodes are told whose turn has come there.
 */
import { brokenRules } from '../../base/broken-rules.ts'
import type { Ino } from '../../base/ids.ts'
import { EX, type Hold, NL, PR, RANGE_LOCK, resourceId, resourceNumber } from '../../locking/index.ts'
import { journalCallouts } from '../journal-callouts.ts'
import { dropWaits, type MatrixTable, RangeDraft } from './range-draft.ts'
import { asRangeError } from './range-limits.ts'
import type { RangeParts } from './range-parts.ts'
import { isVoid, readTable } from './range-rows.ts'

/** Lock L is waited for so long before the caller is told to try again, ms. */
const PATIENCE_MS = 10_000

/** Those who wait here, as far as a table concerns them. */
export interface LocalLine {
  /** Forgets whom some peer has taken out of the line. */
  missing(table: MatrixTable, ino: Ino): void
  /** Makes locks of those whose turn it is. */
  grant(draft: RangeDraft): void
}

/** Nothing of it was void when `lives` had that version. */
type Kept = { readonly table: MatrixTable; livesVersion: number }

export class RangeTables {
  readonly #parts: RangeParts
  readonly #line: LocalLine
  /** Of inodes whose L is held; not those that are empty. */
  readonly #kept = new Map<Ino, Kept>()

  constructor(parts: RangeParts, line: LocalLine) {
    this.#parts = parts
    this.#line = line
    const plain = journalCallouts(parts.volume)
    parts.locks.registerCallouts(RANGE_LOCK, {
      acquired: (rid, mode, vector) => {
        if (!brokenRules.tableGoesWithLock) this.#kept.delete(resourceNumber(rid))
        return plain.acquired(rid, mode, vector)
      },
      surrender: (rid, from, to) => {
        if (to === NL && !brokenRules.tableGoesWithLock) this.#kept.delete(resourceNumber(rid))
        return plain.surrender(rid, from, to)
      },
    })
  }

  /** Gives `look` the table as it is now, to read. Rejects with what gateways may see. */
  async read<T>(ino: Ino, look: (table: MatrixTable) => T): Promise<T> {
    const { volume, lives } = this.#parts
    try {
      const hold = await this.#pin(ino, PR)
      try {
        return look(this.#hasVoid(ino) ? readTable(volume.image, ino, lives) : this.#get(ino).table)
      } finally {
        hold.release()
        this.#forgetEmpty(ino)
      }
    } catch (error) {
      throw asRangeError(error)
    }
  }

  /** Runs `work` with lock L held exclusively, and commits; rejects with what gateways may see. 'grows': it may add rows. */
  async change<T>(ino: Ino, work: (draft: RangeDraft) => T, growth?: 'grows'): Promise<T> {
    const { volume } = this.#parts
    try {
      if (growth && !volume.hasRoom) await volume.room()
      const hold = await this.#pin(ino, EX)
      try {
        return this.within(ino, work)
      } finally {
        hold.release()
      }
    } catch (error) {
      throw asRangeError(error)
    }
  }

  /** The same, by whoever holds L exclusively already; within the turn. */
  within<T>(ino: Ino, work: (draft: RangeDraft) => T): T {
    const { volume, peers, self } = this.#parts
    const draft = new RangeDraft(ino, this.#get(ino).table, (mutations) => volume.commit(mutations))
    try {
      if (this.#hasVoid(ino)) this.#dropVoid(draft)
      this.#line.missing(draft.table, ino)
      const result = work(draft)
      this.#line.grant(draft)
      draft.commit()
      if (draft.hasChanged) {
        const slots = new Set([...draft.dropped, ...draft.table.promised().map(({ slot }) => slot)])
        for (const slot of slots) if (slot !== self.slot) peers.wake(slot, ino)
      }
      this.#forgetEmpty(ino)
      return result
    } catch (error) {
      this.#kept.delete(ino)
      throw error
    }
  }

  /** The table as this node knows it, without anything void: as it is while L is held, else a little late. To read within the turn. */
  known(ino: Ino): MatrixTable {
    const { volume, lives } = this.#parts
    const kept = this.#kept.get(ino)
    return kept?.livesVersion === lives.version ? kept.table : readTable(volume.image, ino, lives)
  }

  /** For whoever holds L exclusively: without anything void. */
  held(ino: Ino): MatrixTable {
    if (this.#hasVoid(ino)) this.within(ino, () => {})
    return this.#get(ino).table
  }

  clear(): void {
    this.#kept.clear()
  }

  #hasVoid(ino: Ino): boolean {
    const { lives } = this.#parts
    const kept = this.#get(ino)
    if (kept.livesVersion === lives.version) return false
    if (kept.table.waiters.some((waiter) => isVoid(waiter, lives))) return true
    for (const lock of kept.table.locks()) if (isVoid(lock, lives)) return true
    kept.livesVersion = lives.version
    return false
  }

  #dropVoid(draft: RangeDraft): void {
    const { lives } = this.#parts
    dropWaits(draft, (waiter) => isVoid(waiter, lives))
    for (const lock of [...draft.table.locks()]) if (isVoid(lock, lives)) draft.release(lock, lock)
  }

  #get(ino: Ino): Kept {
    let kept = this.#kept.get(ino)
    if (!kept) {
      kept = { table: readTable(this.#parts.volume.image, ino), livesVersion: -1 }
      this.#kept.set(ino, kept)
    }
    return kept
  }

  #forgetEmpty(ino: Ino): void {
    if (this.#kept.get(ino)?.table.isEmpty) this.#kept.delete(ino)
  }

  async #pin(ino: Ino, mode: typeof EX | typeof PR): Promise<Hold> {
    const hold = await this.#parts.locks.acquire(resourceId(RANGE_LOCK, ino), mode, { timeoutMs: PATIENCE_MS })
    return hold as Hold
  }
}
