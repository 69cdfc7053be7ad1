/**
 * A whole matrix in the simulated world: disks, network, machines, and the real node core on each: everything below the gateways. A
 * machine's life ends by `crash` (its process dies), the node's own halt, or a power loss of everything; `boot` starts its next.
 */
import { MatrixError } from '../../src/base/errors.ts'
import { Prng } from '../../src/base/prng.ts'
import { type Timings, timingsFrom } from '../../src/base/timings.ts'
import { MiB } from '../../src/base/units.ts'
import { tableNames } from '../../src/metadata/image/schema.ts'
import { FsLayout, formatFilesystem, planFilesystem } from '../../src/metadata/index.ts'
import { NodeCore } from '../../src/node/core.ts'
import { type Log, silentLog } from '../../src/platform/index.ts'
import type { Mount } from '../../src/recovery/index.ts'
import { checkImage, type Finding } from '../../src/recovery/index.ts'
import {
  type FilesystemRecord,
  formatLun,
  KillAgent,
  type Label,
  LeaseAgent,
  LeaseRegistration,
  MembershipStore,
  Partitions,
  ScriptAgent,
  ScsiPrAgent,
} from '../../src/san/index.ts'
import { SimAddresses } from './addresses.ts'
import { Coverage } from './coverage.ts'
import { FlakyScript, type ScriptWay, scriptWays } from './flaky-agent.ts'
import { LockOracle } from './lock-oracle.ts'
import { SimDisk, SimLun } from './lun.ts'
import { LunUse } from './lun-use.ts'
import { SimNetwork } from './network.ts'
import { SimProcessTable } from './processes.ts'
import { SpareLuns } from './spare-luns.ts'
import { ThreadLease } from './thread-lease.ts'
import { type MachineClock, SimHost, type SimWorld } from './world.ts'
import { WriteOracle } from './write-oracle.ts'

const LUN_BYTES = 64 * MiB
/** LUNs that may be added. */
const SPARES = 2
export type SimMatrixOptions = {
  readonly nodes: number
  /** Agents in order; without 'kill' a dead node is waited for by its lease alone. */
  readonly fencing: readonly ('scsi-pr' | 'script' | 'kill' | 'lease')[]
  /** What a fence script may do; everything by default. */
  readonly scriptWays?: readonly ScriptWay[]
  /** Small ones make readers fall behind, and checkpoints frequent. */
  readonly journalBytes: number
  /** Membership partitions: 1 (the default) or 3, each on a disk of its own. */
  readonly partitions?: 1 | 3
  /** The first so many nodes are in the configuration of each of them, and those beyond in none. Default: all are. */
  readonly listed?: number
  /** Networks between the nodes; 1 is the default. */
  readonly networks?: number
  /** LUNs are reached as those of an iSCSI target are: what a process has sent to them outlives it. */
  readonly hasOrphans?: boolean
  /** There are virtual hosts (addresses.ts). */
  readonly hasVirtualHosts?: boolean
  readonly log?: (node: string) => Log
  /** One I/O takes at most this long; leases and time-outs follow from it, ms. */
  readonly ioTimeoutMs?: number
  readonly coverage?: Coverage
  /** A second filesystem, on a LUN of its own. */
  readonly other?: boolean
}

export const OTHER_FSID = 78

/** Of dense runs. */
const IO_TIMEOUT_MS = 400

/** The monotonic clocks of machines run at most so much too fast or too slow, parts per million: ten times what a bad quartz does. */
const MAX_DRIFT_PPM = 500

/** One machine: its present life, if it has one. */
export class SimNode {
  readonly name: string
  readonly slot: number
  host: SimHost | undefined
  core: NodeCore | undefined
  booting = false
  readonly machine: MachineClock

