/**
 * Virtual hosts at one node: what it bears (address-bearer.ts), how well it could (monitors), and, while it is administrator, the placement of all
 * of them (placement.ts). The only place where the pure decision meets messages and time.
 *
 *     administrator                          members, the administrator among them
 *     resumed(view) ──report?──────────────▶ what they bear, how well they are
 *     Placement.step ──take / release──────▶ AddressBearer ─▶ HostAddresses, gateways
 *                    ◀─────────────health─── ServiceMonitor
 *                    ◀──────move, leave───── a person at any node; a node that stops
 */
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import type { Timings } from '../base/timings.ts'
import { type Mesh, presentView, type View, type ViewListener } from '../cluster/index.ts'
import { type Clock, type Dialer, type HostAddresses, type Log, sleep, type Timer } from '../platform/index.ts'
import { AddressBearer } from './address-bearer.ts'
import type { AddressedGateway } from './addressed-gateway.ts'
import type { ServiceCheck } from './monitors/service-check.ts'
import { ServiceMonitor } from './monitors/service-monitor.ts'
import { Placement, type PlacementEffect, type PlacementEvent } from './placement.ts'
import { decodeReport, decodeServiceRequest, type SentReport, type ServiceRequest } from './protocol.ts'
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
  readonly hosts: readonly VirtualHost[]
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  readonly timings: Timings
  readonly dialer: Dialer
  readonly addresses: HostAddresses
  readonly gateways: readonly AddressedGateway[]
  readonly goodUntil: () => number
  /** Resolves once everything that was answered is on stable storage. */
  readonly settle: () => Promise<void>
  /** As announced in the present view. */
  readonly administrator: () => Slot | undefined
  /** A host has moved: for the timeline. */
  readonly onMoved: (host: string, outcome: string) => void
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
  readonly #monitors = new Map<string, ServiceMonitor>()
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

  constructor(options: VirtualHostsOptions) {
    this.#options = options
    this.#bearer = new AddressBearer(options)
    this.#placement = new Placement({
      hosts: options.hosts,
      failbackAfterMs: FAILBACK_AFTER_MS,
      patienceMs: PATIENCE_MS,
      againAfterMs: AFTER_FAILURE_MS,
    })
    for (const check of options.hosts.flatMap(({ monitors }) => monitors)) {
      const key = keyOf(check)
      if (this.#monitors.has(key)) continue
      const monitor = new ServiceMonitor(check, { ...options, onChange: () => void this.#tellHealth() })
      this.#monitors.set(key, monitor)
    }
    options.mesh.onRequest('service', (from, body) => this.#answer(from, decodeServiceRequest(body)))
  }

  /** Before this node joins: nothing of a former life is left on its interfaces. */
  clear(): Promise<void> {
    return this.#bearer.clear()
  }

  /** The gateways of this node are there: it may bear hosts now. */
  begin(): void {
    if (this.#ready || this.#stopped) return
    this.#ready = true
    for (const monitor of this.#monitors.values()) monitor.start()
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
    await this.#askAdministrator((view) => ({ kind: 'move', view, address: host.address, node }), COMMAND_LIMIT_MS)
  }

  /** Before a clean stop: others take what this node bears. Never rejects, and waits no longer than clients would. */
  async leave(): Promise<void> {
    const { clock, log } = this.#options
    const bearsAny = () => this.#options.hosts.some(({ name }) => this.#bearer.bears(name))
    const deadline = clock.now() + LEAVE_LIMIT_MS
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
    for (const monitor of this.#monitors.values()) monitor.stop()
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
    const hosts = this.#options.hosts.map(({ name, address, monitors }) => {
      const borne = this.#bearer.bears(name)
      const failing = monitors.flatMap((check) => {
        const monitor = this.#monitors.get(keyOf(check)) as ServiceMonitor
        return monitor.isUp ? [] : [`${check.kind}: ${monitor.reason ?? 'down'}`]
      })
      const unfit = this.#bearer.unfit(name)
      if (unfit !== undefined) failing.push(unfit)
      return {
        ...{ address, bears: borne !== undefined, serves: borne?.serves ?? false, byHand: borne?.byHand ?? false },
        ...{ failing: failing.length, ...(failing.length > 0 && { reason: failing.join(', ') }) },
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
        mesh.request(slot, 'service', message, COMMAND_LIMIT_MS).then(
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
        const { host, from, to, why } = effect
        log.info({ host: nameOf(host), from, to, why }, 'a virtual host was placed')
        onMoved(nameOf(host), `${from === undefined ? '' : `${from} → `}${to}: ${why}`)
      }
    }
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

function keyOf({ kind, at, intervalMs, timeoutMs, retries }: ServiceCheck): string {
  return [kind, at.host, at.port, intervalMs, timeoutMs, retries].join(' ')
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
  const health = !report.ready ? 'starting or stopping' : host.failing === 0 ? 'well' : `failing: ${host.reason ?? ''}`
  const bearing = host.bears ? (host.serves ? 'serves it' : 'takes or gives it up') : undefined
  return { state: [bearing, health].filter(Boolean).join(', '), bears: host.bears, byHand: host.byHand }
}
