/**
 * The virtual hosts that this node bears: takes them, serves them, keeps them alive, and gives them up.
 *
 *     free ──take──▶ taking ──address, gateways──▶ serving ──drained──▶ closed ──removed──▶ free        (applications: services.ts)
 *                       └─ failed ─▶ removed again ─▶ free                └─ failed ─▶ borne, not served
 *
 * The life time of an address is a dead man's switch: it is renewed while this node's disk lease is good, for no longer than that lease
 * lasts, less what the system may be late. So whoever waits until the lease of a node is over (every fence agent does, unless it sees
 * the process dead) knows that its kernel has dropped the addresses, too, even if the process stands still.
 *
 * Invariants
 *   1. From before the first thing is done to take an address until it is surely gone, `report` says that it is borne.
 *   2. No address is added or renewed once the lease is over, nor after `drop`.
 *   3. The address is there before the gateways listen, and it is announced once they do; at the end they answer what was taken before it goes.
 *
 * Crash: the address stays on the interface for the rest of its life. The next life of this node removes it first of all (`clear`).
 */
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Timings } from '../base/timings.ts'
import { Turns } from '../base/turns.ts'
import { type Clock, type HostAddresses, type Log, sleep, type Timer, within } from '../platform/index.ts'
import type { AddressedGateway } from './addressed-gateway.ts'
import type { Services } from './services.ts'
import type { VirtualHost } from './virtual-host.ts'

/** The shortest life that an address is given, renewals of the lease. Only with a lease that is hardly longer than what the system may be late may it outlive that. */
const LIFE_MIN_RENEWALS = 2
/** Life of an address with rules broken, ms. */
const FOR_EVER_MS = 10 * 365 * 86_400_000
/** A planned end waits so long for what was taken, ms. */
const DRAIN_MS = 1000
/** What has been answered is with the network's own buffers: so long it may take to leave, ms. */
const SETTLE_MS = 30
/** When the address is announced, after it was taken, ms: neighbours may miss one, or hear the last bearer's kernel for the rest of its address's life. */
const ANNOUNCE_AT_MS: readonly number[] = [0, 1000, 4000, 10_000]

export type AddressBearerOptions = {
  readonly hosts: readonly VirtualHost[]
  readonly addresses: HostAddresses
  readonly gateways: readonly AddressedGateway[]
  readonly clock: Clock
  readonly log: Log
  readonly timings: Timings
  /** Of this node's lease, in the clock's time. */
  readonly goodUntil: () => number
  /** Starts and stops what runs with a host: it comes before the address, or once that is served, and ends before it goes. */
  readonly services: Pick<Services, 'start' | 'stop'>
  /** Everything that was answered is on stable storage when it resolves. */
  readonly settle: () => Promise<void>
}

type Borne = {
  serves: boolean
  byHand: boolean
  isDeaf: boolean
  /** End of its life, if it was ever added. */
  addedUntil: number | undefined
  announcing: Timer[]
  /** Ends what is being told. */
  readonly silence: AbortController
  readonly telling: Set<Promise<void>>
}

export class AddressBearer {
  readonly #options: AddressBearerOptions
  readonly #borne = new Map<string, Borne>()
  /** By host: one thing after another. */
  readonly #turns = new Map<string, Turns>()
  readonly #unfit = new Map<string, string>()
  readonly #renewal: Timer
  #dropped = false

  constructor(options: AddressBearerOptions) {
    this.#options = options
    for (const { name } of options.hosts) this.#turns.set(name, new Turns())
    this.#renewal = options.clock.every(options.timings.renewMs, () => this.#renewAll())
  }

  /** Why this node cannot bear a host, as far as it is known. */
  unfit(host: string): string | undefined {
    return this.#unfit.get(host)
  }

  bears(host: string): { readonly serves: boolean; readonly byHand: boolean } | undefined {
    const { serves, byHand } = this.#borne.get(host) ?? {}
    return serves === undefined || byHand === undefined ? undefined : { serves, byHand }
  }

