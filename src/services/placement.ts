/**
 * Who bears which virtual host: the decision of the administrator, as a pure function of what it is told. No clock, no network, no promise:
 * `step(now, event)` gives the effects.
 *
 *     begin ─ask all─▶ reports ─all are there─▶ take · release ─▶ taken · released · failed ─▶ …
 *       ▲                                         ▲ health, wishes, ticks
 *       └──────────── the next view ◀─end─────────┘
 *
 * Nothing is remembered from one view to the next, and nothing is on disk: what is so, the members say (`MemberReport`), and the placement
 * goes on from there. So it does not matter who is administrator, nor how often that changes.
 *
 * Invariants
 *   1. A host is given to a node only once every member of the view has said what it bears, and none but that node bears it. Whoever is not in
 *      the view is fenced: `begin` comes after recovery.
 *   2. It is given to another only after its bearer has confirmed that it gave it up.
 *   3. Of a command whose outcome is open (its answer is missing) the node is asked again, and until it has answered invariant 1 waits.
 *   4. One command per host at a time.
 *
 * Where a host should be, choice.ts says. A move to a healthier node happens at once; what nobody bears waits a moment for nodes that are just starting.
 */
import { brokenRules } from '../base/broken-rules.ts'
import type { Slot } from '../base/ids.ts'
import { type Cause, type Choice, candidatesOf, choose, type Place } from './choice.ts'
import type { VirtualHost } from './virtual-host.ts'

/** Known by its address: nodes may call it differently. */
export type PlacementHost = Pick<VirtualHost, 'name' | 'address' | 'nodes' | 'policy'>

/** What a member says of one host. */
export type HostReport = {
  readonly address: string
  /** Its address is on this node, or may be. */
  readonly bears: boolean
  /** And its services answer there. */
  readonly serves: boolean
  readonly byHand: boolean
  /** Weights of what fails here that is monitored for it. */
  readonly failing: number
  /** A device fails here that it needs. */
  readonly barred: boolean
}

export type MemberReport = {
  /** Its gateways are there: it may bear hosts. */
  readonly ready: boolean
  readonly hosts: readonly HostReport[]
}

export type PlacementEvent =
  | { readonly kind: 'begin'; readonly members: readonly { readonly slot: Slot; readonly name: string }[] }
  | { readonly kind: 'end' }
  /** All of it: the answer to 'ask'. */
  | { readonly kind: 'report'; readonly slot: Slot; readonly report: MemberReport }
  /** Health alone: whether it bears anything is not looked at. */
  | { readonly kind: 'health'; readonly slot: Slot; readonly report: MemberReport }
  | { readonly kind: 'taken' | 'released'; readonly slot: Slot; readonly host: string }
  /** The node has said no, or has not answered: what has become of it is open. */
  | { readonly kind: 'failed'; readonly slot: Slot; readonly host: string; readonly reason: string }
  | { readonly kind: 'wish'; readonly id: number; readonly host: string; readonly node: string }
  /** The node is about to stop: nothing is given to it, and what it bears goes elsewhere. */
  | { readonly kind: 'leave'; readonly id: number; readonly slot: Slot }
  | { readonly kind: 'tick' }

export type PlacementEffect =
  | { readonly kind: 'ask'; readonly slot: Slot }
  | { readonly kind: 'take'; readonly slot: Slot; readonly host: string; readonly byHand: boolean }
  | { readonly kind: 'release'; readonly slot: Slot; readonly host: string }
  | { readonly kind: 'answer'; readonly id: number; readonly refusal?: string }
  /** For the log and the timeline. */
  | {
      readonly kind: 'moved'
      readonly host: string
      readonly from?: string
      readonly to: string
      readonly cause: Cause
      readonly why: string
    }

