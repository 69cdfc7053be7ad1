/**
 * A matrix of a few nodes in one process, with everything real from the journals up: volumes, lock spaces and the Matrix
 * Filesystem, on LUNs in memory (real clock) or simulated ones (a `SimWorld`, whose clock the caller runs). No mesh, no
 * membership: all nodes are there from the start, and their lock messages go through a queue that keeps order.
 */
import type { Slot } from '../../src/base/ids.ts'
import type { Life } from '../../src/base/life.ts'
import { Prng } from '../../src/base/prng.ts'
import { type Timings, timingsFrom } from '../../src/base/timings.ts'
import { MiB } from '../../src/base/units.ts'
import { CHECKPOINT_LOCK, EX, LockSpace, resourceId } from '../../src/locking/index.ts'
import {
  formatFilesystem,
  MatrixFilesystem,
  type PlanOptions,
  planFilesystem,
  type RangePeers,
  Volume,
} from '../../src/metadata/index.ts'
import { type Clock, type Log, silentLog } from '../../src/platform/index.ts'
import { realClock } from '../../src/platform/real/clock.ts'
import { checkImage, type Finding } from '../../src/recovery/index.ts'
import type { FilesystemRecord, Lun } from '../../src/san/index.ts'
import { SimDisk, SimLun } from '../sim/lun.ts'
import { SimHost, type SimWorld } from '../sim/world.ts'
import { MemoryLun } from './memory-lun.ts'

const ANNOUNCE_PERIOD_MS = 200

export type LocalMatrixOptions = {
  /** 1 … 8. */
  readonly nodes?: number
  /** Bytes of each LUN. */
  readonly lunBytes?: number
  readonly luns?: number
  readonly clock?: 'real' | SimWorld
  readonly plan?: PlanOptions
  readonly timings?: Partial<Timings>
  /** Of each node's content cache. */
  readonly dataCacheBytes?: number
  readonly log?: Log
  readonly seed?: number
  /** Nodes read what their peers have made durable also when no lock asks for it, as often as mounts do. Real clock. */
  readonly announces?: boolean
  /** False: no node is told that the turn of somebody who waits there has come. */
  readonly wakes?: boolean
  /** False: none is published, so that the journals fill up. */
  readonly checkpoints?: boolean
}

export type LocalNode = {
  readonly slot: Slot
  readonly fs: MatrixFilesystem
  readonly volume: Volume
  readonly locks: LockSpace
  readonly host: SimHost | undefined
}

export type LocalMatrix = {
  readonly record: FilesystemRecord
  readonly nodes: readonly LocalNode[]
  /** In the order of the record; MemoryLun with a real clock, SimDisk's otherwise. */
  readonly luns: readonly MemoryLun[]
  readonly disks: readonly SimDisk[]
  /** Lock messages sent between nodes so far. */
  messages(): number
  /** What the checks of the filesystem find in one node's image once all nodes' changes are in it. */
  check(): Promise<readonly Finding[]>
  /** The node is gone, and what had become durable of it has been read: its locks are free, and it is fenced. Real clock. */
  lose(slot: Slot): Promise<void>
  close(): Promise<void>
}

