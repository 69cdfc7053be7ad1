/** Byte-range locks of one process by itself: all tables in memory, nothing survives. What the distributed ones are held against, and what gateways are tested on. */
import { FsError } from '../../src/base/errors.ts'
import type { Incarnation, Ino, Slot } from '../../src/base/ids.ts'
import type { Life } from '../../src/base/life.ts'
import {
  type ByteRange,
  checkOwner,
  checkRange,
  FLOCK_BYTE,
  findDeadlock,
  localClientOf,
  ownerKey,
  type RangeLock,
  type RangeLocks,
  type RangeOwner,
  type RangeRequest,
  RangeTable,
  type RangeWait,
  type RangeWaiter,
  type WaitGraph,
} from '../../src/locking/index.ts'

type Waiter = RangeWaiter & { readonly ino: Ino; resolve(): void; reject(error: Error): void }

const self: Life = { slot: 0 as Slot, incarnation: 1 as Incarnation }

export class LocalRangeLocks implements RangeLocks {
  readonly #tables = new Map<Ino, RangeTable<Waiter>>()
  readonly #graph: WaitGraph = {
    waitsOf: (owner) => this.#waitsOf(ownerKey(owner)),
    inTheWayOf: (wait) => this.#table(wait.ino).ownersInTheWay(wait),
  }

  localClient(name: string): string {
    return localClientOf(self, name)
  }

  async test(request: RangeRequest): Promise<RangeLock | undefined> {
    check(request)
    return this.#tables.get(request.ino)?.inTheWay(request)
  }

  async take(request: RangeRequest): Promise<RangeLock | undefined> {
    check(request)
    const table = this.#table(request.ino)
    const other = table.inTheWay(request)
    if (!other) {
      table.set(request, request, request.mode)
      this.#serve(request.ino, table)
    }
    return other
  }

  wait(request: RangeRequest): RangeWait {
    const { ino } = request
    let waiter: Waiter | undefined
    const granted = new Promise<void>((resolve, reject) => {
      check(request)
      const table = this.#table(ino)
      if (!table.inTheWay(request)) {
        table.set(request, request, request.mode)
        this.#serve(ino, table)
        resolve()
        return
      }
      if (request.start !== FLOCK_BYTE.start && findDeadlock(this.#graph, request)) throw new FsError('EDEADLK')
      const { client, owner, start, end, mode } = request
      waiter = { client, owner, start, end, mode, ino, order: table.nextOrder, resolve, reject }
      table.queue(waiter)
    })
    granted.catch(() => {})
    return {
      granted,
      cancel: async () => {
        if (!waiter || !this.#table(ino).drop(waiter.order)) return false
        waiter.reject(new FsError('EINTR'))
        this.#serve(ino, this.#table(ino))
        return true
      },
    }
  }

  async release(ino: Ino, owner: RangeOwner, range: ByteRange): Promise<void> {
    check({ ...owner, ...range })
    const table = this.#table(ino)
    table.set(owner, range, undefined)
    this.#serve(ino, table)
  }

  async releaseClient(client: string, unless: () => boolean = () => false): Promise<void> {
    if (unless()) return
    for (const [ino, table] of this.#tables) {
      for (const waiter of [...table.waiters]) {
        if (waiter.client !== client) continue
        table.drop(waiter.order)
        waiter.reject(new FsError('EINTR'))
      }
      for (const lock of [...table.locks()]) if (lock.client === client) table.set(lock, lock, undefined)
      this.#serve(ino, table)
    }
  }

  /** All that is held, for tests. */
  *held(): IterableIterator<RangeRequest> {
    for (const [ino, table] of this.#tables) for (const lock of table.locks()) yield { ino, ...lock }
  }

  /** Grants what has become free, in order. */
  #serve(ino: Ino, table: RangeTable<Waiter>): void {
    for (let next = table.promised()[0]; next; next = table.promised()[0]) {
      table.drop(next.order)
      table.set(next, next, next.mode)
      next.resolve()
    }
    if (table.isEmpty) this.#tables.delete(ino)
  }

  #table(ino: Ino): RangeTable<Waiter> {
    let table = this.#tables.get(ino)
    if (!table) this.#tables.set(ino, (table = new RangeTable()))
    return table
  }

  *#waitsOf(key: string): IterableIterator<Waiter> {
    for (const table of this.#tables.values()) {
      for (const waiter of table.waiters) if (ownerKey(waiter) === key) yield waiter
    }
  }
}

function check(request: RangeOwner & ByteRange): void {
  checkRange(request)
  checkOwner(request, self)
}