export type PlacementOptions = {
  readonly hosts: readonly PlacementHost[]
  /** An earlier node of the list has to be well for so long before a host goes back to it, ms. */
  readonly failbackAfterMs: number
  /** After a change of view, a host that nobody bears waits so long for nodes of its list that are members and not ready yet, ms. */
  readonly patienceMs: number
  /** A node that has failed to do something for a host is not asked the same again for so long, ms. */
  readonly againAfterMs: number
}

type MemberState = {
  readonly name: string
  report: MemberReport | undefined
  /** By address, since when it has been ready and without a failing monitor. */
  readonly wellSince: Map<string, number>
  leaving: boolean
}

type HostState = {
  readonly host: PlacementHost
  command: { readonly kind: 'take' | 'release'; readonly slot: Slot } | undefined
  wish: { readonly id: number; readonly node: string } | undefined
  /** Nobody is asked for anything before, by slot. */
  readonly notBefore: Map<Slot, number>
  /** Who has given it up in this view last, and why it had to. */
  last: { readonly from: string; readonly cause: Cause; readonly why: string } | undefined
}

export class Placement {
  readonly #options: PlacementOptions
  readonly #members = new Map<Slot, MemberState>()
  #hosts: HostState[] = []
  readonly #leaves = new Map<number, Slot>()
  #effects: PlacementEffect[] = []
  #now = 0
  #begunAt = 0

  constructor(options: PlacementOptions) {
    this.#options = options
  }

  step(now: number, event: PlacementEvent): readonly PlacementEffect[] {
    this.#now = now
    this.#effects = []
    this.#take(event)
    for (const state of this.#hosts) this.#settle(state)
    this.#answerLeaves()
    return this.#effects
  }

  /** Every member has said what it bears. */
  get #isInformed(): boolean {
    return this.#members.size > 0 && [...this.#members.values()].every(({ report }) => report !== undefined)
  }

