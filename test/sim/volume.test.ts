/**
 * The rules of the journaled image under random histories: several volumes on one simulated disk, their locks played by the
 * test (as the DLM will keep them: LVBs, floors, exclusive rows), with crashes, torn and late frames, power losses, checkpoints, lapped
 * readers and rejoins. After every step:
 *
 * - whoever holds a row's lock sees the last write of it;
 * - volumes at one vector are equal, row for row;
 * - what was acknowledged survives, and a transaction survives whole or not at all.
 *
 * The second half breaks one rule at a time (src/base/broken-rules.ts): some seed must notice each.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type BrokenRule, brokenRules } from '../../src/base/broken-rules.ts'
import type { Prng } from '../../src/base/prng.ts'
import { KiB, MiB } from '../../src/base/units.ts'
import { type MutableVector, maximum, type Vector } from '../../src/base/vector.ts'
import { formatFilesystem, Volume } from '../../src/metadata/index.ts'
import { silentLog } from '../../src/platform/log.ts'
import type { FilesystemRecord, Seal } from '../../src/san/index.ts'
import { inode, smallRecord } from '../unit/metadata/fixture.ts'
import { SimDisk, SimLun } from './lun.ts'
import { SimHost, SimWorld } from './world.ts'

const ROWS = [64, 65, 66, 67, 68, 69]
const IO_LIFE_MS = 400
/** Manifests lie before, images after it. */
const CHECKPOINTS_START = 5 * MiB
const record: FilesystemRecord = { ...smallRecord, journalBytes: 16 * KiB, slots: 4 }

type Write = { readonly row: number; readonly value: number; readonly transaction: number; acknowledged: boolean }
type Lock = { readonly holders: Map<number, 'PR' | 'EX'>; lvb: Vector }
type Node = {
  readonly slot: number
  incarnation: number
  host: SimHost
  volume: Volume
  up: boolean
  downSince: number
  wantsCheckpoint: boolean
}

class History {
  readonly world: SimWorld
  readonly prng: Prng
  readonly disk: SimDisk
  readonly nodes: Node[] = []
  readonly locks = new Map<number, Lock>(ROWS.map((row) => [row, { holders: new Map(), lvb: new Map() }]))
  /** Per row every write in lock order; a crash cuts back what it lost. */
  readonly truth = new Map<number, Write[]>()
  /** Transactions of which a row was lost: no other row of them may have survived. */
  readonly lost = new Set<number>()
  seals: Seal[] = []
  /** Its journal is very slow, and the manifest of its checkpoint rather. */
  slowHost = ''
  serial = 0
  transactions = 0
  readonly reached = { reloads: 0, crashes: 0, ghosts: 0, rejoins: 0, checkpoints: 0, powerLosses: 0 }

  constructor(seed: number) {
    this.world = new SimWorld(seed)
    this.prng = this.world.prng.fork()
    this.disk = new SimDisk(this.world, 64 * MiB, { ioLifeMs: IO_LIFE_MS, splitChance: 0.2 })
    const slow = this.prng.fork()
    this.disk.onLanded = ({ host, purpose }) => {
      const [slot, incarnation] = host.slice(1).split('.').map(Number)
      if (purpose === 'journal' && this.seals.some((seal) => seal.slot === slot && seal.incarnation === incarnation))
        this.reached.ghosts++
    }
    this.disk.faults.add(({ host, purpose, offset }) => {
      if (host !== this.slowHost) return undefined
      if (purpose === 'journal') return { slowMs: 250 }
      return purpose === 'checkpoint' && offset < CHECKPOINTS_START ? { slowMs: 100 } : undefined
    })
    this.disk.faults.add(({ purpose }) =>
      slow.chance(purpose === 'journal' ? 0.15 : 0.03) ? { slowMs: 100 * slow.float() } : undefined,
    )
  }

  async start(): Promise<void> {
    const host = new SimHost(this.world, 'format')
    await this.settle(formatFilesystem([new SimLun(this.disk, host)], record, { now: 1_700_000_000_000 }))
    for (let slot = 0; slot < record.slots; slot++) {
      const node: Node = {
        slot,
        incarnation: 0,
        up: false,
        downSince: -1e9,
        wantsCheckpoint: false,
        host,
        volume: undefined as never,
      }
      this.nodes.push(node)
      await this.join(node)
    }
    for (const row of ROWS) {
      this.truth.set(row, [])
      await this.write(this.nodes[0] as Node, [row])
    }
    await this.settle((this.nodes[0] as Node).volume.flush())
  }

  /** Runs the world until `promise` settles. */
  settle<T>(promise: Promise<T>): Promise<T> {
    return this.world.settle(promise, 60_000)
  }

