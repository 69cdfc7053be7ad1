/**
 * The hand of fate in a simulated matrix: what goes wrong, when, from the run's seed. Each seed draws the kinds it has:
 *
 *   deaths      processes are killed; now and then all at once, with a power loss of the LUNs; and in the middle of a checkpoint,
 *               with the journal late
 *   partitions  groups of nodes cannot talk; or one hears nobody, is heard by nobody, or two lack their connection in one
 *               direction or both. The LUNs stay reachable: that is the dangerous half of a partition
 *   pauses      a node's main thread stands still, or the whole process with the thread of its lease, from a moment to longer
 *               than its lease
 *   slowness    I/O of one node or of all, to one LUN or to all, takes long: up to about the I/O time-out, sometimes beyond it up
 *               to the longest life of an I/O (then leases are lost although nobody did anything wrong); or only what is read,
 *               or one stream of writes, while the others go on; and sometimes the node dies in the middle of it
 *
 * Everything heals by itself after a while, and all of it at `heal`.
 */
import type { Prng } from '../../src/base/prng.ts'
import { type Clock, sleep } from '../../src/platform/index.ts'
import type { FaultHook, SimDisk } from './lun.ts'
import type { SimMatrix, SimNode } from './matrix.ts'
import type { SimHost } from './world.ts'

export type FaultCounts = { crashes: number; powerLosses: number; partitions: number; pauses: number; slowness: number }

export class Faults {
  readonly counts: FaultCounts = { crashes: 0, powerLosses: 0, partitions: 0, pauses: 0, slowness: 0 }
  readonly #matrix: SimMatrix
  readonly #prng: Prng
  readonly #clock: Clock
  #over = false
  readonly #paused = new Set<SimHost>()
  readonly #hooks: { readonly disk: SimDisk; readonly hook: FaultHook }[] = []

  /** `clock` is of a machine that nothing happens to. */
  constructor(matrix: SimMatrix, prng: Prng, clock: Clock) {
    this.#matrix = matrix
    this.#prng = prng
    this.#clock = clock
  }

  begin(): void {
    const prng = this.#prng
    const { network } = this.#matrix
    network.loss = prng.pick([0, 0, 0.0002, 0.001])
    network.maxDelayMs = prng.pick([1, 3, 20])
    const deaths = prng.pick([0.05, 0.35, 0.35])
    void this.#again(50, 900, () => this.#death(deaths))
    if (prng.chance(0.5)) void this.#again(300, 4000, () => this.#partition())
    if (prng.chance(0.5)) void this.#again(200, 3000, () => this.#pause())
    if (prng.chance(0.4)) void this.#again(500, 4000, () => this.#slowness())
    if (prng.chance(0.4)) this.#deathsAtCheckpoints(prng.pick([0.02, 0.1]))
  }

  heal(): void {
    this.#over = true
    const { network } = this.#matrix
    network.healAll()
    network.maxDelayMs = 2
    for (const host of this.#paused) host.resume()
    this.#paused.clear()
    for (const { disk, hook } of this.#hooks) disk.faults.delete(hook)
  }

  async #again(leastMs: number, mostMs: number, happen: () => void): Promise<void> {
    for (;;) {
      await sleep(this.#clock, this.#prng.between(leastMs, mostMs))
      if (this.#over) return
      happen()
    }
  }

  #after(delayMs: number, run: () => void): void {
    this.#clock.after(delayMs, () => {
      if (!this.#over) run()
    })
  }

  #death(chance: number): void {
    const k = this.#prng.float()
    if (k < chance) {
      this.#kill(this.#prng.pick(this.#matrix.nodes))
    } else if (k < chance + 0.03) {
      this.counts.powerLosses++
      this.#matrix.powerLoss()
    }
  }

