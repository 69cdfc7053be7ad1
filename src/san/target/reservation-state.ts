/**
 * Persistent reservations of one logical unit (SPC-4, 5.13), as a pure function: a state and a request give the next state, and whom it
 * concerns. Nothing here waits, stores or sends; the logical unit saves the next state before it holds, so that what was answered
 * with GOOD is never taken back by a power loss.
 *
 * A registration belongs to an I_T nexus: a port of an initiator (its name and ISID) at a port of the target. It outlasts sessions: an initiator that
 * comes back with the same ISID at the same portal still is registered.
 */

export type Nexus = {
  /** `iqn…,i,0xISID`. */
  readonly initiatorPort: string
  /** Relative identifier of the port of the target, from 1. */
  readonly targetPort: number
}

export type Registration = Nexus & { readonly key: bigint }

/** Codes of SPC-4, table 64. */
export const reservationType = {
  writeExclusive: 1,
  exclusiveAccess: 3,
  writeExclusiveRegistrants: 5,
  exclusiveAccessRegistrants: 6,
  writeExclusiveAll: 7,
  exclusiveAccessAll: 8,
} as const
export type ReservationType = (typeof reservationType)[keyof typeof reservationType]

export type Reservation = {
  readonly type: ReservationType
  /** Id of the nexus; undefined for the types that all registrants hold. */
  readonly holder: string | undefined
}

export type ReservationState = {
  /** PRGENERATION. */
  readonly generation: number
  /** By the id of the nexus. */
  readonly registrations: ReadonlyMap<string, Registration>
  readonly reservation: Reservation | undefined
  /** All of it outlasts a power loss. */
  readonly aptpl: boolean
}

export type OutRequest =
  | {
      readonly action: 'register' | 'register-ignore'
      readonly key: bigint
      readonly newKey: bigint
      readonly aptpl: boolean
      /** On every port of the target; the ports are those of `allPorts`. */
      readonly allPorts?: readonly number[]
      /** Further ports of initiators (SPEC_I_PT). */
      readonly others?: readonly string[]
    }
  | { readonly action: 'reserve' | 'release'; readonly key: bigint; readonly type: ReservationType }
  | { readonly action: 'clear'; readonly key: bigint }
  | {
      readonly action: 'preempt' | 'preempt-abort'
      readonly key: bigint
      readonly victimKey: bigint
      readonly type: ReservationType
    }
  | {
      readonly action: 'register-move'
      readonly key: bigint
      readonly newKey: bigint
      readonly aptpl: boolean
      readonly unregister: boolean
      readonly to: Nexus
    }

/** What became of a request. */
export type OutVerdict = 'good' | 'conflict' | 'invalid-parameter' | 'invalid-release'

export type Attention = 'reservations-preempted' | 'reservations-released' | 'registrations-preempted'

export type OutResult = {
  readonly verdict: OutVerdict
  readonly state: ReservationState
  /** Told to these nexuses, by their ids. */
  readonly attentions: readonly (readonly [id: string, attention: Attention])[]
  /** Ids of nexuses whose commands are to be aborted. */
  readonly abort: readonly string[]
}

export const noReservations: ReservationState = {
  generation: 0,
  registrations: new Map(),
  reservation: undefined,
  aptpl: false,
}

export function nexusId({ initiatorPort, targetPort }: Nexus): string {
  return `${targetPort} ${initiatorPort}`
}

/** Every registrant is a holder. */
export function isForAll(type: ReservationType): boolean {
  return type === reservationType.writeExclusiveAll || type === reservationType.exclusiveAccessAll
}

/** Every registrant has the access of the holder. */
export function isForRegistrants(type: ReservationType): boolean {
  return type >= reservationType.writeExclusiveRegistrants
}

export function isExclusiveAccess(type: ReservationType): boolean {
  return (
    type === reservationType.exclusiveAccess ||
    type === reservationType.exclusiveAccessRegistrants ||
    type === reservationType.exclusiveAccessAll
  )
}

export function isHolder({ reservation, registrations }: ReservationState, id: string): boolean {
  if (!reservation) return false
  return isForAll(reservation.type) ? registrations.has(id) : reservation.holder === id
}

/** What a command wants of the medium, for `conflicts`. */
export type Access =
  /** Whoever it is, whatever is reserved. */
  | 'any'
  | 'read'
  /** Writes, and whatever else only holders may do. */
  | 'write'

/** Whether the reservation keeps a command of this nexus out. */
export function conflicts(state: ReservationState, id: string, access: Access): boolean {
  const { reservation, registrations } = state
  if (!reservation || access === 'any') return false
  if (isForRegistrants(reservation.type) ? registrations.has(id) : reservation.holder === id) return false
  return access === 'write' || isExclusiveAccess(reservation.type)
}

/** PERSISTENT RESERVE OUT of `from`. */
export function reserveOut(state: ReservationState, from: Nexus, request: OutRequest): OutResult {
  const id = nexusId(from)
  const own = state.registrations.get(id)
  switch (request.action) {
    case 'register':
      if ((own?.key ?? 0n) !== request.key) return refused(state, 'conflict')
      // SPEC_I_PT goes with a first registration only
      if (own && request.others) return refused(state, 'invalid-parameter')
      return register(state, from, request)
    case 'register-ignore':
      return request.others ? refused(state, 'invalid-parameter') : register(state, from, request)
  }
  if (!own || own.key !== request.key) return refused(state, 'conflict')
  switch (request.action) {
    case 'reserve':
      return reserve(state, id, request.type)
    case 'release':
      return release(state, id, request.type)
    case 'clear':
      return clear(state, id)
    case 'register-move':
      return registerMove(state, id, request)
    default:
      return preempt(state, id, request)
  }
}

