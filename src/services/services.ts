/**
 * All services, applications and devices of this node: each is kept by itself (service-keeper.ts); together they say how well this node would bear a
 * virtual host, and applications come and go with theirs.
 */
import type { Clock, Log } from '../platform/index.ts'
import type { EventNews } from './events.ts'
import type { ProbeTools } from './monitors/probes.ts'
import { describeTarget, type ServiceCheck } from './monitors/service-check.ts'
import type { Service } from './service.ts'
import { ServiceKeeper, type ServiceSight } from './service-keeper.ts'
import type { VirtualHost } from './virtual-host.ts'

export type ServicesOptions = {
  readonly node: string
  readonly hosts: readonly VirtualHost[]
  readonly services: readonly Service[]
  readonly clock: Clock
  readonly log: Log
  readonly tools: ProbeTools
  readonly publish: (news: EventNews) => void
  /** Whether this node bears a virtual host, or is about to. */
  readonly bears: (host: string) => boolean
  /** How well this node is has changed. */
  readonly onChange: () => void
}

/** How well this node is for a virtual host. */
export type Health = {
  /** What fails, by its weights. */
  readonly failing: number
  /** A device fails that it needs. */
  readonly barred: boolean
  readonly reasons: readonly string[]
}

export class Services {
  readonly #keepers: readonly ServiceKeeper[]
  /** By host, how often it was stopped: what was begun before goes on no more. */
  readonly #stops = new Map<string, number>()

  constructor(options: ServicesOptions) {
    const { hosts, services, bears } = options
    this.#keepers = [...monitorsOf(hosts), ...services].map(
      (service) =>
        new ServiceKeeper(service, { ...options, isNeeded: () => service.hosts.some((host) => bears(host)) }),
    )
  }

  /** Before this node joins: no application of a former life runs here. Never rejects; what may still run counts against this node. */
  async clear(): Promise<void> {
    await Promise.all(this.#keepers.map((keeper) => keeper.clear()))
  }

  begin(): void {
    for (const keeper of this.#keepers) keeper.begin()
  }

  end(): void {
    for (const keeper of this.#keepers) keeper.end()
  }

  health(host: string): Health {
    const failing = this.#of(host).filter(({ counts }) => counts)
    const devices = failing.filter(({ service }) => service.type === 'device')
    const rest = failing.filter(({ service }) => service.type !== 'device')
    return {
      failing: rest.reduce((sum, { service }) => sum + service.weight, 0),
      barred: devices.length > 0,
      reasons: failing.map(({ reason }) => reason),
    }
  }

  /** Starts the applications of a host, one after another: those that come before its address, or the others. Never rejects. */
  async start(host: string, when: 'before' | 'after'): Promise<void> {
    const stops = this.#stops.get(host)
    for (const keeper of this.#of(host)) {
      if (this.#stops.get(host) !== stops) return
      if (keeper.service.startsFirst === (when === 'before')) await keeper.start()
    }
  }

  /** Stops the applications of a host, the last one first. Never rejects. */
  async stop(host: string): Promise<void> {
    this.#stops.set(host, (this.#stops.get(host) ?? 0) + 1)
    for (const keeper of this.#of(host).toReversed()) await keeper.stop()
  }

  /** What the scripts of a host may take together, ms. */
  limitMs(host: string): number {
    const limits = this.#of(host).flatMap(({ service: { start, stop } }) => [
      start?.timeoutMs ?? 0,
      stop?.timeoutMs ?? 0,
    ])
    return limits.reduce((sum, each) => sum + each, 0)
  }

  look(): readonly ServiceSight[] {
    return this.#keepers.map((keeper) => keeper.look())
  }

  /** A person says that it may be used here again. Whether there is one of that name. */
  clearFailure(name: string): boolean {
    const found = this.#keepers.filter(({ service }) => service.name === name)
    for (const keeper of found) keeper.clearFailure()
    return found.length > 0
  }

  #of(host: string): ServiceKeeper[] {
    return this.#keepers.filter(({ service }) => service.hosts.includes(host))
  }
}

/** The monitors that hosts have without a name of their own: what is probed in the same way for several is probed once. */
function monitorsOf(hosts: readonly VirtualHost[]): Service[] {
  const checks = new Map<string, { readonly check: ServiceCheck; readonly hosts: string[] }>()
  for (const host of hosts)
    for (const check of host.monitors) {
      const key = JSON.stringify(check)
      const known = checks.get(key)
      if (known) known.hosts.push(host.name)
      else checks.set(key, { check, hosts: [host.name] })
    }
  return [...checks.values()].map(({ check, hosts: names }) => ({
    ...{ type: 'service', name: `${check.kind} ${describeTarget(check)}`, hosts: names, check, policy: 'AUTORECOVER' },
    ...{ weight: 1, startsFirst: false, restarts: 0, recoverAfterMs: 0 },
  }))
}
