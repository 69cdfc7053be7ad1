/**
 * Virtual hosts at one node: what it bears (address-bearer.ts), how well it could (services.ts), and, while it is administrator, the placement of all
 * of them (placement.ts). The only place where the pure decision meets messages and time.
 *
 *     administrator                          members, the administrator among them
 *     resumed(view) ──report?──────────────▶ what they bear, how well they are
 *     Placement.step ──take / release──────▶ AddressBearer ─▶ HostAddresses, gateways
 *                    ◀─────────────health─── Services
 *                    ◀──────move, leave───── a person at any node; a node that stops
 */
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import type { Timings } from '../base/timings.ts'
import { type Mesh, presentView, type View, type ViewListener } from '../cluster/index.ts'
import { type Clock, type HostAddresses, type Log, sleep, type Timer } from '../platform/index.ts'
import { AddressBearer } from './address-bearer.ts'
import type { AddressedGateway } from './addressed-gateway.ts'
import type { Cause } from './choice.ts'
import type { EventKind, EventNews } from './events.ts'
import type { ProbeTools } from './monitors/probes.ts'
import { Placement, type PlacementEffect, type PlacementEvent } from './placement.ts'
import { decodeReport, decodeServiceRequest, type SentReport, type ServiceRequest } from './protocol.ts'
import type { Service } from './service.ts'
import type { ServiceSight } from './service-keeper.ts'
import { Services } from './services.ts'
import type { VirtualHost } from './virtual-host.ts'

/** The administrator looks at its choices so often beside what happens, ms. */
const TICK_MS = 500
/** What was not answered is asked again, ms. */
const AGAIN_MS = 500
/** A node that could not do something for a host is not asked for it again for so long, ms. */
const AFTER_FAILURE_MS = 5_000
/** An earlier node of a host's list is well for so long before the host goes back, ms. */
const FAILBACK_AFTER_MS = 10_000
/** What nobody bears waits so long for members that are starting, ms. */
const PATIENCE_MS = 1_000
/** Longest time for taking or giving up an address, its life included, ms. */
const COMMAND_LIMIT_MS = 20_000
const REPORT_LIMIT_MS = 5_000
/** A node that stops waits so long for others to take what it bears, ms. */
const LEAVE_LIMIT_MS = 8_000

export type VirtualHostsOptions = {
  readonly node: string
  readonly hosts: readonly VirtualHost[]
  readonly services: readonly Service[]
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  readonly timings: Timings
  readonly tools: ProbeTools
  readonly addresses: HostAddresses
  readonly gateways: readonly AddressedGateway[]
  readonly goodUntil: () => number
  /** Resolves once everything that was answered is on stable storage. */
  readonly settle: () => Promise<void>
  /** As announced in the present view. */
  readonly administrator: () => Slot | undefined
  /** A host has moved: for the timeline. */
  readonly onMoved: (host: string, outcome: string) => void
  readonly publish: (news: EventNews) => void
}

/** How things are, for people. */
export type VirtualHostSight = {
  readonly name: string
  readonly address: string
  readonly prefix: number
  readonly interface: string
  readonly policy: string
  /** Who bears it; undefined when nobody does. */
  readonly node: string | undefined
  readonly byHand: boolean
  readonly nodes: readonly { readonly name: string; readonly state: string }[]
}

type Pending = { readonly resolve: () => void; readonly reject: (error: Error) => void }

export class VirtualHosts implements ViewListener {
  readonly #options: VirtualHostsOptions
  readonly #bearer: AddressBearer
  readonly #services: Services
  /** Of taking or giving up a host, with what is started and stopped for it, ms. */
  readonly #commandLimitMs: number
  readonly #placement: Placement
  /** The view whose hosts this node places. */
  #placing: ViewId | undefined
  #ticks: Timer | undefined
  #ready = false
  #stopped = false
  #lastWish = 0
  readonly #pending = new Map<number, Pending>()
  #telling = false
  #toTell = false
  /** As administrator: where hosts were when this was last known, by address. Whoever is no member any more has lost them. */
  readonly #lastKnown = new Map<string, string>()