  up(): Node[] {
    return this.nodes.filter((node) => node.up)
  }

  pick(): Node {
    return this.prng.pick(this.up())
  }

  async join(node: Node): Promise<void> {
    const wait = node.downSince + IO_LIFE_MS - this.world.now
    if (wait > 0) await this.world.run(this.world.now + wait)
    const previous = node.incarnation
    node.incarnation++
    node.host = new SimHost(this.world, `n${node.slot}.${node.incarnation}`)
    const current = new Map(this.up().map((peer) => [peer.slot, peer.incarnation]))
    node.volume = await this.settle(
      Volume.open({
        luns: [new SimLun(this.disk, node.host)],
        record: { ...record, seals: this.seals },
        slot: node.slot,
        incarnation: node.incarnation,
        newImageFile: () => ':memory:',
        clock: node.host.clock,
        log: silentLog,
        incarnations: (slot) => current.get(slot),
        onFatal: (error) => this.world.fail(error),
        requestCheckpoint: () => {
          node.wantsCheckpoint = true
        },
      }),
    )
    const at = previous === 0 ? 0 : await this.settle(node.volume.findEnd(node.slot, previous))
    node.volume.setIncarnation(node.slot, node.incarnation)
    await this.settle(node.volume.applyTo(this.floor()))
    node.volume.startWriting(at)
    node.up = true
    for (const peer of this.up()) peer.volume.setIncarnation(node.slot, node.incarnation)
    this.reached.rejoins++
  }

  /** The end of every journal that is surely durable. */
  floor(): Vector {
    const floor: MutableVector = new Map(this.seals.map(({ slot, lsn }) => [slot, lsn]))
    for (const node of this.up()) floor.set(node.slot, node.volume.endOf(node.slot))
    return floor
  }

  async surrender(node: Node, row: number): Promise<void> {
    const lock = this.locks.get(row) as Lock
    if (lock.holders.get(node.slot) === 'EX') {
      await this.settle(node.volume.flush())
      lock.lvb = maximum(lock.lvb, node.volume.durableVector())
    }
    lock.holders.delete(node.slot)
  }

  async acquire(node: Node, row: number, mode: 'PR' | 'EX'): Promise<void> {
    const lock = this.locks.get(row) as Lock
    const held = lock.holders.get(node.slot)
    if (held === 'EX' || held === mode) return
    for (const [holder, as] of [...lock.holders])
      if (holder !== node.slot && (mode === 'EX' || as === 'EX')) await this.surrender(this.nodes[holder] as Node, row)
    lock.holders.set(node.slot, mode)
    await this.settle(node.volume.applyTo(lock.lvb))
    this.look(node, row)
  }

  look(node: Node, row: number): void {
    const seen = node.volume.image.inode(row)?.change
    const last = this.truth.get(row)?.at(-1)?.value
    if (seen !== last) throw new Error(`node ${node.slot} sees ${seen} in row ${row}, the last write was ${last}`)
  }

  /** One transaction over `rows`. */
  async write(node: Node, rows: readonly number[]): Promise<void> {
    for (const row of [...rows].sort()) await this.acquire(node, row, 'EX')
    // acquiring a later row may have cost an earlier one nothing: one step runs at a time
    const transaction = ++this.transactions
    const writes = rows.map((row) => ({ row, value: ++this.serial, transaction, acknowledged: false }))
    node.volume.commit(
      writes.map(({ row, value }) => ({ op: 'putInode' as const, inode: inode(row, { change: value }) })),
    )
    for (const write of writes) (this.truth.get(write.row) as Write[]).push(write)
    node.volume.afterDurable((error) => {
      if (!error) for (const write of writes) write.acknowledged = true
    })
  }

  kill(node: Node): void {
    node.host.crash()
    node.volume.withdraw()
    node.up = false
    node.downSince = this.world.now
    node.wantsCheckpoint = false
    this.reached.crashes++
  }

  /** Nodes died: a survivor reads their journals to the end, seals them, and the locks are handed on. */
  async recover(dead: readonly Node[]): Promise<void> {
    const survivors = this.up()
    const coordinator = this.prng.pick(survivors)
    for (const node of dead) {
      const lsn = await this.settle(coordinator.volume.findEnd(node.slot, node.incarnation))
      this.seals = [...this.seals, { slot: node.slot, incarnation: node.incarnation, lsn }]
      for (const survivor of survivors) {
        survivor.volume.setSeals(this.seals)
        await this.settle(survivor.volume.readTo(node.slot, lsn))
      }
    }
    const floor = this.floor()
    for (const row of ROWS) {
      const lock = this.locks.get(row) as Lock
      const held = dead.filter((node) => lock.holders.delete(node.slot)).length > 0
      // the resource's master may have died too: its LVB is lost
      if (held || this.prng.chance(0.3)) lock.lvb = floor
      if (!held) continue
      await this.settle(coordinator.volume.applyTo(lock.lvb))
      this.cutBack(row, coordinator.volume)
    }
    this.checkWhole()
  }