  #kill(victim: SimNode | undefined): void {
    if (!victim?.host?.alive) return
    this.counts.crashes++
    this.#matrix.crash(victim)
  }

  #partition(): void {
    const prng = this.#prng
    const { network, nodes } = this.#matrix
    const names = nodes.map((node) => node.name)
    const one = prng.pick(names)
    const others = names.filter((name) => name !== one)
    let cuts: [string, string][]
    switch (prng.pick(['groups', 'groups', 'deaf', 'mute', 'pair', 'one-way'] as const)) {
      case 'groups': {
        const group = new Map(names.map((name) => [name, prng.below(2)]))
        group.set(one, 0).set(others[0] as string, 1)
        cuts = names.flatMap((a) =>
          names.filter((b) => group.get(a) !== group.get(b)).map((b): [string, string] => [a, b]),
        )
        break
      }
      case 'deaf':
        cuts = others.map((other) => [other, one])
        break
      case 'mute':
        cuts = others.map((other) => [one, other])
        break
      case 'pair': {
        const other = prng.pick(others)
        cuts = [
          [one, other],
          [other, one],
        ]
        break
      }
      case 'one-way':
        cuts = [[one, prng.pick(others)]]
        break
    }
    this.counts.partitions++
    for (const [from, to] of cuts) network.cutOneWay(from, to)
    this.#after(prng.pick([prng.between(20, 600), prng.between(600, 3000), prng.between(3000, 7000)]), () => {
      for (const [from, to] of cuts) network.healOneWay(from, to)
    })
  }

  #pause(): void {
    const prng = this.#prng
    const { host } = prng.pick(this.#matrix.nodes)
    if (!host?.alive || this.#paused.has(host)) return
    const { leaseMs, suspectMs } = this.#matrix.timings
    this.counts.pauses++
    this.#paused.add(host)
    host.pause(prng.pick(['thread', 'process']))
    const longMs = prng.pick([
      prng.between(5, suspectMs),
      prng.between(suspectMs, leaseMs),
      prng.between(leaseMs, 4 * leaseMs),
    ])
    this.#after(longMs, () => {
      this.#paused.delete(host)
      host.resume()
    })
  }

  /** A node that begins to publish a checkpoint finds its journal slow, and dies. */
  #deathsAtCheckpoints(chance: number): void {
    const { disks, nodes, timings, world } = this.#matrix
    const doomed = new Set<string>()
    const hook: FaultHook = ({ host, purpose }) => {
      if (purpose === 'journal' && doomed.has(host)) return { slowMs: timings.ioTimeoutMs * this.#prng.float() }
      if (purpose !== 'checkpoint' || doomed.has(host) || !this.#prng.chance(chance)) return undefined
      world.trace(`${host} is to die of a checkpoint`)
      doomed.add(host)
      this.#after(this.#prng.between(1, 100), () => {
        doomed.delete(host)
        this.#kill(nodes.find(({ name }) => name === host))
      })
      return undefined
    }
    for (const disk of disks) {
      disk.faults.add(hook)
      this.#hooks.push({ disk, hook })
    }
  }

  #slowness(): void {
    const prng = this.#prng
    const { disks, nodes, timings } = this.#matrix
    const whole = prng.chance(0.4)
    const node = prng.pick(nodes).name
    const chance = prng.pick([0.1, 0.5, 1])
    const mostMs = prng.pick([20, 150, timings.ioTimeoutMs - 1, timings.ioTimeoutMs - 1, timings.ioLifeMs])
    // one stream alone may be behind: what is durable of the one is then long before what is of the other
    const only = prng.pick([undefined, undefined, 'journal', 'journal', 'data', 'checkpoint', 'read'] as const)
    const hook: FaultHook = ({ host, op, purpose }) => {
      if ((!whole && host !== node) || (only && (purpose ?? op) !== only) || !prng.chance(chance)) return undefined
      return { slowMs: mostMs * (0.5 + 0.5 * prng.float()) }
    }
    // whoever dies now leaves much that has not landed
    if (!whole && prng.chance(0.4))
      this.#after(prng.between(10, 500), () => this.#kill(nodes.find(({ name }) => name === node)))
    const which = prng.pick([disks, disks.slice(0, 1), disks.slice(1)])
    this.counts.slowness++
    this.#matrix.world.trace(
      `slow: ${which.map((disk) => disk.name)} for ${whole ? 'all' : node}, ${only ?? 'everything'} ${mostMs} ms`,
    )
    for (const disk of which) {
      const own: FaultHook = (io) => hook(io)
      disk.faults.add(own)
      this.#hooks.push({ disk, hook: own })
      this.#after(prng.between(100, 4000), () => disk.faults.delete(own))
    }
  }
}
