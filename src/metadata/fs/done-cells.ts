/**
 * Where this node records the requests that it has done (image/done-requests.ts says what for). A request has to stay as long as its
 * client may not have got the answer, and only that client's own later requests say anything about that. So a new one takes the cell of
 *
 *   1. the oldest of the same client, when that has its share of the cells: MAX_PER_CLIENT, less when there are many clients;
 *   2. else the oldest of all, when that is older than LIFE_MS;
 *   3. else none that was used before;
 *   4. else the oldest of all.
 *
 * A client that went away with an answer missing keeps its last requests for LIFE_MS, however busy the others are. What an earlier life
 * of the slot has recorded stays for LIFE_MS, too.
 */
import { assert } from '../../base/assert.ts'
import { isMatrixError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import type { Clock, Timer } from '../../platform/index.ts'
import { DONE_CELLS, type RequestId } from '../image/done-requests.ts'
import type { Mutation } from '../image/mutation.ts'
import type { VolumeApi } from '../volume-api.ts'

/** Longer than clients wait before they send again, ms. */
const LIFE_MS = 120_000
/** The image's requests get older so often, ms. */
const AGE_MS = 60_000
/** More than a client has under way: what it asks for later says that it has got the answers before. */
const MAX_PER_CLIENT = 512
const MIN_PER_CLIENT = 16

type Cell = {
  readonly number: number
  at: number
  /** Neighbours of all that are in use, by age. */
  older: Cell | undefined
  newer: Cell | undefined
  /** Undefined: recorded by an earlier life. */
  of: ClientCells | undefined
  /** The next younger one of the same client. */
  next: Cell | undefined
}

type ClientCells = { readonly client: number; oldest: Cell | undefined; newest: Cell | undefined; count: number }

export class DoneCells {
  readonly #volume: VolumeApi
  readonly #clock: Clock
  readonly #clients = new Map<number, ClientCells>()
  #oldest: Cell | undefined
  #newest: Cell | undefined
  #used = 0
  #timer: Timer | undefined
  /** The cell that `record` has chosen, until `recorded`. */
  #chosen: Cell | undefined
  #chosenFor = 0

  constructor(volume: VolumeApi, clock: Clock) {
    this.#volume = volume
    this.#clock = clock
  }

  /** Reads what an earlier life of this slot has recorded; under `N:<slot>` EX. */
  start(): void {
    const now = this.#clock.now()
    const { done } = this.#volume.image
    this.#used = done.cellsOf(this.#volume.slot)
    for (let number = 0; number < this.#used; number++)
      this.#append({ number, at: now, older: undefined, newer: undefined, of: undefined, next: undefined })
    this.#timer = this.#clock.every(AGE_MS, () => this.#age())
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** The mutation that records a request, which has made the inode `made` (0: none). Call `recorded` once it is committed. */
  record({ client, xid, check }: RequestId, made: Ino): Mutation {
    const cell = this.#choose(client)
    this.#chosen = cell
    this.#chosenFor = client
    return { op: 'putDone', slot: this.#volume.slot, cell: cell.number, client, xid, check, made }
  }

  recorded(): void {
    const cell = this.#chosen
    assert(cell, 'a cell was chosen')
    this.#chosen = undefined
    if (cell.number === this.#used) this.#used++
    else this.#remove(cell)
    cell.at = this.#clock.now()
    this.#append(cell)
    let of = this.#clients.get(this.#chosenFor)
    if (!of) {
      of = { client: this.#chosenFor, oldest: undefined, newest: undefined, count: 0 }
      this.#clients.set(of.client, of)
    }
    cell.of = of
    if (of.newest) of.newest.next = cell
    else of.oldest = cell
    of.newest = cell
    of.count++
  }

  #age(): void {
    try {
      this.#volume.image.done.age()
    } catch (error) {
      if (!isMatrixError(error, 'withdrawn')) throw error // else there is nothing left to get older
    }
  }

  #choose(client: number): Cell {
    const share = Math.max(MIN_PER_CLIENT, Math.min(MAX_PER_CLIENT, Math.floor(DONE_CELLS / (this.#clients.size + 1))))
    const own = this.#clients.get(client)
    if (own && own.count >= share) return own.oldest as Cell
    const oldest = this.#oldest
    if (oldest && oldest.at + LIFE_MS <= this.#clock.now()) return oldest
    if (this.#used === DONE_CELLS) return oldest as Cell
    return { number: this.#used, at: 0, older: undefined, newer: undefined, of: undefined, next: undefined }
  }

  #append(cell: Cell): void {
    cell.older = this.#newest
    cell.newer = undefined
    if (this.#newest) this.#newest.newer = cell
    else this.#oldest = cell
    this.#newest = cell
  }

  /** Takes a cell out of use: of its client it is the oldest, as it is the oldest of all or was asked for as that. */
  #remove(cell: Cell): void {
    if (cell.older) cell.older.newer = cell.newer
    else this.#oldest = cell.newer
    if (cell.newer) cell.newer.older = cell.older
    else this.#newest = cell.older
    const { of } = cell
    if (!of) return
    assert(of.oldest === cell, 'a client loses its oldest request first')
    of.oldest = cell.next
    cell.next = undefined
    cell.of = undefined
    if (!of.oldest) of.newest = undefined
    of.count--
    if (of.count === 0) this.#clients.delete(of.client)
  }
}