function refused(state: ReservationState, verdict: OutVerdict): OutResult {
  return { verdict, state, attentions: [], abort: [] }
}

function good(
  state: ReservationState,
  attentions: OutResult['attentions'] = [],
  abort: readonly string[] = [],
): OutResult {
  return { verdict: 'good', state, attentions, abort }
}

function nextGeneration({ generation }: ReservationState): number {
  return (generation + 1) >>> 0
}

function register(
  state: ReservationState,
  from: Nexus,
  { newKey, aptpl, allPorts, others = [] }: Extract<OutRequest, { action: 'register' | 'register-ignore' }>,
): OutResult {
  const id = nexusId(from)
  if (newKey === 0n) return state.registrations.has(id) ? unregister(state, id, aptpl) : good(state)
  const registrations = new Map(state.registrations)
  for (const initiatorPort of [from.initiatorPort, ...others])
    for (const targetPort of allPorts ?? [from.targetPort]) {
      const nexus = { initiatorPort, targetPort }
      registrations.set(nexusId(nexus), { ...nexus, key: newKey })
    }
  return good({ ...state, aptpl, registrations, generation: nextGeneration(state) })
}

function unregister(state: ReservationState, id: string, aptpl: boolean): OutResult {
  const registrations = new Map(state.registrations)
  registrations.delete(id)
  const generation = nextGeneration(state)
  const { reservation } = state
  const isLast = registrations.size === 0
  const isReleased = reservation && (isForAll(reservation.type) ? isLast : reservation.holder === id)
  if (!isReleased) return good({ ...state, aptpl, registrations, generation })
  // whom the reservation had let in is told that there is none any more
  const told = isForRegistrants(reservation.type) ? [...registrations.keys()] : []
  const released = { ...state, aptpl, registrations, generation, reservation: undefined }
  return good(released, attend(told, 'reservations-released'))
}

function reserve(state: ReservationState, id: string, type: ReservationType): OutResult {
  const { reservation } = state
  if (!reservation) return good({ ...state, reservation: { type, holder: isForAll(type) ? undefined : id } })
  return isHolder(state, id) && reservation.type === type ? good(state) : refused(state, 'conflict')
}

function release(state: ReservationState, id: string, type: ReservationType): OutResult {
  const { reservation, registrations } = state
  if (!reservation || !isHolder(state, id)) return good(state)
  if (reservation.type !== type) return refused(state, 'invalid-release')
  const told = isForRegistrants(type) ? [...registrations.keys()].filter((each) => each !== id) : []
  return good({ ...state, reservation: undefined }, attend(told, 'reservations-released'))
}

function clear(state: ReservationState, id: string): OutResult {
  const told = [...state.registrations.keys()].filter((each) => each !== id)
  return good(
    { ...state, registrations: new Map(), reservation: undefined, generation: nextGeneration(state) },
    attend(told, 'reservations-preempted'),
  )
}

function preempt(
  state: ReservationState,
  id: string,
  { action, victimKey, type }: Extract<OutRequest, { action: 'preempt' | 'preempt-abort' }>,
): OutResult {
  const { reservation } = state
  const isAll = reservation !== undefined && isForAll(reservation.type)
  if (victimKey === 0n && !isAll) return refused(state, 'invalid-parameter')
  const matching = [...state.registrations].flatMap(([each, { key }]) => (key === victimKey ? [each] : []))
  /** The reservation passes to this nexus. */
  const takes = isAll
    ? victimKey === 0n
    : reservation?.holder !== undefined && state.registrations.get(reservation.holder)?.key === victimKey
  if (!takes && matching.length === 0) return refused(state, 'conflict')
  const everybodyElse = [...state.registrations.keys()].filter((each) => each !== id)
  const victims = !takes ? matching : isAll ? everybodyElse : matching.filter((each) => each !== id)
  const registrations = new Map(state.registrations)
  for (const victim of victims) registrations.delete(victim)
  const told = victims.filter((victim) => victim !== id)
  const attentions = [...attend(told, 'registrations-preempted')]
  let after = reservation
  if (takes) {
    after = { type, holder: isForAll(type) ? undefined : id }
    const isChanged = reservation?.type !== type
    const kept = [...registrations.keys()].filter((each) => each !== id)
    if (isChanged) attentions.push(...attend(kept, 'reservations-released'))
  } else if (reservation && (isAll ? registrations.size === 0 : !registrations.has(reservation.holder as string))) {
    after = undefined
  }
  return good(
    { ...state, registrations, reservation: after, generation: nextGeneration(state) },
    attentions,
    action === 'preempt-abort' ? told : [],
  )
}

function registerMove(
  state: ReservationState,
  id: string,
  { newKey, aptpl, unregister, to }: Extract<OutRequest, { action: 'register-move' }>,
): OutResult {
  const { reservation } = state
  if (!reservation || isForAll(reservation.type) || reservation.holder !== id) return refused(state, 'conflict')
  const destination = nexusId(to)
  if (newKey === 0n || destination === id) return refused(state, 'invalid-parameter')
  const registrations = new Map(state.registrations)
  if (unregister) registrations.delete(id)
  registrations.set(destination, { ...to, key: newKey })
  const { type } = reservation
  return good({ registrations, aptpl, reservation: { type, holder: destination }, generation: nextGeneration(state) })
}

function attend(ids: readonly string[], attention: Attention): OutResult['attentions'] {
  return ids.map((id) => [id, attention] as const)
}
