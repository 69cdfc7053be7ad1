import type { Incarnation, Slot } from './ids.ts'

/** One life of one node: a slot is not compared without its incarnation. */
export type Life = { readonly slot: Slot; readonly incarnation: Incarnation }

export function sameLife(a: Life, b: Life): boolean {
  return a.slot === b.slot && a.incarnation === b.incarnation
}