  /** Before anything else: what a former life of this node has left on its interfaces. Rejects as HostAddresses; a missing interface makes unfit alone. */
  async clear(): Promise<void> {
    const { hosts, addresses, log } = this.#options
    for (const host of hosts) {
      const { name, address } = host
      try {
        if (!(await addresses.has(host))) continue
        log.warn({ host: name, address }, 'a virtual host was left on this node, its address is removed')
        await addresses.remove(host)
      } catch (error) {
        if (!isMatrixError(error, 'not-found')) throw error
        log.error({ host: name, error: error.message }, 'this node cannot bear a virtual host')
        this.#unfit.set(name, error.message)
      }
    }
  }

  /** Resolves once the host is served here. Rejects with what went wrong; then it is not borne, unless the address could not be removed. */
  take(host: VirtualHost, byHand: boolean): Promise<void> {
    this.#bear(host)
    return this.#turn(host, async () => {
      const borne = this.#bear(host)
      borne.byHand = byHand
      if (borne.serves) return
      try {
        await this.#begin(host, borne)
      } catch (error) {
        if (isMatrixError(error, 'not-found', 'in-use')) this.#unfit.set(host.name, error.message)
        this.#closeGateways(host)
        await this.#options.services.stop(host.name)
        await this.#remove(host, borne)
        throw error
      }
    })
  }

  /** A planned end: what was taken is answered, and the address is surely gone when it resolves. Rejects when it may still be there. */
  async release(host: VirtualHost): Promise<void> {
    const { services } = this.#options
    // before its turn, in which the address would not be renewed: its clients are still served by what stops
    await services.stop(host.name)
    return this.#turn(host, async () => {
      const borne = this.#borne.get(host.name)
      if (!borne) return
      const { clock, log, gateways, settle, addresses } = this.#options
      // what a take that was under way has started since
      await services.stop(host.name)
      const startedAt = clock.now()
      borne.serves = false
      const late = (work: Promise<unknown>): Promise<unknown> =>
        within(clock, work, startedAt + DRAIN_MS - clock.now()).catch((error) => {
          log.warn({ host: host.name, error: String(error) }, 'a virtual host ends before everything was answered')
          return 'late'
        })
      const settled = late(settle())
      const drained = await late(Promise.all(gateways.map((gateway) => gateway.drain(host.address))))
      // what others are about to ask for is written meanwhile; whoever comes too early waits for a lock
      await settled
      await sleep(clock, SETTLE_MS)
      borne.isDeaf = true
      await addresses
        .deafen(host)
        .catch((error) => log.debug({ host: host.name, error: String(error) }, 'the address goes on to hear'))
      this.#closeGateways(host)
      await this.#remove(host, borne)
      const ms = Math.round(clock.now() - startedAt)
      log.info(
        { host: host.name, address: host.address, ms, drained: drained !== 'late' },
        'a virtual host was given up',
      )
    })
  }

  /**
   * Gives everything up at once, for good: nothing is answered any more, and addresses are gone when it resolves. Rejects when one may still
   * be there. Gateways have been closed by whoever halts this node.
   */
  async drop(): Promise<void> {
    this.#dropped = true
    this.#renewal.cancel()
    const { hosts } = this.#options
    await Promise.all(
      hosts.map((host) =>
        this.#turn(host, async () => {
          const borne = this.#borne.get(host.name)
          if (!borne) return
          // the address does not wait for it: others may be about to have it
          void this.#options.services.stop(host.name)
          await this.#remove(host, borne)
        }),
      ),
    )
  }

  #bear({ name }: VirtualHost): Borne {
    const known = this.#borne.get(name)
    if (known) return known
    const borne: Borne = {
      ...{ serves: false, byHand: false, isDeaf: false, addedUntil: undefined, announcing: [] },
      ...{ silence: new AbortController(), telling: new Set() },
    }
    this.#borne.set(name, borne)
    return borne
  }

  async #begin(host: VirtualHost, borne: Borne): Promise<void> {
    const { addresses, gateways, log, services } = this.#options
    await services.start(host.name, 'before')
    // what is deaf is no longer whole
    if ((await addresses.has(host)) && borne.isDeaf) await addresses.remove(host)
    borne.isDeaf = false
    await this.#add(host, borne)
    await Promise.all(gateways.map((gateway) => gateway.open(host.address)))
    if (this.#dropped) throw new MatrixError('withdrawn', 'this node has halted')
    borne.serves = true
    this.#unfit.delete(host.name)
    log.info({ host: host.name, address: host.address, interface: host.interface }, 'a virtual host is served here')
    this.#announce(host, borne)
    void services.start(host.name, 'after')
  }

  /** Adds the address, or makes its life longer. */
  async #add(host: VirtualHost, borne: Borne): Promise<void> {
    const { addresses, clock } = this.#options
    const lifeMs = this.#life()
    if (this.#dropped || lifeMs === undefined)
      throw new MatrixError('fenced', 'the disk lease of this node is over, or near its end')
    // also when it fails: it may have been added
    borne.addedUntil = clock.now() + lifeMs
    await addresses.add(host, lifeMs)
  }

  /** Of an address that is added now; undefined when the lease is too near its end. */
  #life(): number | undefined {
    const { addresses, clock, goodUntil, timings } = this.#options
    const leftMs = goodUntil() - clock.now()
    if (leftMs <= 0) return undefined
    if (brokenRules.addressDiesWithLease) return FOR_EVER_MS
    const leastMs = LIFE_MIN_RENEWALS * timings.renewMs
    const lifeMs = leftMs - addresses.lateMs
    if (lifeMs >= leastMs) return lifeMs
    // a lease that is never long enough: better a short life than one for ever
    return timings.leaseMs < addresses.lateMs + 2 * leastMs ? leastMs : undefined
  }

  /** Each is renewed well before its life is half over. */
  #renewAll(): void {
    const { hosts, clock, log, timings } = this.#options
    for (const host of hosts) {
      const borne = this.#borne.get(host.name)
      const leftMs = (borne?.addedUntil ?? 0) - clock.now()
      if (!borne?.serves || leftMs > timings.leaseMs / 2 + timings.renewMs) continue
      void this.#turn(host, async () => {
        if (borne.serves && !this.#dropped) await this.#add(host, borne)
      }).catch((error) =>
        log.warn({ host: host.name, error: String(error) }, 'the address of a virtual host was not renewed'),
      )
    }
  }

  #announce(host: VirtualHost, borne: Borne): void {
    const { addresses, clock, log } = this.#options
    borne.announcing = ANNOUNCE_AT_MS.map((delayMs) =>
      clock.after(delayMs, () => {
        if (!borne.serves || this.#dropped) return
        const told = addresses
          .announce(host, borne.silence.signal)
          .catch((error) =>
            log.warn({ host: host.name, error: String(error) }, 'a virtual host could not be announced'),
          )
          .finally(() => borne.telling.delete(told))
        borne.telling.add(told)
      }),
    )
  }

  #closeGateways(host: VirtualHost): void {
    for (const gateway of this.#options.gateways) gateway.closeAt(host.address)
  }

  /** Takes the address away; it is borne until that is certain. */
  async #remove(host: VirtualHost, borne: Borne): Promise<void> {
    const { addresses, clock, log } = this.#options
    borne.serves = false
    for (const timer of borne.announcing.splice(0)) timer.cancel()
    // nobody may hear of this node after the next bearer has announced itself
    borne.silence.abort()
    await Promise.all(borne.telling)
    try {
      await addresses.remove(host)
    } catch (error) {
      if (borne.addedUntil === undefined && isMatrixError(error, 'in-use', 'not-found')) {
        this.#borne.delete(host.name)
        return
      }
      log.error({ host: host.name, error: String(error) }, 'the address of a virtual host cannot be removed')
      // nobody renews it: it is gone when its life is over, where it has one
      await sleep(clock, Math.max(0, (borne.addedUntil ?? 0) + addresses.lateMs - clock.now()))
      if (await addresses.has(host)) throw error
    }
    this.#borne.delete(host.name)
  }

  #turn<T>(host: VirtualHost, work: () => Promise<T>): Promise<T> {
    return (this.#turns.get(host.name) as Turns).take(work)
  }
}