  checkWhole(): void {
    for (const writes of this.truth.values())
      for (const write of writes)
        if (this.lost.has(write.transaction)) throw new Error(`transaction ${write.transaction} survived in part`)
    this.lost.clear()
  }

  /** What the dead had not made durable is gone; what it had is not. */
  cutBack(row: number, volume: Volume): void {
    const writes = this.truth.get(row) as Write[]
    const seen = volume.image.inode(row)?.change
    const k = writes.findIndex((write) => write.value === seen)
    if (k < 0) throw new Error(`row ${row} has ${seen} after a recovery, which nobody wrote or which was lost before`)
    for (const write of writes.splice(k + 1)) {
      if (write.acknowledged) throw new Error(`the acknowledged write ${write.value} of row ${row} is lost`)
      this.lost.add(write.transaction)
    }
  }

  async crash(dead: readonly Node[]): Promise<void> {
    // mostly in the middle of something: a frame under way whose fate is open
    for (const node of dead)
      if (this.prng.chance(0.6)) {
        for (const [row, { holders }] of this.locks) if (holders.get(node.slot) === 'EX') await this.write(node, [row])
        void node.volume.flush().catch(() => {})
        await this.world.run(this.world.now + 0.3 * this.prng.float())
      }
    for (const node of dead) this.kill(node)
    // sometimes the recovery begins when late writes have landed, mostly before
    if (this.prng.chance(0.2)) await this.world.run(this.world.now + IO_LIFE_MS)
    await this.recover(dead)
  }

  /** Power cut of everything: what is on the disk is what there is. */
  async powerLoss(): Promise<void> {
    this.reached.powerLosses++
    const dead = this.up()
    for (const node of dead) this.kill(node)
    this.disk.powerLoss()
    await this.world.run(this.world.now + IO_LIFE_MS)
    const reader = new SimHost(this.world, 'reader')
    const volume = await this.settle(
      Volume.open({
        luns: [new SimLun(this.disk, reader)],
        record: { ...record, seals: this.seals },
        slot: 3,
        incarnation: 1_000_000,
        newImageFile: () => ':memory:',
        clock: reader.clock,
        log: silentLog,
        incarnations: (slot) => this.nodes[slot]?.incarnation,
        onFatal: (error) => this.world.fail(error),
        requestCheckpoint() {},
      }),
    )
    await this.settle(volume.tail())
    for (const node of dead) {
      const lsn = await this.settle(volume.findEnd(node.slot, node.incarnation))
      this.seals = [...this.seals, { slot: node.slot, incarnation: node.incarnation, lsn }]
      volume.setSeals(this.seals)
    }
    for (const row of ROWS) {
      const lock = this.locks.get(row) as Lock
      lock.holders.clear()
      lock.lvb = new Map(this.seals.map(({ slot, lsn }) => [slot, lsn]))
      this.cutBack(row, volume)
    }
    this.checkWhole()
    volume.withdraw()
    for (const node of dead) await this.join(node)
  }

  async checkpoint(node: Node): Promise<void> {
    node.wantsCheckpoint = false
    for (const [row, { holders }] of this.locks)
      if (holders.get(node.slot) === 'EX' && this.prng.chance(0.5)) await this.write(node, [row])
    const dies = this.up().length > 1 && this.prng.chance(0.25)
    if (dies && this.prng.chance(0.5)) this.slowHost = node.host.name
    const published = node.volume.checkpoint()
    published.catch(() => {})
    if (dies) {
      await this.world.run(this.world.now + 50 * this.prng.float())
      return this.crash([node])
    }
    const { sequence, vector } = await this.settle(published)
    this.reached.checkpoints++
    // most peers hear of it
    for (const peer of this.up())
      if (peer !== node && this.prng.chance(0.8)) peer.volume.notePublished(sequence, vector)
    if (this.prng.chance(0.2) && this.up().length > 1) await this.crash([node])
  }

  compare(): void {
    // cached locks are used without asking anybody
    for (const [row, { holders }] of this.locks)
      for (const slot of holders.keys()) this.look(this.nodes[slot] as Node, row)
    const quiet = this.up().filter(
      ({ volume }) => volume.durableVector().get(volume.slot) === volume.image.vector.get(volume.slot),
    )
    const byVector = new Map<string, { hash: string; slot: number }>()
    for (const { volume, slot } of quiet) {
      if (volume.image.inTransaction) continue
      const key = JSON.stringify([...volume.image.vector].sort((a, b) => a[0] - b[0]))
      const hash = volume.hash()
      const other = byVector.get(key)
      if (other && other.hash !== hash) throw new Error(`images ${other.slot} and ${slot} differ at one vector ${key}`)
      byVector.set(key, { hash, slot })
    }
  }