  constructor(slot: number, prng: Prng) {
    this.slot = slot
    this.name = `n${slot + 1}`
    const rate = 1 + prng.pick([0, MAX_DRIFT_PPM, -MAX_DRIFT_PPM, MAX_DRIFT_PPM * (2 * prng.float() - 1)]) / 1e6
    this.machine = { rate, startMs: prng.below(100_000), wallErrorMs: 0 }
  }

  /** The filesystem, once this life serves it. */
  get mount(): Mount | undefined {
    return this.host?.alive && this.core && !this.core.halted
      ? this.core.mounts.find(({ record }) => record.fsid !== OTHER_FSID)
      : undefined
  }
}

export class SimMatrix {
  readonly world: SimWorld
  readonly options: SimMatrixOptions
  readonly timings: Timings
  readonly disks: readonly SimDisk[]
  readonly spares: SpareLuns
  /** Of the second filesystem. */
  readonly otherDisk: SimDisk | undefined
  readonly lunUse: LunUse
  readonly network: SimNetwork
  readonly nodes: readonly SimNode[]
  readonly writes: WriteOracle
  readonly locks: LockOracle
  readonly addresses: SimAddresses | undefined
  /** Lives that have begun to stop cleanly: their mounts are gone. */
  readonly leaving = new Set<SimHost>()
  readonly #coverage: Coverage
  readonly #processes = new SimProcessTable()
  #record: FilesystemRecord | undefined

  constructor(world: SimWorld, options: SimMatrixOptions) {
    this.world = world
    this.options = options
    const { ioTimeoutMs = IO_TIMEOUT_MS, coverage = new Coverage() } = options
    this.#coverage = coverage
    this.timings = timingsFrom(ioTimeoutMs)
    const disk = (name: string) => new SimDisk(world, LUN_BYTES, { name, ioLifeMs: this.timings.ioLifeMs })
    this.disks = Array.from({ length: this.partitions === 3 ? 3 : 2 }, (_, i) => disk(`lun${i + 1}`))
    this.otherDisk = options.other ? disk('other') : undefined
    this.writes = new WriteOracle(world, this.timings, this.disks)
    this.locks = new LockOracle(world, coverage, (host) => this.writes.life(host).over())
    this.spares = new SpareLuns(world, this.writes.administrators, { count: SPARES, ioLifeMs: this.timings.ioLifeMs })
    for (const each of this.allDisks) {
      this.writes.watch(each)
      each.onOddity = (what) => coverage.count(`fault ${what}`)
    }
    this.spares.watch()
    this.lunUse = new LunUse(world, this.writes.administrators)
    for (const each of this.allDisks) this.lunUse.watch(each, () => this.#uuidOf(each))
    this.network = new SimNetwork(world, { breakAfterMs: 4 * ioTimeoutMs, connectTimeoutMs: ioTimeoutMs })
    this.nodes = Array.from({ length: options.nodes }, (_, slot) => new SimNode(slot, world.prng.fork()))
    if (options.hasVirtualHosts)
      this.addresses = new SimAddresses(world, new Prng(world.seed + 2_000_003), coverage, {
        nodes: options.nodes,
        ioTimeoutMs,
      })
  }

  get allDisks(): readonly SimDisk[] {
    return [...this.disks, ...this.spares.disks]
  }

  get partitions(): 1 | 3 {
    return this.options.partitions ?? 1
  }

  /** Nodes register at the LUNs. */
  get reserves(): boolean {
    return this.options.fencing.includes('scsi-pr')
  }

  get networks(): number {
    return this.options.networks ?? 1
  }

  #partitions(host: SimHost): Partitions {
    const luns = this.disks.slice(0, this.partitions).map((each) => new SimLun(each, host))
    return new Partitions(luns, { clock: host.clock, timings: this.timings })
  }

  /** Every node serves, all in one view. */
  get whole(): boolean {
    const views = this.nodes.map(({ mount, core }) =>
      mount?.state === 'serving' ? core?.cluster.mesh.view : undefined,
    )
    return views.every((view) => view?.id === views[0]?.id && view?.members.length === this.nodes.length)
  }