  constructor(options: VirtualHostsOptions) {
    this.#options = options
    this.#services = new Services({
      ...options,
      bears: (host) => this.#bearer.bears(host) !== undefined,
      onChange: () => void this.#tellHealth(),
    })
    this.#bearer = new AddressBearer({ ...options, services: this.#services })
    this.#commandLimitMs =
      COMMAND_LIMIT_MS + Math.max(0, ...options.hosts.map(({ name }) => this.#services.limitMs(name)))
    this.#placement = new Placement({
      hosts: options.hosts,
      failbackAfterMs: FAILBACK_AFTER_MS,
      patienceMs: PATIENCE_MS,
      againAfterMs: AFTER_FAILURE_MS,
    })
    options.mesh.onRequest('service', (from, body) => this.#answer(from, decodeServiceRequest(body)))
  }

  /** Before this node joins: nothing of a former life is left on its interfaces, nor runs for a host. */
  async clear(): Promise<void> {
    await this.#bearer.clear()
    await this.#services.clear()
  }

  /** The gateways of this node are there: it may bear hosts now. */
  begin(): void {
    if (this.#ready || this.#stopped) return
    this.#ready = true
    this.#services.begin()
    void this.#tellHealth()
  }

  blocked(): void {
    if (this.#placing === undefined) return
    this.#step({ kind: 'end' })
    this.#placing = undefined
    this.#ticks?.cancel()
  }

  installed(view: View): void {
    if (brokenRules.placedAfterFence && view.members[0]?.slot === this.#options.mesh.self) this.resumed(view)
  }

  /** This node is administrator of `view`, and recovery is over: whoever is not in it is fenced. */
  resumed(view: View): void {
    if (this.#options.hosts.length === 0 || this.#stopped || this.#placing === view.id) return
    this.#placing = view.id
    this.#ticks?.cancel()
    this.#ticks = this.#options.clock.every(TICK_MS, () => this.#step({ kind: 'tick' }))
    this.#step({ kind: 'begin', members: view.members })
  }

  /** Moves a host to a node, and resolves when it is served there. Rejects with 'not-found', 'in-use' (with the reason), 'view-changed' (ask again). */
  async move(name: string, node: string): Promise<void> {
    const host = this.#options.hosts.find((each) => each.name === name)
    if (!host) {
      const known = this.#options.hosts.map((each) => each.name).join(', ') || 'none is configured'
      throw new MatrixError('not-found', `there is no virtual host ${name} (${known})`)
    }
    await this.#askAdministrator((view) => ({ kind: 'move', view, address: host.address, node }), this.#commandLimitMs)
  }

  /** Before a clean stop: others take what this node bears. Never rejects, and waits no longer than clients would. */
  async leave(): Promise<void> {
    const { clock, log } = this.#options
    const bearsAny = () => this.#options.hosts.some(({ name }) => this.#bearer.bears(name))
    const deadline = clock.now() + LEAVE_LIMIT_MS + this.#commandLimitMs - COMMAND_LIMIT_MS
    while (bearsAny() && clock.now() < deadline) {
      try {
        await this.#askAdministrator((view) => ({ kind: 'leave', view }), deadline - clock.now())
        break
      } catch (error) {
        log.debug({ error: String(error) }, 'the hosts of this node could not be given to others yet')
        await sleep(clock, AGAIN_MS)
      }
    }
    this.#stop()
    await Promise.all(
      this.#options.hosts.map((host) =>
        this.#bearer
          .release(host)
          .catch((error) =>
            log.error({ host: host.name, error: String(error) }, 'a virtual host could not be given up'),
          ),
      ),
    )
    await this.#bearer.drop().catch(() => {})
  }

  /** This node has halted, and answers nothing any more. Resolves once no address is on it; rejects when one may be. */
  drop(): Promise<void> {
    this.#stop()
    return this.#bearer.drop()
  }

  /** How this node alone sees each. */
  ownView() {
    const reports = this.#report().hosts
    return this.#options.hosts.map(({ name, address, policy, nodes }, index) => {
      const { bears, serves, byHand, failing, barred, reason = null } = reports[index] as SentReport['hosts'][number]
      return { name, address, policy, nodes: [...nodes], bears, serves, byHand, failing, barred, reason }
    })
  }

  /** What is looked after at this node. */
  services(): readonly ServiceSight[] {
    return this.#services.look()
  }

  /** A person says that a service, application or device may be used at this node again. Throws MatrixError 'not-found'. */
  clearFailure(name: string): void {
    if (this.#services.clearFailure(name)) return
    const known = this.#services.look().map((each) => each.name)
    throw new MatrixError('not-found', `this node has no service ${name} (${known.join(', ') || 'none is configured'})`)
  }

  /** How all members see the hosts of this node's configuration. Rejects with 'view-changed'. */
  async look(): Promise<readonly VirtualHostSight[]> {
    const { mesh, hosts } = this.#options
    const { view } = mesh
    if (!view) throw new MatrixError('view-changed', 'this node is in no view yet')
    const reports = await Promise.all(
      view.members.map(async ({ slot, name }) => {
        const body = { kind: 'report', view: view.id } satisfies ServiceRequest
        const answer = mesh.request(slot, 'service', body, REPORT_LIMIT_MS).then(decodeReport)
        return { name, report: await answer.catch((error: Error) => error) }
      }),
    )
    return hosts.map((host) => {
      const seen = host.nodes.map((name) => {
        const report = reports.find((each) => each.name === name)?.report
        return { name, ...stateOf(host.address, report) }
      })
      const bearer = seen.find(({ bears }) => bears)
      const { name, address, prefix, policy } = host
      return {
        ...{ name, address, prefix, policy, interface: host.interface },
        ...{ node: bearer?.name, byHand: bearer?.byHand ?? false },
        nodes: seen.map((each) => ({ name: each.name, state: each.state })),
      }
    })
  }

  #stop(): void {
    this.#stopped = true
    this.#ready = false
    this.#ticks?.cancel()
    this.#services.end()
  }

  // ── member ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #answer(from: Slot, message: ServiceRequest): unknown {
    const { mesh, administrator } = this.#options
    const view = presentView(mesh, message.view)
    switch (message.kind) {
      case 'report':
        return this.#report()
      case 'take':
      case 'release': {
        if (from !== administrator() && !brokenRules.placedAfterFence)
          throw new MatrixError('protocol', `slot ${from} is not the administrator of view ${view.id}`)
        const host = this.#options.hosts.find(({ address }) => address === message.address)
        if (!host)
          throw new MatrixError('not-found', `no virtual host of this node's configuration has ${message.address}`)
        if (this.#stopped && message.kind === 'take') throw new MatrixError('withdrawn', 'this node is stopping')
        const done = message.kind === 'take' ? this.#bearer.take(host, message.byHand) : this.#bearer.release(host)
        return done.then(() => true)
      }
      case 'health':
        this.#mustPlace(view.id)
        this.#step({ kind: 'health', slot: from, report: message.report })
        return true
      case 'leave':
        this.#mustPlace(view.id)
        return this.#wish((id) => ({ kind: 'leave', id, slot: from }))
      case 'move':
        this.#mustPlace(view.id)
        return this.#wish((id) => ({ kind: 'wish', id, host: message.address, node: message.node }))
    }
  }

  #report(): SentReport {
    const hosts = this.#options.hosts.map(({ name, address }) => {
      const borne = this.#bearer.bears(name)
      const { failing, barred, reasons } = this.#services.health(name)
      const unfit = this.#bearer.unfit(name)
      const why = [...reasons, ...(unfit === undefined ? [] : [unfit])].join(', ')
      return {
        ...{ address, bears: borne !== undefined, serves: borne?.serves ?? false, byHand: borne?.byHand ?? false },
        ...{ failing: failing + (unfit === undefined ? 0 : 1), barred, ...(why !== '' && { reason: why }) },
      }
    })
    return { ready: this.#ready, hosts }
  }

  /** Until the administrator knows how well this node is; who begins to place asks by himself. */
  async #tellHealth(): Promise<void> {
    this.#toTell = true
    if (this.#telling || this.#options.hosts.length === 0) return
    this.#telling = true
    while (this.#toTell && !this.#stopped) {
      this.#toTell = false
      try {
        await this.#askAdministrator((view) => ({ kind: 'health', view, report: this.#report() }), REPORT_LIMIT_MS)
      } catch {
        this.#toTell = true
        await sleep(this.#options.clock, AGAIN_MS)
      }
    }
    this.#telling = false
  }

  #askAdministrator(make: (view: ViewId) => ServiceRequest, limitMs: number): Promise<unknown> {
    const { mesh, administrator } = this.#options
    const to = administrator()
    if (to === undefined || !mesh.view)
      return Promise.reject(
        new MatrixError('view-changed', 'the matrix has no administrator at this moment: ask again'),
      )
    return mesh.request(to, 'service', make(mesh.view.id), limitMs)
  }

  // ── administrator ────────────────────────────────────────────────────────────────────────────────────────────────

  #mustPlace(view: ViewId): void {
    if (this.#placing !== view)
      throw new MatrixError('view-changed', 'the matrix is recovering: ask again when it is over')
  }

  #wish(event: (id: number) => PlacementEvent): Promise<true> {
    const id = ++this.#lastWish
    const answered = new Promise<void>((resolve, reject) => this.#pending.set(id, { resolve, reject }))
    this.#step(event(id))
    return answered.then(() => true)
  }

  #step(event: PlacementEvent): void {
    const view = this.#placing
    if (view === undefined) return
    for (const effect of this.#placement.step(this.#options.clock.now(), event)) this.#carryOut(view, effect)
  }

  #carryOut(view: ViewId, effect: PlacementEffect): void {
    const { mesh, log, hosts, onMoved } = this.#options
    const nameOf = (address: string) => hosts.find((host) => host.address === address)?.name ?? address
    switch (effect.kind) {
      case 'ask':
        void this.#ask(view, effect.slot)
        return
      case 'take':
      case 'release': {
        const { kind, slot, host } = effect
        const message: ServiceRequest =
          kind === 'take' ? { kind, view, address: host, byHand: effect.byHand } : { kind, view, address: host }
        mesh.request(slot, 'service', message, this.#commandLimitMs).then(
          () => this.#told(view, { kind: kind === 'take' ? 'taken' : 'released', slot, host }),
          (error: Error) => {
            if (this.#placing === view)
              log.warn(
                { host: nameOf(host), slot, command: kind, error: error.message },
                'a virtual host is where it should not be',
              )
            this.#told(view, { kind: 'failed', slot, host, reason: error.message })
          },
        )
        return
      }
      case 'answer': {
        const pending = this.#pending.get(effect.id)
        this.#pending.delete(effect.id)
        if (effect.refusal === undefined) pending?.resolve()
        else pending?.reject(refusalOf(effect.refusal))
        return
      }
      case 'moved': {
        const { to } = effect
        const name = nameOf(effect.host)
        const lost = this.#lostBy(effect)
        const { from, cause, why } = lost === undefined ? effect : lost
        this.#lastKnown.set(effect.host, to)
        onMoved(name, `${from === undefined ? '' : `${from} → `}${to}: ${why}`)
        this.#options.publish({
          ...{ kind: kindOf[cause], object: { type: 'virtual-host', name } },
          severity: cause === 'failover' ? 'warning' : 'info',
          text: `virtual host ${name} is at ${to}${from === undefined ? '' : `, and was at ${from}`}: ${why}`,
          detail: { address: effect.host, to, why, ...(from !== undefined && { from }) },
        })
      }
    }
  }

  /** Who had it before, where that one is no member any more. */
  #lostBy({ host, from, cause, to }: Extract<PlacementEffect, { kind: 'moved' }>) {
    const former = this.#lastKnown.get(host)
    const isMember = this.#options.mesh.view?.members.some(({ name }) => name === former)
    if (cause !== 'placed' || from !== undefined || former === undefined || former === to || isMember) return undefined
    return { from: former, cause: 'failover', why: `${former} is gone` } as const
  }

  /** What belongs to a view that is over is not looked at. */
  #told(view: ViewId, event: PlacementEvent): void {
    if (this.#placing === view) this.#step(event)
  }

  async #ask(view: ViewId, slot: Slot): Promise<void> {
    const { mesh, clock, log } = this.#options
    while (this.#placing === view) {
      try {
        const body = { kind: 'report', view } satisfies ServiceRequest
        const report = decodeReport(await mesh.request(slot, 'service', body, REPORT_LIMIT_MS))
        this.#told(view, { kind: 'report', slot, report })
        const node = mesh.view?.members.find((member) => member.slot === slot)?.name
        for (const { address, serves } of report.hosts)
          if (serves && node !== undefined) this.#lastKnown.set(address, node)
        return
      } catch (error) {
        if (isMatrixError(error, 'not-found')) {
          // no virtual host is in its configuration: it has never taken any
          this.#told(view, { kind: 'report', slot, report: { ready: false, hosts: [] } })
          return
        }
        if (this.#placing === view)
          log.warn({ slot, error: String(error) }, 'a node does not say which virtual hosts it bears')
        await sleep(clock, AGAIN_MS)
      }
    }
  }
}

