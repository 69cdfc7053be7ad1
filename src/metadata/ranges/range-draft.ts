/**
 * The byte-range locks of one inode in the hands of whoever holds its lock L exclusively: a table in memory, and the rows that have to
 * follow it. Several steps share a transaction; each step is whole in it.
 */
import { FsError } from '../../base/errors.ts'
import type { Ino, Slot } from '../../base/ids.ts'
import type { Life } from '../../base/life.ts'
import type { ByteRange, RangeLock, RangeMode, RangeOwner, RangeTable, RangeWaiter } from '../../locking/index.ts'
import type { Mutation } from '../image/mutation.ts'

/** A waiter, and the life of the node at which it waits: nobody but that node grants it, and it is void when that is gone. */
export type MatrixWaiter = RangeWaiter & Life
export type MatrixTable = RangeTable<MatrixWaiter>

/** What one step, and with it one transaction, may take, bytes: a journal frame holds a multiple. */
const STEP_BYTES_MAX = 64 * 1024
/** A transaction with so much is committed before the next step. */
const LARGE_BYTES = 4 * 1024
/** Of a row without its names. */
const ROW_BYTES = 40

export class RangeDraft {
  readonly ino: Ino
  readonly table: MatrixTable
  readonly #commit: (mutations: readonly Mutation[]) => void
  #mutations: Mutation[] = []
  #bytes = 0
  #afterwards: (() => void)[] = []
  /** Where those waited who no longer do. */
  readonly dropped = new Set<Slot>()
  /** Something has been committed. */
  hasChanged = false

  constructor(ino: Ino, table: MatrixTable, commit: (mutations: readonly Mutation[]) => void) {
    this.ino = ino
    this.table = table
    this.#commit = commit
  }

  /** The owner holds `range` in `mode` from now on. Throws FsError ENOLCK when that would replace too many pieces. */
  hold(owner: RangeOwner, range: ByteRange, mode: RangeMode): void {
    const pieces = this.table.locksOf(owner).filter((lock) => lock.start <= range.end && range.start <= lock.end)
    if ((pieces.length + 3) * rowBytes(owner) > STEP_BYTES_MAX)
      throw new FsError('ENOLCK', 'too many locks would become one')
    this.#set(owner, range, mode)
  }

  /** The owner holds nothing of `range`. */
  release(owner: RangeOwner, range: ByteRange): void {
    for (const { start, end } of [...this.table.locksOf(owner)]) {
      if (start > range.end || end < range.start) continue
      this.#set(owner, { start: Math.max(start, range.start), end: Math.min(end, range.end) }, undefined)
      this.commitIfLarge()
    }
  }

  #set(owner: RangeOwner, range: ByteRange, mode: RangeMode | undefined): void {
    const { ino } = this
    const { gone, come } = this.table.set(owner, range, mode)
    for (const { client, owner: name, start } of gone) {
      if (!come.some((lock) => lock.start === start))
        this.#push({ op: 'removeRangeLock', ino, client, owner: name, start })
    }
    for (const lock of come) this.#push({ op: 'putRangeLock', ino, ...rowOf(lock) })
  }

  queue(request: RangeLock, life: Life): MatrixWaiter {
    const { slot, incarnation } = life
    const { client, owner, start, end, mode } = request
    const order = this.table.nextOrder
    const waiter = { client, owner, start, end, mode, order, slot, incarnation }
    this.table.queue(waiter)
    this.#push({ op: 'putRangeWait', ino: this.ino, place: order, slot, incarnation, ...rowOf(waiter) })
    return waiter
  }

  /** No longer waits; nothing when it did not. */
  drop(order: number): void {
    const waiter = this.table.drop(order)
    if (!waiter) return
    this.#push({ op: 'removeRangeWait', ino: this.ino, place: order })
    this.dropped.add(waiter.slot)
  }

  /** Runs once what there is so far has been committed, within the turn. */
  afterwards(run: () => void): void {
    this.#afterwards.push(run)
  }

  commitIfLarge(): void {
    if (this.#bytes > LARGE_BYTES) this.commit()
  }

  commit(): void {
    if (this.#mutations.length > 0) {
      this.#commit(this.#mutations)
      this.hasChanged = true
    }
    this.#mutations = []
    this.#bytes = 0
    const afterwards = this.#afterwards
    this.#afterwards = []
    for (const run of afterwards) run()
  }

  #push(mutation: Mutation): void {
    this.#mutations.push(mutation)
    this.#bytes += 'client' in mutation && 'owner' in mutation ? rowBytes(mutation) : ROW_BYTES
  }
}

/** Takes those out of the line. */
export function dropWaits(draft: RangeDraft, which: (waiter: MatrixWaiter) => boolean): void {
  for (const waiter of [...draft.table.waiters]) {
    if (!which(waiter)) continue
    draft.drop(waiter.order)
    draft.commitIfLarge()
  }
}

function rowBytes({ client, owner }: RangeOwner): number {
  return ROW_BYTES + Buffer.byteLength(client) + Buffer.byteLength(owner)
}

function rowOf({ client, owner, start, end, mode }: RangeLock) {
  return { client, owner, start, end, exclusive: mode === 'exclusive' }
}
