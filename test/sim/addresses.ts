/**
 * The addresses of simulated machines, and the oracle of virtual hosts. A machine's kernel has them: they outlive the process that added them,
 * until their life is over; programs that were started to change them go on when that process stands still or dies.
 *
 * What the oracle says: two machines never bear one address for living processes (what a dead process has left serves nobody); and some time after
 * healing every host is where its policy wants it.
 */
import { MatrixError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { ByteStream, Dialer, HostAddress, HostAddresses } from '../../src/platform/index.ts'
import type { ProbeTools, VirtualHost } from '../../src/services/index.ts'
import type { Coverage } from './coverage.ts'
import type { SimHost, SimWorld } from './world.ts'

/** What a program takes, ms. */
const PROGRAM_MS: readonly [number, number] = [2, 20]

type Entry = { readonly by: SimHost; until: number; isDeaf: boolean }

export class SimAddresses {
  /** By machine, then by address. */
  readonly #machines = new Map<string, Map<string, Entry>>()
  readonly #world: SimWorld
  readonly #prng: Prng
  readonly #coverage: Coverage
  /** Kernels are at most so late, ms. */
  readonly #lateMs: number
  /** Machines whose programs fail. */
  readonly failing = new Set<string>()
  /** Machines whose service fails; and those where it hangs. */
  readonly down = new Set<string>()
  readonly hanging = new Set<string>()
  /** Machines whose programs take so much longer, ms. */
  readonly slow = new Map<string, number>()
  readonly hosts: readonly VirtualHost[]

  constructor(world: SimWorld, prng: Prng, coverage: Coverage, options: { nodes: number; ioTimeoutMs: number }) {
    this.#world = world
    this.#prng = prng
    this.#coverage = coverage
    this.#lateMs = options.ioTimeoutMs / 4
    const names = Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`)
    const check = {
      kind: 'tcp',
      intervalMs: options.ioTimeoutMs / 2,
      timeoutMs: options.ioTimeoutMs / 2,
      retries: 2,
    } as const
    const host = (
      name: string,
      policy: VirtualHost['policy'],
      nodes: readonly string[],
      last: number,
    ): VirtualHost => ({
      ...{ name, policy, nodes, address: `10.0.0.${last}`, prefix: 24, interface: 'eth0' },
      monitors: [{ ...check, at: { host: 'service', port: 1 } }],
    })
    this.hosts = [
      host('back', 'AUTOFAILBACK', names, 50),
      host('stay', 'NOFAILBACK', [...names].reverse(), 51),
      host('few', 'AUTOFAILBACK', names.slice(1, 3), 52),
    ]
  }

  /** As a process on its machine reaches it. */
  of(process: SimHost): HostAddresses {
    const key = ({ address }: HostAddress) => address
    return {
      lateMs: this.#lateMs,
      add: (address, lifeMs) =>
        this.#program(process, 'add', () => {
          const until = this.#world.now + lifeMs / process.machine.rate + this.#lateMs * this.#prng.float()
          this.#kernel(process.name).set(key(address), { by: process, until, isDeaf: false })
          this.#judge(key(address))
        }),
      remove: (address) => this.#program(process, 'remove', () => void this.#kernel(process.name).delete(key(address))),
      deafen: (address) =>
        this.#program(process, 'deafen', () => {
          const entry = this.#kernel(process.name).get(key(address))
          if (entry) entry.isDeaf = true
        }),
      announce: () => this.#program(process, 'announce', () => {}),
      has: (address) => this.#program(process, 'has', () => this.#kernel(process.name).has(key(address))),
    }
  }

  /** Answers for the one service that each machine has. */
  tools(process: SimHost): Omit<ProbeTools, 'whyNot'> {
    const dialer: Dialer = {
      dial: (_at, limitMs) =>
        new Promise((resolve, reject) => {
          const isHanging = this.hanging.has(process.name)
          const fail = () => reject(new MatrixError(isHanging ? 'timeout' : 'peer-gone', 'the service of this machine'))
          const delayMs = isHanging ? limitMs : 1
          this.#world.at(delayMs, () =>
            process.enter(() => (isHanging || this.down.has(process.name) ? fail() : resolve(nothing()))),
          )
        }),
    }
    const programs = { run: () => Promise.reject(new Error('no service of the simulator has a program')) }
    return { dialer, tls: dialer, programs }
  }

  /** Power is gone: kernels have forgotten everything. */
  powerLoss(): void {
    this.#machines.clear()
  }

  /** Whether its kernel has the address, whoever added it. */
  isOn(machine: string, address: string): boolean {
    return this.#kernel(machine).has(address)
  }

  /** Whose living process has the address. */
  bearers(address: string): string[] {
    return [...this.#machines.keys()].filter((machine) => this.#kernel(machine).get(address)?.by.alive)
  }

  /** Why a host is not where it should be, long after all is well; undefined when each is. */
  disagreement(
    nodes: readonly { readonly name: string; readonly core: { readonly halted: boolean } | undefined }[],
  ): string | undefined {
    for (const { name, address, policy, nodes: list } of this.hosts) {
      const [bearer, ...others] = this.bearers(address)
      if (bearer === undefined || others.length > 0) return `${name} is at ${[bearer, ...others]}`
      const node = nodes.find((each) => each.name === bearer)
      if (!list.includes(bearer) || node?.core?.halted !== false) return `${name} is at ${bearer}`
      if (this.#kernel(bearer).get(address)?.isDeaf) return `${name} is deaf at ${bearer}`
      if (policy === 'AUTOFAILBACK' && bearer !== list[0] && !this.moved.has(name))
        return `${name} has not gone back to ${list[0]}`
    }
    return undefined
  }

  /** Hosts that somebody has moved by hand: they stay. */
  readonly moved = new Set<string>()

  #judge(address: string): void {
    const bearers = this.bearers(address)
    if (bearers.length > 1)
      this.#world.fail(new Error(`${this.#world.now} ms: ${address} is borne by ${bearers.join(' and ')}`))
  }

  #kernel(machine: string): Map<string, Entry> {
    let kernel = this.#machines.get(machine)
    if (!kernel) this.#machines.set(machine, (kernel = new Map()))
    for (const [address, { until }] of kernel) if (until <= this.#world.now) kernel.delete(address)
    return kernel
  }

  /** It does its work whatever becomes of the process that has started it. */
  #program<T>(process: SimHost, verb: string, work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#world.at(this.#prng.between(...PROGRAM_MS) + (this.slow.get(process.name) ?? 0), () => {
        const fails = verb !== 'has' && this.failing.has(process.name) && this.#prng.chance(0.5)
        if (fails) this.#coverage.count('fault address program fails')
        // it may have done its work all the same
        const result = fails && this.#prng.chance(0.5) ? undefined : work()
        process.enter(() => (fails ? reject(new MatrixError('config', `ip ${verb} failed`)) : resolve(result as T)))
      })
    })
  }
}

function nothing(): ByteStream {
  return {
    write: () => {},
    reset: () => {},
    onData: () => {},
    place: () => undefined,
    onPlaced: () => {},
    onClose: () => {},
  }
}
