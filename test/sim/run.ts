/**
 * One simulated run from one seed: a matrix of 3–5 nodes under load and faults (safety phase), then healed (liveness phase), then judged.
 *
 *   mix        mix.ts: how long and how busy the run is, and how much goes wrong
 *   faults     faults/: the table in faults/faults.ts
 *   invariants every read is explained by one order of the writes, every answer about directories by one order of all that was asked; two nodes never hold conflicting locks (lock-oracle.ts); nobody writes without a lease
 *              or after being fenced (write-oracle.ts); images are equal row for row at one vector; what was acknowledged as stable
 *              is there; fsck finds nothing; after healing everybody serves again; at rest no lock is pinned by nobody, and no
 *              inode without a name and no freed space is left; the LUNs of all nodes are those of the list (spare-luns.ts), and of the filesystem (lun-use.ts);
 *              two nodes never bear one virtual host, and after healing each is where its policy wants it (addresses.ts)
 *
 *   ranges     byte ranges that two clients believe to have never conflict, whatever dies (range-oracle.ts); at the end each has what it believes to have, and whoever waits is granted
 *   damage     where the only copy of something is destroyed, the filesystem may end up marked in error; then nobody serves it any more,
 *              and until then nothing wrong was served. Or it goes on, and then all of the above holds
 *
 * A failure carries its seed; `npm run sim -- --first-seed N --seeds 1 --verbose` repeats it event by event.
 */

import { brokenRules } from '../../src/base/broken-rules.ts'
import { Prng } from '../../src/base/prng.ts'
import { KiB } from '../../src/base/units.ts'
import { resourceName, resourceType, SLOT_LOCK } from '../../src/locking/index.ts'
import type { MatrixFs } from '../../src/metadata/index.ts'
import type { Log } from '../../src/platform/index.ts'
import { sleep } from '../../src/platform/index.ts'
import { callsTo } from './calls.ts'
import { type Counts, Coverage } from './coverage.ts'
import { DavWork } from './dav.ts'
import { Faults } from './faults/faults.ts'
import { Litter } from './litter.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { destroys, drawMix, type Mix } from './mix.ts'
import { Observer } from './observer.ts'
import { Oracle } from './oracle.ts'
import { RangeClient, type RangeServer } from './range-client.ts'
import { INOS, RangeOracle } from './range-oracle.ts'
import { Client, prepare } from './workload.ts'
import { SimHost, SimWorld } from './world.ts'

export type SimResult = {
  readonly seed: number
  readonly mix: string
  readonly hash: string
  readonly events: number
  readonly virtualMs: number
  readonly operations: number
  /** Grants that were held against all other nodes. */
  readonly grants: number
  readonly lockPairs: number
  readonly fences: number
  /** Administrators that there have been, one after another. */
  readonly terms: number
  readonly coverage: Counts
}

export type SimOptions = {
  /** Virtual length of the phase with faults, ms; instead of what the seed draws. */
  readonly faultyMs?: number
  readonly verbose?: boolean
  readonly log?: (node: string) => Log
}

/** Everybody serves again so long after healing, in I/O time-outs: some twenty leases, or ten of the longest waits for one. */
const HEAL_LIMIT = 150
/** What broke while the faults were on is noticed within so long, in I/O time-outs: the network gives a connection up after four. */
const AFTERMATH = 6
/** Clients that lock byte ranges. */
const RANGE_CLIENTS = 4
/** At the end all of them get all that they wait for within this, ms (virtual). */
const RANGE_LIMIT_MS = 60_000
/** Everything is at rest this long after the last verb, ms (virtual): the reaper asks again after 30 s at the latest. */
const REST_LIMIT_MS = 70_000