/** Formats, opens and starts it. With a `SimWorld` the caller must run the world until this resolves. */
export async function makeLocalMatrix(options: LocalMatrixOptions = {}): Promise<LocalMatrix> {
  const { nodes: count = 1, lunBytes = 256 * MiB, luns: lunCount = 1, clock = 'real', log = silentLog } = options
  const world = clock === 'real' ? undefined : clock
  const timings: Timings = { ...timingsFrom(2000), ...options.timings }
  const prng = new Prng(options.seed ?? 1)
  const sizes = Array.from({ length: lunCount }, () => lunBytes)
  const record: FilesystemRecord = {
    name: 'home',
    uuid: '00000000-0000-4000-8000-000000000001',
    fsid: 0x1234_5678,
    luns: sizes.map((_, index) => `00000000-0000-4000-8000-0000000000${index + 10}`),
    seals: [],
    ...planFilesystem(sizes, { slots: Math.max(4, count), journalBytes: 4 * MiB, groupBlocks: 1024, ...options.plan }),
  }
  const memory = world ? [] : sizes.map((size) => new MemoryLun(size))
  const disks = world ? sizes.map((size, index) => new SimDisk(world, size, { name: `lun${index}` })) : []
  const hosts = Array.from({ length: count }, (_, slot) => (world ? new SimHost(world, `n${slot + 1}`) : undefined))
  const lunsOf = (host: SimHost | undefined): readonly Lun[] =>
    host ? disks.map((disk) => new SimLun(disk, host)) : memory
  await formatFilesystem(lunsOf(hosts[0]), record, { now: (hosts[0]?.clock ?? realClock).wall() })

  let messages = 0
  const nodes: LocalNode[] = []
  const gone = new Set<Slot>()
  const lives = {
    get version() {
      return gone.size
    },
    isGone: (life: Life) => gone.has(life.slot),
    isMember: (life: Life) => !gone.has(life.slot),
  }
  const peersOf = (self: Slot): RangePeers => ({
    slots: () => nodes.map(({ slot }) => slot).filter((slot) => slot !== self && !gone.has(slot)),
    isWhole: () => true,
    wake: (slot, ino) => {
      if (options.wakes === false) return
      if (world) world.at(0.2, () => hosts[slot]?.enter(() => nodes[slot]?.fs.ranges.wake(ino)))
      else setImmediate(() => nodes[slot]?.fs.ranges.wake(ino))
    },
    inosRangedBy: async (slot, client) => nodes[slot]?.fs.ranges.inosRangedBy(client) ?? [],
  })
  for (let slot = 0; slot < count; slot++) {
    const host = hosts[slot]
    const nodeClock: Clock = host?.clock ?? realClock
    const luns = lunsOf(host)
    const onFatal = (error: Error): void => {
      if (world) world.fail(error)
      else log.error({ slot, error: String(error) }, 'a node of the local matrix withdrew')
      nodes[slot]?.locks.withdraw()
      nodes[slot]?.volume.withdraw(error.message)
      nodes[slot]?.fs.withdraw()
    }
    const volume = await Volume.open({
      ...{ luns, record, slot, incarnation: 1, newImageFile: () => ':memory:', clock: nodeClock, log, onFatal },
      incarnations: () => 1,
      requestCheckpoint: () => {
        if (options.checkpoints ?? true) checkpoint(nodes, slot).catch(() => {})
      },
    })
    const locks = new LockSpace({
      ...{ self: slot, clock: nodeClock, timings, log, onFatal },
      send: (to, payload) => {
        messages++
        const target = hosts[to]
        const deliver = () => nodes[to]?.locks.receive(slot, payload)
        if (world && target) world.at(0.2, () => target.enter(deliver))
        else setImmediate(deliver)
      },
      leaseGood: () => true,
    })
    const fs = new MatrixFilesystem({
      ...{ name: record.name, fsid: record.fsid, volume, locks: locks.cache, luns, slot, clock: nodeClock },
      ...{ incarnation: 1, lives, rangePeers: peersOf(slot) },
      ...{ prng: prng.fork(), log, timings, limits: { dataCacheBytes: options.dataCacheBytes ?? 64 * MiB } },
    })
    nodes.push({ slot, fs, volume, locks, host })
  }
  for (const { volume } of nodes) {
    for (const { slot } of nodes) volume.setIncarnation(slot, 1)
    volume.startWriting(0)
  }
  const slots = nodes.map(({ slot }) => slot)
  for (const { locks } of nodes) locks.freeze()
  await Promise.all(nodes.map(({ locks }) => locks.rebuild(slots, new Map(), 1)))
  await Promise.all(nodes.map(({ fs }) => fs.start()))

  const announcing = options.announces ? realClock.every(ANNOUNCE_PERIOD_MS, () => void announce()) : undefined
  async function announce(): Promise<void> {
    for (const { slot, volume } of nodes) {
      if (gone.has(slot)) continue
      const end = new Map([[slot, volume.endOf(slot)]])
      for (const other of nodes) if (!gone.has(other.slot)) await other.volume.applyTo(end)
    }
  }

  return {
    ...{ record, nodes, luns: memory, disks, messages: () => messages },
    async lose(slot) {
      const dead = nodes[slot] as LocalNode
      dead.locks.withdraw()
      dead.fs.withdraw()
      gone.add(slot)
      const living = nodes.filter((node) => !gone.has(node.slot))
      const floor = new Map<Slot, number>()
      for (const { slot: writer, volume } of nodes) floor.set(writer, volume.endOf(writer))
      for (const { locks } of living) locks.freeze()
      for (const { volume } of living) await volume.applyTo(new Map([[slot, dead.volume.endOf(slot)]]))
      const slots = living.map((node) => node.slot)
      await Promise.all(living.map(({ locks }) => locks.rebuild(slots, floor, 1 + gone.size)))
      dead.volume.withdraw('it is gone')
    },
    async check() {
      const living = nodes.filter((node) => !gone.has(node.slot))
      const first = living[0] as LocalNode
      for (const { fs, slot, volume } of living) {
        await fs.sync()
        await first.volume.applyTo(new Map([[slot, volume.endOf(slot)]]))
      }
      return checkImage(first.volume.image, first.volume.layout)
    },
    async close() {
      announcing?.cancel()
      const living = nodes.filter((node) => !gone.has(node.slot))
      for (const { fs, volume } of living) {
        await fs.stop()
        await volume.close({ clean: true })
      }
      for (const { locks } of living) locks.withdraw()
    },
  }
}

async function checkpoint(nodes: readonly LocalNode[], slot: Slot): Promise<void> {
  const node = nodes[slot]
  if (!node) return
  const hold = await node.locks.cache.acquire(resourceId(CHECKPOINT_LOCK, 0), EX)
  try {
    const { sequence, vector } = await node.volume.checkpoint()
    for (const other of nodes) if (other !== node) other.volume.notePublished(sequence, vector)
  } finally {
    hold.release()
  }
}