  /** A node at work on a row of its own: nobody else reads its journal meanwhile, and it goes round. */
  async burst(node: Node): Promise<void> {
    const row = this.prng.pick(ROWS)
    for (let i = this.prng.between(10, 60); i > 0; i--) {
      await this.write(node, [row])
      if (this.prng.chance(0.9)) await this.settle(node.volume.flush())
      if (node.wantsCheckpoint) await this.checkpoint(node)
      if (!node.up) return
    }
    const reader = this.pick()
    if (reader !== node && this.prng.chance(0.5)) await this.acquire(reader, row, 'PR')
  }

  async step(): Promise<void> {
    const node = this.pick()
    const k = this.prng.float()
    if (this.prng.chance(0.05)) return this.burst(node)
    const row = this.prng.pick(ROWS)
    if (k < 0.35) await this.write(node, [row])
    else if (k < 0.42) await this.write(node, [row, this.prng.pick(ROWS.filter((other) => other !== row))])
    else if (k < 0.62) await this.acquire(node, row, 'PR')
    else if (k < 0.7) void node.volume.flush().catch(() => {})
    else if (k < 0.78) await this.settle(node.volume.flush())
    else if (k < 0.84) {
      const peer = this.pick()
      if (peer !== node) await this.settle(node.volume.readTo(peer.slot, peer.volume.endOf(peer.slot)))
    } else if (k < 0.88) void node.volume.tail().catch(() => {})
    else if (k < 0.91) await this.settle(node.volume.tail())
    else if (k < 0.94) await this.checkpoint(node)
    else if (k < 0.955) {
      if (this.up().length > 1) await this.crash([node])
      else await this.powerLoss()
    } else if (k < 0.958) await this.powerLoss()
    else if (k < 0.975) await this.world.run(this.world.now + 300)
    else {
      const down = this.nodes.find(({ up }) => !up)
      if (down) await this.join(down)
    }
    for (const asking of this.up()) if (asking.up && asking.wantsCheckpoint) await this.checkpoint(asking)
    this.compare()
    for (const { volume } of this.up()) this.reached.reloads = Math.max(this.reached.reloads, volume.stats().reloads)
  }
}

async function run(seed: number, steps: number): Promise<History> {
  const history = new History(seed)
  try {
    await history.start()
    for (let i = 0; i < steps; i++) await history.step()
    for (const node of history.up()) await history.settle(node.volume.flush())
    await history.powerLoss()
    for (const row of ROWS) await history.acquire(history.pick(), row, 'PR')
    history.compare()
  } catch (error) {
    throw new Error(
      `seed ${seed}, at ${history.world.now.toFixed(1)} ms: ${error instanceof Error ? error.stack : error}`,
    )
  } finally {
    for (const node of history.up()) node.volume.withdraw()
  }
  return history
}

const STEPS = 200

if (process.argv[2] !== undefined) {
  for (let seed = Number(process.argv[2]); seed < Number(process.argv[2]) + Number(process.argv[3] ?? 1); seed++) {
    const { reached } = await run(seed, Number(process.argv[4] ?? STEPS))
    console.log(seed, JSON.stringify(reached))
  }
  process.exit()
}

test('coherence holds in random histories', async () => {
  const reached: Record<string, number> = {}
  for (let seed = 1; seed <= 20; seed++)
    for (const [what, count] of Object.entries((await run(seed, STEPS)).reached))
      reached[what] = (reached[what] ?? 0) + count
  for (const what of ['reloads', 'ghosts', 'crashes', 'rejoins', 'checkpoints', 'powerLosses'])
    assert.ok((reached[what] as number) > 0, `some history reaches: ${what}`)
})

test('a history is a function of its seed', async () => {
  assert.is((await run(7, STEPS)).world.hash, (await run(7, STEPS)).world.hash)
})

/** Those that the volume keeps by itself; locks and recovery have simulations of their own. */
const rules: BrokenRule[] = ['seal', 'deps', 'checkpointDurable', 'reloadCatchesUp', 'lappedReader']

for (const rule of rules)
  test(`breaking the rule '${rule}' is noticed by some seed`, async () => {
    brokenRules[rule] = true
    let noticed: string | undefined
    try {
      for (let seed = 1; seed <= 100 && !noticed; seed++)
        await run(seed, STEPS).catch((error: Error) => (noticed = error.message))
    } finally {
      brokenRules[rule] = false
    }
    assert.ok(noticed, 'no seed noticed')
  })

test.run()
