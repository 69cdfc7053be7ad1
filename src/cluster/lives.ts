/** A life is one incarnation of one slot: what membership counts. Helpers on members and lists of them. */
import { type Life, sameLife } from '../base/life.ts'
import type { Member } from './view.ts'

export function includesLife(lives: readonly Life[], life: Life): boolean {
  return lives.some((other) => sameLife(other, life))
}

/** Both lists ascend by slot. */
export function sameLives(a: readonly Life[], b: readonly Life[]): boolean {
  return a.length === b.length && a.every((life, index) => sameLife(life, b[index] as Life))
}

export function bySlot(a: Life, b: Life): number {
  return a.slot - b.slot
}

/** `2@7`: slot 2, incarnation 7. */
export function formatLife(life: Life): string {
  return `${life.slot}@${life.incarnation}`
}

export function formatLives(lives: readonly Life[]): string {
  return lives.map(formatLife).join(' ')
}

export function lifeOf(member: Member): Life {
  return { slot: member.slot, incarnation: member.incarnation }
}