  /** As the newest database has it. */
  get record(): FilesystemRecord {
    return this.writes.administrators.newest?.filesystems[0] ?? (this.#record as FilesystemRecord)
  }

  get layout(): FsLayout {
    const { record } = this
    const { luns } = this.writes.administrators.newest ?? {}
    // as much of each as the list says
    const sizeOf = (uuid: string) => luns?.find((lun) => lun.uuid === uuid)?.size ?? this.diskOf(uuid).size
    return new FsLayout(
      record,
      record.luns.map((uuid) => (uuid === null ? undefined : sizeOf(uuid))),
    )
  }

  #uuidOf(disk: SimDisk): string {
    const index = this.disks.indexOf(disk)
    return index < 0 ? this.spares.record(disk).uuid : (this.#record?.luns[index] ?? '')
  }

  /** The device is larger than the list of LUNs says. */
  hasOutgrown(disk: SimDisk): boolean {
    const { luns } = this.writes.administrators.newest ?? {}
    return (luns?.find(({ uuid }) => uuid === this.#uuidOf(disk))?.size ?? disk.size) < disk.size
  }

  diskOf(uuid: string): SimDisk {
    const own = this.disks[(this.#record as FilesystemRecord).luns.indexOf(uuid)]
    return own ?? (this.spares.disks.find((disk) => this.spares.record(disk).uuid === uuid) as SimDisk)
  }

  /** Labels the LUNs and makes the filesystem, as `matrix lun format` and `matrix fs create` do. */
  async format(): Promise<void> {
    const host = new SimHost(this.world, 'operator')
    const prng = new Prng(this.world.seed)
    const matrixUuid = prng.uuid()
    const luns = this.disks.map((disk) => new SimLun(disk, host))
    const labels = []
    for (const [i, lun] of luns.entries()) {
      labels.push(
        await formatLun(lun, {
          matrixUuid,
          matrixName: 'sim',
          lunUuid: prng.uuid(),
          lunName: `lun${i + 1}`,
          partitions: i < this.partitions ? this.partitions : 0,
        }),
      )
    }
    for (const disk of this.spares.disks) {
      const options = {
        matrixUuid,
        matrixName: 'sim',
        lunUuid: prng.uuid(),
        lunName: disk.name,
        partitions: 0 as const,
      }
      this.spares.labelled(disk, await formatLun(new SimLun(disk, host), options))
    }
    const other = await this.#formatOther(prng, { matrixUuid, matrixName: 'sim' })
    const plan = planFilesystem(
      luns.map((lun) => lun.size),
      { slots: this.options.nodes, journalBytes: this.options.journalBytes, checkpointBytes: MiB, groupBlocks: 512 },
    )
    const record: FilesystemRecord = {
      ...plan,
      name: 'home',
      uuid: prng.uuid(),
      fsid: 77,
      luns: labels.map((label) => label.lunUuid),
      seals: [],
    }
    await formatFilesystem(luns, record, { now: host.clock.wall() })
    await new MembershipStore(this.#partitions(host), silentLog).create({
      matrixUuid,
      matrixName: 'sim',
      luns: [...labels, ...(other ? [other.label] : [])].map((label) => ({
        uuid: label.lunUuid,
        name: label.lunName,
        size: label.size,
      })),
      filesystems: [record, ...(other ? [other.record] : [])],
    })
    this.#record = record
  }

  async #formatOther(
    prng: Prng,
    matrix: { readonly matrixUuid: string; readonly matrixName: string },
  ): Promise<{ readonly label: Label; readonly record: FilesystemRecord } | undefined> {
    if (!this.otherDisk) return undefined
    const host = new SimHost(this.world, 'operator')
    const lun = new SimLun(this.otherDisk, host)
    const label = await formatLun(lun, { ...matrix, lunUuid: prng.uuid(), lunName: 'other', partitions: 0 })
    const plan = {
      slots: this.options.nodes,
      journalBytes: this.options.journalBytes,
      checkpointBytes: MiB,
      groupBlocks: 512,
    }
    const record: FilesystemRecord = {
      ...planFilesystem([lun.size], plan),
      ...{ name: 'other', uuid: prng.uuid(), fsid: OTHER_FSID, luns: [label.lunUuid], seals: [] },
    }
    await formatFilesystem([lun], record, { now: host.clock.wall() })
    return { label, record }
  }

  /** Why the filesystem is out of service, as the membership database has it; undefined when it is not, or nobody can tell. */
  async readError(index = 0): Promise<string | undefined> {
    const host = new SimHost(this.world, 'operator')
    const store = new MembershipStore(this.#partitions(host), silentLog)
    const database = await store.read().catch(() => undefined)
    return database?.filesystems[index]?.error
  }

  /** Starts the next life of a machine that has none. Resolves once it serves; rejects when the start failed. */
  async boot(node: SimNode): Promise<void> {
    const host = new SimHost(this.world, node.name, node.machine, this.options.hasOrphans)
    node.host = host
    node.core = undefined
    const processes = this.#processes.add(host, 'host')
    const { timings } = this
    const orphanIoMs = this.options.hasOrphans ? timings.orphanIoMs : 0
    const log = this.#coverage.log(this.options.log?.(node.name) ?? silentLog)
    const prng = this.world.prng.fork()
    const peer = ({ name, slot }: SimNode) => ({
      ...{ name, slot, address: { host: name, port: 7000 } },
      otherAddresses: Array.from({ length: this.networks - 1 }, (_, i) => ({ host: `${name}/${i + 1}`, port: 7000 })),
    })
    const listed = this.nodes.slice(0, this.options.listed)
    this.world.trace(`${node.name} boots`)
    const core = await NodeCore.start({
      matrixName: 'sim',
      self: peer(node),
      nodes: listed.includes(node) ? listed.map(peer) : [],
      clock: host.clock,
      transport: this.network.transport(host),
      prng,
      log,
      timings,
      luns: [...this.disks, ...(this.otherDisk ? [this.otherDisk] : []), ...this.spares.configured(node)].map(
        (disk) => new SimLun(disk, host),
      ),
      lunFinder: this.spares.finder(node, host),
      claimLease: async (_lun, onEnd) => {
        const thread = host.thread()
        const partitions = this.#partitions(thread)
        const lease = await ThreadLease.claim(host, thread, onEnd, {
          partitions,
          ...(this.reserves && { registration: new LeaseRegistration(partitions.luns) }),
          clock: thread.clock,
          processes,
          timings,
          orphanIoMs,
          log,
          owner: {
            slot: node.slot,
            nodeName: node.name,
            hostName: 'host',
            address: peer(node).address,
            process: processes.self(),
            nonce: prng.uuid(),
          },
        })
        this.writes.begins(lease, [host, thread])
        return lease
      },
      reserves: this.reserves,
      fenceAgents: (lease, watch, storage) =>
        this.options.fencing
          .map((name) =>
            name === 'scsi-pr'
              ? new ScsiPrAgent({ clock: host.clock, watch, lease, timings, log, ...storage, life: lease.life })
              : name === 'kill'
                ? new KillAgent(processes, { clock: host.clock, orphanIoMs: () => orphanIoMs })
                : name === 'script'
                  ? new ScriptAgent({
                      ...{ clock: host.clock, watch, lease, timings, log, script: '/etc/matrixfs/fence' },
                      timeoutMs: 2 * timings.ioTimeoutMs,
                      dryRun: false,
                      addresses: ({ address }) => [address],
                      programs: this.#script(prng.fork(), host),
                    })
                  : new LeaseAgent({
                      clock: host.clock,
                      watch,
                      lease,
                      pollMs: timings.renewMs,
                      limitMs: 4 * timings.observedDeadMs,
                    }),
          )
          .map((agent) => this.writes.witness(agent)),
      ...(this.addresses && {
        virtualHosts: {
          hosts: this.addresses.hosts,
          addresses: this.addresses.of(host),
          services: [],
          tools: this.addresses.tools(host),
          gateways: [],
        },
      }),
      newImageFile: () => ':memory:',
      dataCacheBytes: 4 * MiB,
      onMounted: (mount) => {
        if (mount.record.fsid !== OTHER_FSID) this.locks.watch(host, mount)
      },
      onHalt: (reason, ended) => {
        this.world.trace(`${node.name} halts: ${reason}`)
        this.#ends(node)
        void ended.then(() => host.crash())
      },
    })
    node.core = core
    await core.ready()
    core.virtualHosts?.begin()
    this.world.trace(`${node.name} serves`)
  }

  #script(prng: Prng, { clock }: SimHost): FlakyScript {
    return new FlakyScript({
      ways: this.options.scriptWays ?? scriptWays,
      ...{ prng, clock, coverage: this.#coverage, disks: this.disks, ioTimeoutMs: this.timings.ioTimeoutMs },
      threadsOf: (life) => this.writes.threadsOf(life),
      powerOff: (victim) => this.network.crash(victim, 'machine'),
    })
  }

  /** A clean stop, as by SIGTERM. */
  async stop(node: SimNode): Promise<void> {
    const { host, core } = node
    if (host) this.leaving.add(host)
    await core?.stop()
    if (host?.alive) this.network.crash(host, 'process')
    if (node.host === host) node.core = undefined
  }

  /** The process dies: SIGKILL. */
  crash(node: SimNode): void {
    if (!node.host?.alive) return
    this.#ends(node)
    this.network.crash(node.host, 'process')
    node.core = undefined
  }

  #ends({ core }: SimNode): void {
    const step = core?.lunChanges.step
    if (step !== undefined) this.#coverage.count(`LUN change: its administrator ends at ${step}`)
  }

  /** What somebody hears who asks a node that is not there. */
  gone(): MatrixError {
    return new MatrixError('peer-gone', 'the node is gone')
  }

  /** Power fails everywhere: every process dies, every LUN loses what it had not made durable. */
  powerLoss(): void {
    for (const node of this.nodes) this.crash(node)
    this.#processes.powerLoss()
    this.addresses?.powerLoss()
    for (const disk of this.allDisks) disk.powerLoss()
  }

  /** Every node has applied every other's journal to its end; then their images must be equal row for row, and sound. */
  async compareImages(): Promise<readonly Finding[]> {
    const mounts = this.nodes.flatMap((node) => node.mount ?? [])
    for (const mount of mounts) await mount.fs.sync()
    const ends = new Map(
      mounts.map((mount) => [mount.volume.slot, mount.volume.durableVector().get(mount.volume.slot) ?? 0]),
    )
    for (const mount of mounts) await mount.volume.applyTo(ends)
    const hashes = mounts.map((mount) => mount.volume.hash())
    if (new Set(hashes).size > 1) throw new Error(`images differ at one vector: ${differences(mounts).join('; ')}`)
    return mounts[0] ? checkImage(mounts[0].volume.image, this.layout) : []
  }
}

/** Rows that one node's image has and another's has not; a few, for the report of a failed run. */
function differences(mounts: readonly Mount[]): string[] {
  const found: string[] = []
  for (const table of tableNames) {
    const rows = mounts.map(({ volume }) => new Set(volume.image.rows(`SELECT * FROM ${table}`).map(String)))
    for (const [here, own] of rows.entries()) {
      for (const [there, others] of rows.entries()) {
        for (const row of own) if (!others.has(row)) found.push(`${table} ${row} is at mount ${here}, not at ${there}`)
      }
    }
  }
  return found.slice(0, 20)
}
