/**
 * What a sector of the SAN lock holds in the model, and how two of them are put together.
 *
 * Terms follow each other; of each term one life of one node is the owner, decided by Disk Paxos. A node's records in one
 * term only grow (mbal, then bal with value, then decided, then released), so records form a semilattice: `join` gives the newest that
 * two of them know together. It is the one way of reading: of a partition, of a majority, of one's own former life.
 */

/** A life of a node: 0 none, else 1 + number, see `lifeOf`. */
export type Life = number

export type Rec = {
  /** Equal records are one object; this is its number. */
  readonly id: number
  readonly term: number
  /** The highest ballot promised in the term, 0 none. */
  readonly mbal: number
  /** The highest ballot in which `value` was written, 0 none. */
  readonly bal: number
  readonly value: Life
  readonly decided: boolean
  readonly released: boolean
}

const table = new Map<number, Rec>()

export function rec(fields: Omit<Rec, 'id'>): Rec {
  const { term, mbal, bal, value, decided, released } = fields
  const key = ((((term * 64 + mbal) * 64 + bal) * 64 + value) * 2 + Number(decided)) * 2 + Number(released)
  let found = table.get(key)
  if (!found) {
    found = { id: table.size, term, mbal, bal, value, decided, released }
    table.set(key, found)
  }
  return found
}

export const BLANK = rec({ term: 0, mbal: 0, bal: 0, value: 0, decided: false, released: false })

export function join(a: Rec, b: Rec): Rec {
  if (a === b || b.term < a.term) return a
  if (b.term > a.term) return b
  const later = b.bal > a.bal || (b.decided && !a.decided) ? b : a
  return rec({
    term: a.term,
    mbal: Math.max(a.mbal, b.mbal),
    bal: later.bal,
    value: a.decided ? a.value : later.value,
    decided: a.decided || b.decided,
    released: a.released || b.released,
  })
}
