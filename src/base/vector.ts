/**
 * Journal vectors: slot → LSN, "everything up to here has been applied". The currency of coherence (ARCHITECTURE.md 2):
 * lock value blocks, frame dependencies, floors and checkpoints all are one of these. Sparse: a missing slot is 0.
 */
import type { Lsn, Slot } from './ids.ts'

export type Vector = ReadonlyMap<Slot, Lsn>
export type MutableVector = Map<Slot, Lsn>

export const emptyVector: Vector = new Map()

/** Raises `into` to at least `other` in every slot. */
export function raise(into: MutableVector, other: Vector): void {
  for (const [slot, lsn] of other) if (lsn > (into.get(slot) ?? 0)) into.set(slot, lsn)
}

/** A new vector, the maximum of all. */
export function maximum(...vectors: Vector[]): MutableVector {
  const out: MutableVector = new Map()
  for (const vector of vectors) raise(out, vector)
  return out
}

/** True when `a` is at least `b` in every slot. */
export function covers(a: Vector, b: Vector): boolean {
  for (const [slot, lsn] of b) if ((a.get(slot) ?? 0) < lsn) return false
  return true
}

/** `covers` in every slot but one. */
export function coversBut(slot: Slot, a: Vector, b: Vector): boolean {
  for (const [other, lsn] of b) if (other !== slot && (a.get(other) ?? 0) < lsn) return false
  return true
}

export function equals(a: Vector, b: Vector): boolean {
  return covers(a, b) && covers(b, a)
}

/** Pairs sorted by slot: the wire and log form; zeroes left out. */
export function toPairs(vector: Vector): [Slot, Lsn][] {
  return [...vector].filter(([, lsn]) => lsn > 0).sort((a, b) => a[0] - b[0])
}

export function fromPairs(pairs: readonly (readonly [Slot, Lsn])[]): MutableVector {
  return new Map(pairs as [Slot, Lsn][])
}

export function formatVector(vector: Vector): string {
  return `{${toPairs(vector)
    .map(([slot, lsn]) => `${slot}:${lsn}`)
    .join(' ')}}`
}