/** Runs one seed; rejects with what broke. */
export async function simulate(seed: number, options: SimOptions = {}): Promise<SimResult> {
  const world = new SimWorld(seed)
  world.verbose = options.verbose ?? false
  const run = new Run(world, options)
  try {
    return await run.whole()
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message) : error}`)
  } finally {
    for (const node of run.matrix.nodes) node.host?.crash()
  }
}

class Run {
  readonly world: SimWorld
  readonly matrix: SimMatrix
  readonly #options: SimOptions
  readonly #prng: Prng
  readonly #oracle = new Oracle()
  readonly #litter: Litter
  readonly #dav: DavWork
  readonly #clients: Client[]
  readonly #ranges: RangeOracle
  readonly #rangeClients: RangeClient[]
  readonly #rangesPrng: Prng
  /** Clients and the hand of fate live on a machine that never dies. */
  readonly #outside: SimHost
  readonly #faults: Faults
  readonly #coverage = new Coverage()
  readonly #mix: Mix
  #faulty = true
  #working = true

  constructor(world: SimWorld, options: SimOptions) {
    this.world = world
    this.#options = options
    this.#prng = world.prng.fork()
    this.#outside = new SimHost(world, 'outside')
    this.#mix = drawMix(this.#prng)
    const nodes = this.#prng.between(3, 5)
    const fencing = [
      ...(this.#prng.chance(0.3) ? ([this.#prng.pick(['script', 'scsi-pr'] as const)] as const) : []),
      ...(this.#prng.chance(0.7) ? (['kill', 'lease'] as const) : (['lease'] as const)),
    ]
    const partitions = this.#prng.pick([1, 3] as const)
    const networks = this.#prng.pick([1, 1, 2])
    const journalBytes = this.#prng.pick([64 * KiB, 64 * KiB, 256 * KiB])
    // from the seed alone: whatever else a seed draws is as it was
    const hasOrphans = new Prng(world.seed + 1_000_003).chance(0.3)
    const hasVirtualHosts = new Prng(world.seed + 3_000_017).chance(0.4)
    if (hasOrphans) this.#coverage.count('LUNs are reached as those of a target')
    this.matrix = new SimMatrix(world, {
      ...{ nodes, fencing, journalBytes, partitions, networks, ioTimeoutMs: this.#mix.ioTimeoutMs },
      // others are found by their lease sectors
      listed: this.#prng.chance(0.25) ? this.#prng.between(1, nodes) : nodes,
      ...{ log: options.log, coverage: this.#coverage, hasOrphans, hasVirtualHosts },
    })
    this.#faults = new Faults(this.matrix, world.prng.fork(), this.#outside.clock, this.#coverage, this.#mix.pace)
    this.#litter = new Litter(world)
    this.#dav = new DavWork(this.#oracle)
    this.#clients = Array.from(
      { length: nodes + 1 },
      (_, id) =>
        new Client(id, this.#oracle, this.#litter, this.#dav, world.prng.fork(), this.#mix.thinkMs, (line) =>
          world.trace(line),
        ),
    )
    this.#ranges = new RangeOracle(world)
    this.#rangesPrng = new Prng(world.seed + 2_000_003)
    this.#rangeClients = Array.from({ length: RANGE_CLIENTS }, (_, id) => {
      const { clock } = this.#outside
      const parts = { prng: this.#rangesPrng.fork(), clock, coverage: this.#coverage, thinkMs: this.#mix.thinkMs }
      const graceMs = AFTERMATH * this.#mix.ioTimeoutMs
      return new RangeClient(id, this.#ranges, { ...parts, graceMs, trace: (line) => world.trace(line) })
    })
  }

  async whole(): Promise<SimResult> {
    const { world, matrix } = this
    await world.settle(matrix.format())
    await world.settle(Promise.all(matrix.nodes.map((node) => this.#boot(node))))
    await world.settle(prepare(() => this.#anyFs() as MatrixFs, this.#clients.length))
    const work = [
      ...this.#clients.map((client) => this.#keepWorking(client)),
      ...this.#rangeClients.map((client) => this.#keepLocking(client)),
    ]
    const observer = new Observer(matrix, this.#coverage)
    observer.begin(this.#outside.clock)
    void this.#reviving()
    this.#faults.begin(destroys(this.#mix))
    await world.run(world.now + (this.#options.faultyMs ?? this.#mix.faultyMs))

    this.#faulty = false
    this.#faults.heal()
    // a connection that lost something while the faults were on breaks some time after, and may cost its node a life
    const { ioTimeoutMs } = this.#mix
    const healedBy = world.now + HEAL_LIMIT * ioTimeoutMs
    for (let since = world.now; world.now < since + AFTERMATH * ioTimeoutMs; ) {
      const disagreement =
        matrix.spares.disagreement(matrix.nodes) ??
        matrix.lunUse.disagreement(matrix.nodes, matrix.record) ??
        matrix.addresses?.disagreement(matrix.nodes)
      if (!matrix.whole || disagreement !== undefined) since = world.now
      if (await this.#isolated()) return this.#result()
      if (since >= healedBy) {
        const states = matrix.nodes.map(
          ({ name, mount, core }) => `${name} ${mount?.state} in view ${core?.cluster.mesh.view?.id}`,
        )
        throw new Error(
          `not everybody serves ${HEAL_LIMIT * ioTimeoutMs} ms after healing: ${[...states, disagreement ?? 'LUNs and virtual hosts agree'].join(', ')}`,
        )
      }
      await world.run(world.now + 50)
    }
    this.#working = false
    await world.settle(Promise.all(work))
    await world.run(world.now + REST_LIMIT_MS, () => this.#atRest().length === 0)
    const busy = this.#atRest()
    if (busy.length > 0) throw new Error(`${REST_LIMIT_MS} ms after the last verb: ${busy.join('; ')}`)
    await world.settle(this.#judgeRanges(), RANGE_LIMIT_MS)
    await world.settle(this.#judge())
    return this.#result()
  }

  #result(): SimResult {
    const { world, matrix } = this
    const repeated = this.#clients.reduce((sum, client) => sum + client.repeated, 0)
    if (repeated > 0) this.#coverage.count('a change that was made is asked for again elsewhere', repeated)
    if (matrix.network.framesLost > 0) this.#coverage.count('fault lost frame', matrix.network.framesLost)
    return {
      seed: world.seed,
      hash: world.hash,
      events: world.events,
      virtualMs: world.now,
      operations: this.#clients.reduce((sum, client) => sum + client.operations, 0),
      mix: this.#mix.name,
      grants: matrix.locks.grants,
      lockPairs: matrix.locks.pairs,
      fences: matrix.writes.fences,
      terms: matrix.writes.administrators.terms,
      coverage: this.#coverage.counts,
    }
  }

  /** Damage has put the filesystem out of service, as it should: for all nodes, and with right answers until then. */
  async #isolated(): Promise<boolean> {
    const { world, matrix } = this
    if (!destroys(this.#mix) || matrix.whole) return false
    const found = await world.settle(matrix.readError())
    if (found === undefined) return false
    world.trace(`the filesystem is in error: ${found}`)
    await world.run(world.now + AFTERMATH * this.#mix.ioTimeoutMs)
    const serving = matrix.nodes.filter(({ mount }) => mount?.state === 'serving').map(({ name }) => name)
    if (serving.length > 0) throw new Error(`the filesystem is in error (${found}), and ${serving} serve it`)
    this.#litter.judge()
    this.#coverage.count('damage: filesystem in error')
    return true
  }

  /** Starts a machine's next life, again and again until one serves. */
  async #boot(node: SimNode): Promise<void> {
    if (node.booting) return
    node.booting = true
    for (;;) {
      let over = false
      const life = this.matrix.boot(node).then(
        () => (over = true),
        (error) => {
          over = true
          this.world.trace(`${node.name} did not start: ${String(error)}`)
          node.host?.crash()
        },
      )
      const { host } = node
      while (!over && host?.alive) await sleep(this.#outside.clock, 20)
      if (host?.alive) break
      void life
      await sleep(this.#outside.clock, 200)
    }
    node.booting = false
  }

  /** Sees to it that a dead machine comes back. */
  async #reviving(): Promise<void> {
    for (;;) {
      await sleep(this.#outside.clock, this.#prng.between(50, 900))
      for (const node of this.matrix.nodes) {
        if (!node.host?.alive && !node.booting && (!this.#faulty || this.#prng.chance(0.4))) void this.#boot(node)
      }
    }
  }

  #anyFs(): MatrixFs | undefined {
    const serving = this.matrix.nodes.filter((node) => node.mount?.state === 'serving')
    return serving.length ? this.#prng.pick(serving).mount?.fs : undefined
  }

  /** A client goes on at another node when its own has failed. */
  async #keepWorking(client: Client): Promise<void> {
    const { clock } = this.#outside
    while (this.#working) {
      const serving = this.matrix.nodes.filter(({ mount }) => mount?.state === 'serving' || mount?.state === 'reopened')
      const node = serving.length ? this.#prng.pick(serving) : undefined
      const { host } = node ?? {}
      if (!node?.mount || !host) {
        await sleep(clock, 50)
        continue
      }
      // a client goes elsewhere on a whim; from a node that is dead, stands still or cannot answer it does so without the answer
      const until = this.world.now + this.#prng.between(300, 4000)
      const patience = until + this.#prng.between(500, 3000)
      let over = false
      const stopped = () => !this.#working || !host.alive || this.world.now > until
      void client.work(callsTo(node.mount.fs, host), this.matrix.writes.life(host), clock, stopped).then(
        () => (over = true),
        (error) => this.world.fail(error),
      )
      while (!over && host.alive && (this.world.now < patience || !this.#working)) await sleep(clock, 10)
      await sleep(clock, 20)
    }
  }

  /** Ranges are locked at whatever node, one after another, until no client works. */
  async #keepLocking(client: RangeClient): Promise<void> {
    while (this.#working) {
      const server = this.#rangeServer()
      if (server) {
        const until = this.world.now + this.#rangesPrng.between(100, 4000)
        const stopped = () => !this.#working || !server.host.alive || this.world.now > until
        await client.work(server, stopped).catch((error) => this.world.fail(error))
      }
      await sleep(this.#outside.clock, 20)
    }
  }

  #rangeServer(): RangeServer | undefined {
    const serving = this.matrix.nodes.filter(({ mount }) => mount?.state === 'serving' || mount?.state === 'reopened')
    const { mount, host } = serving.length ? this.#rangesPrng.pick(serving) : {}
    const isMounted = () => host !== undefined && !this.matrix.leaving.has(host)
    return mount && host ? { mount, host, life: this.matrix.writes.life(host), isMounted } : undefined
  }

  /** All locks are as their clients believe; whoever waits gets what it wants; then nothing is left. */
  async #judgeRanges(): Promise<void> {
    const server = () => {
      const found = this.#rangeServer()
      if (!found) throw new Error('nobody serves')
      return found
    }
    for (const client of this.#rangeClients) await client.verify(server())
    await Promise.all(this.#rangeClients.map((client) => client.finish(server())))
    for (const { name, mount } of this.matrix.nodes) {
      for (const ino of INOS)
        await mount?.fs.ranges.test({ client: 'judge', owner: '', ino, start: 0, end: 0, mode: 'shared' })
      const left = mount?.volume.image.rangedInos(0, 10) ?? []
      if (left.length > 0) throw new Error(`at ${name} ranges of ${left.join(', ')} are locked or waited for by nobody`)
    }
  }

  /** What still goes on although no client works: locks pinned for nobody, inodes to reap, space to give back. */
  #atRest(): string[] {
    const busy: string[] = []
    for (const { name, mount } of this.matrix.nodes) {
      if (!mount) continue
      for (const { rid, pins } of mount.locks.pinnedLocks()) {
        if (resourceType(rid) !== SLOT_LOCK) busy.push(`${name} pins ${resourceName(rid)} ${pins} times`)
      }
      const orphans = mount.volume.image.orphans(mount.volume.slot, 10)
      if (orphans.length > 0) busy.push(`${name} has not reaped ${orphans.join(', ')}`)
      const freed = mount.volume.image.freed(mount.volume.slot, 10)
      if (freed.length > 0) busy.push(`${name} has not given back ${freed.map((run) => run.address).join(', ')}`)
    }
    return busy
  }

  async #judge(): Promise<void> {
    for (const node of this.matrix.nodes) {
      const { fs } = node.mount ?? {}
      if (!fs) throw new Error(`${node.name} has no filesystem`)
      try {
        for (const client of this.#clients) await client.verifyOwn(fs)
        await this.#clients[0]?.verifyShared(fs)
      } catch (error) {
        throw new Error(`at ${node.name} after healing: ${error}`)
      }
    }
    if (this.#dav.locked > 0) this.#coverage.count('WebDAV locks are given')
    const findings = await this.matrix.compareImages()
    const watched = new Set(
      this.matrix.nodes.flatMap(
        ({ slot, mount }) => mount?.volume.image.nfsClients(slot).map(({ name }) => name) ?? [],
      ),
    )
    for (const client of this.#rangeClients) {
      if (client.isWatched && !watched.has(client.name)) throw new Error(`nobody watches over ${client.name} any more`)
    }
    this.#litter.judge()
    if (findings.length)
      throw new Error(`fsck: ${findings.map(({ check, detail }) => `${check}: ${detail}`).join('; ')}`)
  }
}

/** What kind of run a seed is. */
export function mixOf(seed: number): string {
  return drawMix(new SimWorld(seed).prng.fork()).name
}

/** Names of the rules that a mutant run may break (src/base/broken-rules.ts). */
export const ruleNames = Object.keys(brokenRules) as (keyof typeof brokenRules)[]