  #take(event: PlacementEvent): void {
    switch (event.kind) {
      case 'begin':
        this.#end()
        this.#begunAt = this.#now
        for (const { slot, name } of event.members) {
          this.#members.set(slot, { name, report: undefined, wellSince: new Map(), leaving: false })
          this.#effects.push({ kind: 'ask', slot })
        }
        this.#hosts = this.#options.hosts.map((host) => ({
          ...{ host, command: undefined, wish: undefined, notBefore: new Map(), last: undefined },
        }))
        return
      case 'end':
        this.#end()
        return
      case 'report':
      case 'health':
        this.#heard(event)
        return
      case 'taken':
      case 'released':
      case 'failed':
        this.#done(event)
        return
      case 'wish':
        this.#wished(event)
        return
      case 'leave': {
        const member = this.#members.get(event.slot)
        if (member) member.leaving = true
        this.#leaves.set(event.id, event.slot)
        return
      }
      case 'tick':
        return
    }
  }

  #end(): void {
    const refusal = 'the view is changing: ask again under the next'
    for (const { wish } of this.#hosts) if (wish) this.#effects.push({ kind: 'answer', id: wish.id, refusal })
    for (const id of this.#leaves.keys()) this.#effects.push({ kind: 'answer', id, refusal })
    this.#leaves.clear()
    this.#members.clear()
    this.#hosts = []
  }

  #heard({ kind, slot, report }: Extract<PlacementEvent, { kind: 'report' | 'health' }>): void {
    const member = this.#members.get(slot)
    if (!member) return
    const { report: former } = member
    if (kind === 'report') member.report = report
    else if (former) {
      // what it bears is known from commands; a note about health may have been on its way meanwhile
      const health = new Map(report.hosts.map(({ address, failing, barred }) => [address, { failing, barred }]))
      const hosts = former.hosts.map((host) => ({ ...host, ...health.get(host.address) }))
      member.report = { ready: report.ready, hosts }
    } else return
    for (const host of member.report?.hosts ?? []) {
      const isWell = report.ready && host.failing === 0 && !host.barred
      if (!isWell) member.wellSince.delete(host.address)
      else if (!member.wellSince.has(host.address)) member.wellSince.set(host.address, this.#now)
    }
  }

  #done(event: Extract<PlacementEvent, { kind: 'taken' | 'released' | 'failed' }>): void {
    const { slot } = event
    const state = this.#hosts.find(({ host }) => host.address === event.host)
    const command = state?.command
    const member = this.#members.get(slot)
    if (!state || !member || command?.slot !== slot) return
    state.command = undefined
    if (event.kind === 'failed') {
      state.notBefore.set(slot, this.#now + this.#options.againAfterMs)
      if (state.wish?.node === member.name || command.kind === 'release') {
        const verb = command.kind === 'take' ? 'take' : 'give up'
        this.#answer(state, `${member.name} could not ${verb} ${state.host.name}: ${event.reason}`)
      }
      // what has become of it, the node has to say
      member.report = undefined
      this.#effects.push({ kind: 'ask', slot })
      return
    }
    const bears = event.kind === 'taken'
    const hadIt = reportOf(member, state.host.address)?.serves
    this.#note(member, state.host.address, { bears, serves: bears })
    if (!bears) return
    const { from, cause = 'placed', why = 'nobody had it' } = state.last ?? {}
    const moved = { host: state.host.address, to: member.name, cause, why, ...(from !== undefined && { from }) }
    if (!hadIt) this.#effects.push({ kind: 'moved', ...moved })
    state.last = undefined
    if (state.wish?.node === member.name) this.#answer(state)
  }

  #note(member: MemberState, host: string, what: Partial<HostReport>): void {
    const { report } = member
    if (!report) return
    member.report = {
      ...report,
      hosts: report.hosts.map((each) => (each.address === host ? { ...each, ...what } : each)),
    }
  }

  #wished({ id, host: address, node }: Extract<PlacementEvent, { kind: 'wish' }>): void {
    const state = this.#hosts.find(({ host }) => host.address === address)
    const refusal = this.#whyNot(state?.host, node)
    if (refusal !== undefined || !state) {
      this.#effects.push({
        kind: 'answer',
        id,
        refusal: refusal ?? `the administrator knows no virtual host at ${address}`,
      })
      return
    }
    if (state.wish) this.#answer(state, `${state.host.name} is to be moved to ${node} instead`)
    state.notBefore.clear()
    state.wish = { id, node }
  }

  #whyNot(host: PlacementHost | undefined, node: string): string | undefined {
    if (host && !host.nodes.includes(node))
      return `${node} is not among the nodes of ${host.name}: ${host.nodes.join(', ')}`
    const member = [...this.#members.values()].find((each) => each.name === node)
    if (!member) return `${node} is no member now`
    if (member.leaving) return `${node} is about to stop`
    if (host && member.report && !reportOf(member, host.address))
      return `${node} has no virtual host at ${host.address} in its configuration`
    return member.report?.ready === false ? `${node} does not serve yet` : undefined
  }

  #answer(state: HostState, refusal?: string): void {
    if (!state.wish) return
    this.#effects.push({ kind: 'answer', id: state.wish.id, ...(refusal !== undefined && { refusal }) })
    state.wish = undefined
  }

  /** Does for a host what is to be done now, if anything. */
  #settle(state: HostState): void {
    if (state.command || (!this.#isInformed && !brokenRules.bearersAreKnown)) return
    const { host } = state
    const bearers = this.#bearers(host.address)
    const choice = this.#choose(state)
    if (!choice) return
    const target = this.#members.get(choice.slot) as MemberState
    const other = bearers.find((slot) => slot !== choice.slot)
    if (other !== undefined) {
      if (!this.#mayAsk(state, other)) return
      const from = (this.#members.get(other) as MemberState).name
      state.last = { from, cause: choice.cause, why: choice.why }
      if (!brokenRules.releasedFirst) {
        this.#command(state, { kind: 'release', slot: other })
        return
      }
    }
    const report = reportOf(target, host.address)
    if (report?.bears && report.serves && report.byHand === choice.byHand) {
      if (state.wish?.node === target.name) this.#answer(state)
      return
    }
    if (this.#mayAsk(state, choice.slot)) this.#command(state, { kind: 'take', slot: choice.slot }, choice.byHand)
  }

  #command(state: HostState, command: NonNullable<HostState['command']>, byHand = false): void {
    const { address: host } = state.host
    state.command = command
    const { kind, slot } = command
    if (kind === 'take') {
      this.#note(this.#members.get(slot) as MemberState, host, { byHand })
      this.#effects.push({ kind, slot, host, byHand })
    } else this.#effects.push({ kind, slot, host })
  }

  #mayAsk({ notBefore }: HostState, slot: Slot): boolean {
    return this.#now >= (notBefore.get(slot) ?? Number.NEGATIVE_INFINITY)
  }

  #bearers(host: string): Slot[] {
    return [...this.#members].filter(([, member]) => reportOf(member, host)?.bears).map(([slot]) => slot)
  }

  /** Where the host should be now; undefined: nowhere, or where it is. */
  #choose(state: HostState): Choice['to'] {
    const { host, wish } = state
    const { policy, nodes } = host
    const { to, refusal } = choose({
      ...{ policy, primary: nodes[0], places: this.#places(state), wish: wish?.node },
      failbackAfterMs: this.#options.failbackAfterMs,
    })
    if (wish && refusal !== undefined) this.#answer(state, `${wish.node} ${refusal} ${host.name} now`)
    return to?.cause === 'placed' && this.#isAwaited(host) ? undefined : to
  }

  /** Some node of its list is about to be ready. */
  #isAwaited({ nodes }: PlacementHost): boolean {
    if (this.#now - this.#begunAt >= this.#options.patienceMs) return false
    return [...this.#members.values()].some(
      ({ name, report }) => nodes.includes(name) && report?.ready === false && report.hosts.length > 0,
    )
  }

  #places({ host, notBefore }: HostState): Place[] {
    const strangers = [...this.#members.values()].filter(
      (member) => reportOf(member, host.address)?.bears && !host.nodes.includes(member.name),
    )
    return [...host.nodes, ...strangers.map(({ name }) => name)].flatMap((name) => {
      const [slot, member] = [...this.#members].find(([, each]) => each.name === name) ?? []
      const report = reportOf(member, host.address)
      if (slot === undefined || !member?.report || !report) return []
      const { failing, barred, bears, byHand } = report
      const since = member.wellSince.get(host.address)
      return {
        ...{
          slot,
          name,
          ready: member.report.ready && host.nodes.includes(name),
          leaving: member.leaving,
          failing,
          barred,
          bears,
          byHand,
        },
        refused: this.#now < (notBefore.get(slot) ?? Number.NEGATIVE_INFINITY),
        wellMs: since === undefined ? undefined : this.#now - since,
      }
    })
  }

  #answerLeaves(): void {
    for (const [id, slot] of this.#leaves) {
      const member = this.#members.get(slot)
      const isBusy = this.#hosts.some(({ command }) => command?.slot === slot)
      const bears = member?.report?.hosts.some((host) => host.bears)
      const hasElsewhere = this.#hosts.some(
        (state) => reportOf(member, state.host.address)?.bears && candidatesOf(this.#places(state)).length > 0,
      )
      const isUnderWay = this.#hosts.some(({ command, last }) => command && last?.from === member?.name)
      if (member && (isBusy || isUnderWay || member.report === undefined || (bears && hasElsewhere))) continue
      this.#leaves.delete(id)
      this.#effects.push({ kind: 'answer', id })
    }
  }
}

function reportOf(member: MemberState | undefined, host: string): HostReport | undefined {
  return member?.report?.hosts.find(({ address }) => address === host)
}
