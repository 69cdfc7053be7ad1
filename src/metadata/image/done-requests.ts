/**
 * Which changes have been made already for clients that may ask for them again (R127): the image's part of "exactly once". A change that
 * a gateway was asked for by a request with a number carries one more mutation, `putDone`, in the same transaction; so whoever has
 * the change in its image has this, too. A node that is asked again finds it there (fs/op.ts), whichever node has made the change.
 *
 * A slot has DONE_CELLS cells, and a new request takes the place of an old one (fs/done-cells.ts chooses it). They are kept in memory and
 * written as pages of 64 cells when the image commits: a row for each would cost every node more than the change itself. A cell,
 * little-endian:
 *
 *     offset size  name
 *     0      4     client   of whom; of a cell that is not used, zero like the rest
 *     4      4     xid      number that the client gave the request
 *     8      8     check    53 bits made of everything else in the request
 *     16     8     made     1 + number of the inode that was made; 1 when none was
 *
 * A request is not found any more after AGES calls of `age()`, though its cell is still there: a client may use its numbers again.
 * docs/decisions/0015-exactly-once.md says why all this is enough.
 */
import type { Ino, Slot } from '../../base/ids.ts'
import { MAX_SLOTS } from '../../base/limits.ts'
import type { Mutation } from './mutation.ts'

/** A request as its client would repeat it: `client` and `xid` are 32 bits, `check` is 53. Two that differ in anything differ here. */
export type RequestId = { readonly client: number; readonly xid: number; readonly check: number }

/** Requests remembered of each slot. */
export const DONE_CELLS = 16_384
export const PAGE_CELLS = 64
export const CELL_BYTES = 24
export const DONE_PAGE_BYTES = PAGE_CELLS * CELL_BYTES
const PAGES = DONE_CELLS / PAGE_CELLS
const WORD = 2 ** 32
/** A request is found until `age` was called so often after it was done. */
const AGES = 4

export type DonePageRow = [page: number, cells: Buffer]
type PutDone = Extract<Mutation, { op: 'putDone' }>
type Page = { readonly bytes: Buffer; readonly view: DataView; readonly ages: Uint32Array; isDirty: boolean }

export class DoneRequests {
  /** By number: slot × PAGES + page of the slot. */
  readonly #pages = new Map<number, Page>()
  readonly #dirty: number[] = []
  /** Where a request lies: slot × DONE_CELLS + cell. The newest of those with one key. */
  readonly #places = new Map<number, number>()
  #age = 0

  /** Takes what was stored; false when it is no page. */
  load(rows: readonly DonePageRow[]): boolean {
    for (const [number, bytes] of rows) {
      if (!(number >= 0 && number < MAX_SLOTS * PAGES) || bytes.length !== DONE_PAGE_BYTES) return false
      const page = this.#page(number)
      page.bytes.set(bytes)
      for (let index = 0; index < PAGE_CELLS; index++)
        if (isUsed(page, index)) this.#places.set(keyAt(page, index), number * PAGE_CELLS + index)
    }
    return true
  }

  /** The inode that was made (0: none) when exactly this request has been done; else undefined. */
  find({ client, xid, check }: RequestId): Ino | undefined {
    const place = this.#places.get(keyOf(client, xid, check))
    if (place === undefined) return undefined
    const page = this.#pages.get(Math.floor(place / PAGE_CELLS)) as Page
    const index = place % PAGE_CELLS
    const { view } = page
    const at = index * CELL_BYTES
    if (view.getUint32(at, true) !== client || view.getUint32(at + 4, true) !== xid) return undefined
    if (read53(view, at + 8) !== check || this.#age - (page.ages[index] as number) >= AGES) return undefined
    return read53(view, at + 16) - 1
  }

  /** For apply.ts only: false when there is no such cell. */
  put({ slot, cell, client, xid, check, made }: PutDone): boolean {
    if (cell >= DONE_CELLS) return false
    const place = slot * DONE_CELLS + cell
    const number = Math.floor(place / PAGE_CELLS)
    const page = this.#page(number)
    const index = place % PAGE_CELLS
    if (isUsed(page, index)) {
      const old = keyAt(page, index)
      if (this.#places.get(old) === place) this.#places.delete(old)
    }
    const { view } = page
    const at = index * CELL_BYTES
    view.setUint32(at, client, true)
    view.setUint32(at + 4, xid, true)
    write53(view, at + 8, check)
    write53(view, at + 16, made + 1)
    page.ages[index] = this.#age
    this.#places.set(keyOf(client, xid, check), place)
    if (!page.isDirty) {
      page.isDirty = true
      this.#dirty.push(number)
    }
    return true
  }

  /** Some time has passed. What was found in a checkpoint counts as new then. */
  age(): void {
    this.#age++
  }

  /** Cells of a slot up to the last that is used. */
  cellsOf(slot: Slot): number {
    for (let number = PAGES - 1; number >= 0; number--) {
      const page = this.#pages.get(slot * PAGES + number)
      if (!page) continue
      for (let index = PAGE_CELLS - 1; index >= 0; index--)
        if (isUsed(page, index)) return number * PAGE_CELLS + index + 1
    }
    return 0
  }

  /** Pages that have changed since, for the image to store. */
  takeChanged(store: (number: number, bytes: Buffer) => void): void {
    for (const number of this.#dirty) {
      const page = this.#pages.get(number) as Page
      page.isDirty = false
      store(number, page.bytes)
    }
    this.#dirty.length = 0
  }

  #page(number: number): Page {
    let page = this.#pages.get(number)
    if (!page) {
      const bytes = Buffer.alloc(DONE_PAGE_BYTES)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      page = { bytes, view, ages: new Uint32Array(PAGE_CELLS), isDirty: false }
      this.#pages.set(number, page)
    }
    return page
  }
}

function isUsed({ view }: Page, index: number): boolean {
  return view.getUint32(index * CELL_BYTES + 16, true) !== 0 || view.getUint32(index * CELL_BYTES + 20, true) !== 0
}

/** Different for all requests of one client, and nearly surely for those of different ones. */
function keyOf(client: number, xid: number, check: number): number {
  return (check % 2 ** 21) * WORD + ((client ^ xid) >>> 0)
}

function keyAt({ view }: Page, index: number): number {
  const at = index * CELL_BYTES
  return keyOf(view.getUint32(at, true), view.getUint32(at + 4, true), read53(view, at + 8))
}

function read53(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * WORD + view.getUint32(at, true)
}

function write53(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % WORD, true)
  view.setUint32(at + 4, Math.floor(value / WORD), true)
}