function refusalOf(reason: string): MatrixError {
  return new MatrixError(/view is changing/.test(reason) ? 'view-changed' : 'in-use', reason)
}

const kindOf: Readonly<Record<Cause, EventKind>> = {
  stays: 'virtual-host-placed',
  placed: 'virtual-host-placed',
  failover: 'virtual-host-failed-over',
  failback: 'virtual-host-failed-back',
  hand: 'virtual-host-moved',
  stop: 'virtual-host-moved',
}

type Seen = { readonly state: string; readonly bears: boolean; readonly byHand: boolean }

function stateOf(address: string, report: SentReport | Error | undefined): Seen {
  const nothing = { bears: false, byHand: false }
  if (report === undefined) return { state: 'no member', ...nothing }
  if (report instanceof Error)
    return {
      state: isMatrixError(report, 'not-found') ? 'has no virtual hosts' : `silent: ${report.message}`,
      ...nothing,
    }
  const host = report.hosts.find((each) => each.address === address)
  if (!host) return { state: 'not in its configuration', ...nothing }
  const isWell = host.failing === 0 && !host.barred
  const failing = `${host.barred ? 'no place' : 'failing'}: ${host.reason ?? ''}`
  const health = !report.ready ? 'starting or stopping' : isWell ? 'well' : failing
  const bearing = host.bears ? (host.serves ? 'serves it' : 'takes or gives it up') : undefined
  return { state: [bearing, health].filter(Boolean).join(', '), bears: host.bears, byHand: host.byHand }
}
