/**
 * The rules of membership that need no state: numbers of views, who fits together, and who yields when two views meet.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import { type Life, sameLife } from '../base/life.ts'
import { MAX_SLOTS } from '../base/limits.ts'
import { bySlot, includesLife } from './lives.ts'
import type { View } from './view.ts'

/**
 * The number of a view is count × MAX_SLOTS + slot of its proposer: of two proposals with one count the higher slot's is the
 * higher, and no two slots ever propose one number. Gives the lowest number of `slot` above `highest`.
 */
export function nextViewId(highest: ViewId, slot: Slot): ViewId {
  const id = (Math.floor(highest / MAX_SLOTS) + 1) * MAX_SLOTS + slot
  assert(Number.isSafeInteger(id), 'view numbers are used up')
  return id
}

/** Who proposed it follows from the number. */
export function proposerOf(id: ViewId): Slot {
  return id % MAX_SLOTS
}

/**
 * A largest set, as far as a simple rule finds one, in which everybody has a connection to everybody: while two are not
 * connected, one of the unconnected is left out: newcomers before members of the old view, then whoever lacks the most
 * connections, then the higher slot. `self` always stays.
 */
export function fullyConnected<L extends Life>(
  candidates: readonly L[],
  options: { readonly self: Life; readonly old: readonly Life[]; readonly connected: (one: L, other: L) => boolean },
): L[] {
  const rest = [...candidates].sort(bySlot)
  for (;;) {
    let worst: { life: L; newcomer: number; missing: number } | undefined
    for (const life of rest) {
      const missing = rest.filter((other) => other !== life && !options.connected(life, other)).length
      if (missing === 0 || sameLife(life, options.self)) continue
      const newcomer = includesLife(options.old, life) ? 0 : 1
      const isWorse =
        !worst ||
        newcomer > worst.newcomer ||
        (newcomer === worst.newcomer &&
          (missing > worst.missing || (missing === worst.missing && life.slot > worst.life.slot)))
      if (isWorse) worst = { life, newcomer, missing }
    }
    if (!worst) return rest
    rest.splice(rest.indexOf(worst.life), 1)
  }
}

/** What one node knows of itself or of another: its life, its installed view, and whether it has served under one. */
export type Standing = { readonly life: Life; readonly view: View | undefined; readonly served: boolean }

/** `dissolve`: give up a view that holds nobody else and served nobody, and join the other. */
export type Verdict = 'none' | 'dissolve' | 'expelled'

/**
 * Two connected nodes compare their installed views; says what `mine` has to do. The same rule at the other end gives the
 * counterpart: of two views that know nothing of each other exactly one yields.
 *
 * | my view holds them | theirs holds me | newer  | so |
 * |---|---|---|---|
 * | yes | yes | –      | none: one of us will install the other's shortly |
 * | yes | no  | mine   | none: the commit of mine is on its way to them, or they will be expelled |
 * | yes | no  | theirs | expelled: a view that was agreed after mine left me out |
 * | no  | yes | mine   | none: mine left them out |
 * | no  | yes | theirs | none: the commit of theirs is on its way to me |
 * | no  | no  | –      | strangers, or a split that healed: the weaker yields |
 *
 * Stronger is: has served; then more members; then the lower lowest slot.
 */
export function encounter(mine: Standing, theirs: Standing): Verdict {
  if (!mine.view || !theirs.view || mine.view.id === theirs.view.id) return 'none'
  const iHoldThem = includesLife(mine.view.members, theirs.life)
  const theyHoldMe = includesLife(theirs.view.members, mine.life)
  if (iHoldThem)
    return !brokenRules.leftOutIsExpelled && !theyHoldMe && theirs.view.id > mine.view.id ? 'expelled' : 'none'
  if (theyHoldMe || !isWeaker(mine, theirs)) return 'none'
  return mine.served || mine.view.members.length > 1 ? 'expelled' : 'dissolve'
}

function isWeaker(mine: Standing, theirs: Standing): boolean {
  const [own, other] = [mine.view as View, theirs.view as View]
  if (mine.served !== theirs.served) return theirs.served
  if (own.members.length !== other.members.length) return own.members.length < other.members.length
  return (own.members[0] as Life).slot > (other.members[0] as Life).slot
}
