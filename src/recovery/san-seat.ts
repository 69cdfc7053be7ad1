/**
 * What makes a node administrator in the SAN: the SAN locks, and a SAN generation that it has raised under them (Fig 11B, R91–R94). And
 * what it may do with them: write the membership database.
 *
 * Invariant: the SAN locks are given back only when no write of the database is under way. It would land on top of the next
 * administrator's. After one whose outcome is unknown they are kept: this node may try again, or they end with its life.
 */
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Seat } from '../cluster/index.ts'
import type { MembershipDatabase, MembershipStore, SanLock } from '../san/index.ts'
import type { Fencing } from './fencing.ts'

export type SanSeatOptions = {
  readonly lock: SanLock
  readonly store: MembershipStore
  readonly fencing: Pick<Fencing, 'isPowerless'>
}

export class SanSeat {
  readonly #options: SanSeatOptions
  #seat: Seat | undefined

  constructor(options: SanSeatOptions) {
    this.#options = options
  }

  /**
   * Rejects with MatrixError 'in-use' (another node owns the SAN locks and is alive, or tries at the same time), 'lun-io', 'timeout', or
   * as the database's reading and writing do; then nothing is held.
   */
  async take(): Promise<Seat> {
    const { lock, store, fencing } = this.#options
    const outcome = await lock.acquire((owner) => fencing.isPowerless(owner))
    if (outcome.kind === 'contended') throw new MatrixError('in-use', 'another node tries to get the SAN locks')
    if (outcome.kind === 'owned') {
      const { term, life } = outcome.owner
      throw new MatrixError('in-use', `slot ${life.slot} owns the SAN locks (term ${term}) and is alive`)
    }
    const { term } = outcome
    let wrote = false
    try {
      const database = await store.read()
      wrote = true
      const { generation } = await store.write({ ...database, term })
      this.#seat = { term, generation }
      return this.#seat
    } catch (error) {
      const isUnknown = wrote && !isMatrixError(error, 'view-changed')
      if (!isUnknown) await lock.release(term).catch(() => {}) // they end with this life's lease at the latest
      throw error
    }
  }

  async leave({ term }: Seat): Promise<void> {
    const { store, lock } = this.#options
    this.#seat = undefined
    await store.settled()
    await lock.release(term)
  }

  /** The database once no write of this node is under way, and with what became of those that failed decided. Rejects as `writeDatabase`. */
  async readDatabase(): Promise<MembershipDatabase> {
    const { store } = this.#options
    const database = await store.readInTurn()
    return store.isDecided ? database : this.writeDatabase(database)
  }

  /** Replaces the database that `next` was derived from. Rejects as `MembershipStore.write`, and with 'view-changed' without a seat. */
  async writeDatabase(next: MembershipDatabase): Promise<MembershipDatabase> {
    return this.#options.store.write({ ...next, term: this.#term() })
  }

  /** Finishes the change that is pending in `database` (1608). Rejects as `MembershipStore.finish`, and with 'view-changed' without a seat. */
  async finishChange(database: MembershipDatabase): Promise<MembershipDatabase> {
    return this.#options.store.finish({ ...database, term: this.#term() })
  }

  #term(): number {
    const term = this.#seat?.term
    if (term === undefined) throw new MatrixError('view-changed', 'this node is not administrator')
    return term
  }
}
