/**
 * Where a virtual host should be, as a pure function of its nodes (R23, R30).
 *
 *   1. A node that is not ready, is about to stop, or has lately failed to take the host is no place for it. Nor is one where a device fails that the
 *      host needs.
 *   2. The healthiest of the others, by the weights of what fails there; of these the first in the host's list.
 *   3. Whoever bears it keeps it while no other is healthier: but with AUTOFAILBACK it goes to a node before its own in the list that has been as well for
 *      `failbackAfterMs`, unless a person has put it where it is. Who bears it and is no place for it loses it only to somebody who is.
 *   4. A person's wish comes before all this, where the node is a place and as healthy as any.
 */
import type { Slot } from '../base/ids.ts'
import type { FailbackPolicy } from './virtual-host.ts'

/** A node of the host's list that is a member, and has the host in its configuration; in the order of the list. */
export type Place = {
  readonly slot: Slot
  readonly name: string
  /** Its gateways are there. */
  readonly ready: boolean
  /** It is about to stop. */
  readonly leaving: boolean
  /** It has lately failed to take it. */
  readonly refused: boolean
  /** A device fails that the host needs. */
  readonly barred: boolean
  /** Weights of what fails there. */
  readonly failing: number
  /** For how long it has been ready with nothing failing, ms. */
  readonly wellMs: number | undefined
  readonly bears: boolean
  /** A person has put it there. */
  readonly byHand: boolean
}

export type Situation = {
  readonly policy: FailbackPolicy
  /** The first of the host's list, a member or not. */
  readonly primary: string | undefined
  readonly places: readonly Place[]
  /** The node where a person wants it. */
  readonly wish: string | undefined
  readonly failbackAfterMs: number
}

/** Why it goes where it goes: 'stays' is no change. */
export type Cause = 'stays' | 'placed' | 'failover' | 'failback' | 'hand' | 'stop'

export type Choice = {
  /** Undefined: nowhere. */
  readonly to?: { readonly slot: Slot; readonly byHand: boolean; readonly cause: Cause; readonly why: string }
  /** Why the wish is not followed. */
  readonly refusal?: string
}

/** At most one of `places` bears it; of several that do the first counts. */
export function choose({ policy, primary, places, wish, failbackAfterMs }: Situation): Choice {
  const candidates = candidatesOf(places)
  const [best] = candidates
  const bearer = places.find(({ bears }) => bears)
  const wished = wish === undefined ? undefined : candidates.find(({ name }) => name === wish)
  if (wished && wished.failing === best?.failing) {
    // at its primary it is where any policy wants it
    return { to: { slot: wished.slot, byHand: wish !== primary, cause: 'hand', why: 'by hand' } }
  }
  const refusal = wish === undefined ? {} : { refusal: whyNot(wish, wished, places) }
  const stay = bearer && { slot: bearer.slot, byHand: bearer.byHand, cause: 'stays' as const, why: '' }
  // nobody is better than whoever has it; and one that leaves keeps it until its end
  if (!best) return { ...refusal, ...(stay && { to: stay }) }
  const to = (cause: Cause, why: string) => ({ ...refusal, to: { slot: best.slot, byHand: false, cause, why } })
  if (!bearer || !stay) return to('placed', 'nobody had it')
  const own = candidates.find(({ slot }) => slot === bearer.slot)
  if (!own) {
    if (bearer.leaving) return to('stop', `${bearer.name} stops`)
    return to('failover', bearer.barred ? `a device of ${bearer.name} fails` : `${bearer.name} cannot serve it`)
  }
  if (best.failing < own.failing) return to('failover', `${bearer.name} fails ${own.failing} of its monitors`)
  const isBefore = best.slot !== bearer.slot
  const isDue = best.wellMs !== undefined && best.wellMs >= failbackAfterMs
  if (isBefore && isDue && policy === 'AUTOFAILBACK' && !bearer.byHand)
    return to('failback', `${best.name} is well again`)
  return { ...refusal, to: stay }
}

/** The healthiest first; of these in the order of the list. */
export function candidatesOf(places: readonly Place[]): readonly Place[] {
  return places
    .filter(({ ready, leaving, barred, refused, bears }) => ready && !leaving && !barred && (bears || !refused))
    .toSorted((a, b) => a.failing - b.failing) // stable
}

function whyNot(wish: string, wished: Place | undefined, places: readonly Place[]): string {
  if (wished) return `fails ${wished.failing} of the monitors of`
  return places.find(({ name }) => name === wish)?.barred ? 'lacks a device of' : 'cannot take'
}
