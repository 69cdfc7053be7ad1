/**
 * One node of a matrix, without gateways and without an operating system: everything below the gateways wired together, given
 * clock, network, LUNs and a lease. `matrixd` hands in the real ones (node.ts), the simulator its own.
 *
 *   labels ─▶ membership database ─▶ claim the lease ─▶ load images ─▶ join a view ─▶ recovery ─▶ serving
 *
 * The end of a node has two forms. `stop`: everything written and given back, the lease released as clean. `halt`: at once; the gate
 * in front of every LUN closes first, so nothing of this node reaches the storage any more, whatever else is under way. When that is over,
 * the lease is released, too: then nobody has to wait until it has run out.
 */
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Slot } from '../base/ids.ts'
import type { Life } from '../base/life.ts'
import type { Prng } from '../base/prng.ts'
import type { Timings } from '../base/timings.ts'
import { type Administrator, ClusterNode, Election, type KnownPeer } from '../cluster/index.ts'
import {
  type Clock,
  type HostAddresses,
  type Log,
  type Subsystem,
  sleep,
  type Threads,
  type Timer,
  type Transport,
  within,
} from '../platform/index.ts'
import {
  isLunFailure,
  type LunChanges,
  LunMembers,
  Members,
  Mount,
  Timeline,
  type TimelineEntry,
} from '../recovery/index.ts'
import {
  describeEnd,
  type FenceAgent,
  type FilesystemRecord,
  type LabelledLun,
  type LeaseEnd,
  type LeaseSector,
  LeaseWatch,
  type Lun,
  type LunFinder,
  LunTable,
  type MembershipDatabase,
  MembershipStore,
  membershipLuns,
  type NodeLease,
  openPartitions,
  type Partitions,
  Registration,
  type ReservedStorage,
  readLabels,
} from '../san/index.ts'
import {
  type AddressedGateway,
  EventBook,
  type EventStore,
  NodeEvents,
  type ProbeTools,
  type Service,
  type VirtualHost,
  VirtualHosts,
} from '../services/index.ts'
import { Administration } from './administration.ts'
import { FenceDrill } from './fence-drill.ts'
import { LunCare } from './lun-care.ts'
import { LunVerbs } from './lun-verbs.ts'

export type NodeCoreOptions = {
  readonly matrixName: string
  readonly self: KnownPeer
  /** Nodes that are known from the start. When this one is among them, a starting node takes them for all; others are found by their lease sectors. */
  readonly nodes: readonly KnownPeer[]
  readonly clock: Clock
  readonly transport: Transport
  readonly prng: Prng
  readonly log: Log
  readonly timings: Timings
  /** Opened devices, in any order: their labels say what they are. */
  readonly luns: readonly Lun[]
  /** Finds those of the matrix that are not among them. */
  readonly lunFinder: LunFinder
  /** Claims this node's lease on the membership partitions. */
  claimLease(partitions: Partitions, onEnd: (end: LeaseEnd) => void): Promise<NodeLease>
  /** In the configured order. */
  fenceAgents(lease: NodeLease, watch: LeaseWatch, storage: ReservedStorage): readonly FenceAgent[]
  /** This node registers itself at every LUN, and so do all others: whoever is not registered cannot write. */
  readonly reserves?: boolean
  /** Where the next local image of a filesystem goes: a path where no file is, or ':memory:'. */
  newImageFile(record: FilesystemRecord): string
  /** For work that would hold up the main one; without any it is done there. */
  readonly threads?: Threads
  readonly dataCacheBytes: number
  /** Addresses of the matrix that this node may bear; none when left out. */
  readonly virtualHosts?: {
    readonly hosts: readonly VirtualHost[]
    readonly services: readonly Service[]
    readonly addresses: HostAddresses
    /** For monitors. */
    readonly tools: Omit<ProbeTools, 'whyNot'>
    readonly gateways: readonly AddressedGateway[]
  }
  /** Where events outlive this process. */
  readonly events?: EventStore
  /** A step of a change of membership, here or told by another node. */
  readonly onTimeline?: (entry: TimelineEntry) => void
  /** For observers: a filesystem was opened, and holds no lock yet. */
  readonly onMounted?: (mount: Mount) => void
  /**
   * The node has halted: nothing may be answered any more, and it must be started again to serve. The process ends once `ended` resolves.
   * Called once, and not after `stop`.
   */
  readonly onHalt: (reason: string, ended: Promise<void>) => void
}

export class NodeCore {
  readonly #options: NodeCoreOptions
  readonly luns: LunTable
  readonly lunChanges: LunChanges
  /** What people ask about LUNs. */
  readonly lunVerbs: LunVerbs
  readonly fenceDrill: FenceDrill
  readonly virtualHosts: VirtualHosts | undefined
  readonly #lease: NodeLease
  readonly #watch: LeaseWatch
  readonly #cluster: ClusterNode
  readonly #members: Members
  readonly timeline: Timeline
  readonly events: EventBook
  #serving = false
  #ended = false
  #givenBack: Promise<void> | undefined

  /** Rejects with a MatrixError that says what is wrong: LUNs, labels, lease ('node-in-use'), network ('in-use'). */
  static async start(options: NodeCoreOptions): Promise<NodeCore> {
    const luns = await readLabels(options.luns, options.matrixName, options)
    const { bearing, expected } = membershipLuns(luns)
    const there = bearing.map(({ lun }) => lun)
    const partitions = openPartitions(there, expected, options)
    const watch = new LeaseWatch({ ...options, partitions })
    watch.start()
    let core: NodeCore | undefined
    let early: LeaseEnd | undefined
    try {
      const lease = await options.claimLease(partitions, (end) => {
        early = end
        core?.leaseEnded(end)
      })
      core = new NodeCore(options, luns, lease, watch)
      if (early) throw new MatrixError('fenced', describeEnd(early))
      await core.#open()
      return core
    } catch (error) {
      watch.stop()
      if (core) {
        core.#close(`start failed: ${String(error)}`)
        await core.#giveBack()
      }
      throw error
    }
  }

  private constructor(options: NodeCoreOptions, luns: readonly LabelledLun[], lease: NodeLease, watch: LeaseWatch) {
    const { clock, timings, self } = options
    const of = (subsystem: Subsystem) => options.log.child({ subsystem })
    const [san, log, services] = [of('san'), of('recovery'), of('services')]
    this.#options = options
    this.#lease = lease
    this.#watch = watch
    this.#registration = options.reserves ? new Registration(lease.life) : undefined
    this.luns = new LunTable(luns, {
      ...{ clock, lease, timings, log: san, finder: options.lunFinder, registration: this.#registration },
      onReserved: (lun, reason) => this.#reserved(lun, reason),
    })
    this.#cluster = new ClusterNode({
      ...options,
      log: of('cluster'),
      self: { ...self, incarnation: lease.life.incarnation },
      peers: options.nodes.filter((node) => node.slot !== self.slot),
      knowsAllPeers: options.nodes.some((node) => node.slot === self.slot),
      matrixUuid: this.luns.matrixUuid,
    })
    const { gates, expected } = this.luns.bearing
    const partitions = openPartitions(gates, expected, options)
    const store = new MembershipStore(partitions, log)
    this.#database = store
    const { mesh } = this.#cluster
    const timeline = new Timeline({
      ...{ node: self.name, clock, log, onEntry: options.onTimeline },
      tell: (entry) => {
        const payload = Buffer.from(JSON.stringify(entry))
        for (const { slot } of mesh.view?.members ?? []) if (slot !== mesh.self) mesh.send(slot, 'admin', payload)
      },
    })
    mesh.onMessage('admin', (_from, payload) => timeline.told(payload))
    this.timeline = timeline
    this.events = new EventBook({
      ...{ node: self.name, incarnation: lease.life.incarnation, clock, log: services, store: options.events },
    })
    this.#members = new Members({
      mesh,
      log,
      openMount: (record) => this.#openMount(record),
      administrator: () => this.#election.administrator?.slot,
      join: (generation) => this.#join(generation),
      refuse: (reason) => this.halt(`not imported: ${reason}`),
      serving: () => {
        this.#serving = true
        this.#cluster.markServing()
      },
    })
    const agents = options.fenceAgents(lease, watch, {
      luns: () =>
        this.luns.entries.map(({ label, lun }) => ({
          ...{ uuid: label.lunUuid, name: label.lunName, reservations: lun.reservations },
        })),
      missing: () => this.luns.missing.map(({ name }) => name),
      onReserved: (reason) => this.halt(reason),
    })
    this.fenceDrill = new FenceDrill({
      ...{ self: options.self.slot, agents, watch, clock, log },
      view: () => mesh.view,
    })
    const administration = new Administration({
      ...{ mesh, clock, log, timings, timeline, watch, partitions, store },
      life: lease.life,
      agents,
      luns: this.luns,
      mount: (record) => this.#members.mount(record),
      adopt: (record, slots) => this.#adopt(record, slots),
      finished: ({ filesystems }) => {
        for (const record of filesystems) this.#mountOf(record.fsid)?.luns.settle(record)
      },
      resumed: (view) => this.virtualHosts?.resumed(view),
      inError: (filesystem, error) =>
        void this.events.publish({
          ...{ kind: 'filesystem-error', object: { type: 'filesystem', name: filesystem }, severity: 'error' },
          text: `filesystem ${filesystem} is marked in error: ${error}`,
        }),
      isEmptied: async ({ fsid, index }) => (await this.#mountOf(fsid)?.luns.isEmptied(index)) === true,
    })
    this.lunChanges = administration.lunChanges
    const lunMembers = new LunMembers({
      mesh,
      administrator: () => this.#election.administrator?.slot,
      luns: this.luns,
      lunsOf: (fsid) => this.#mountOf(fsid)?.luns,
      lunsOfAll: () => this.mounts.map(({ luns }) => luns),
      look: () => this.lunVerbs.look(),
      tryLun: (uuid) => this.#care.attempt(uuid),
      left: () => this.#members.left,
      isolation: administration.isolation,
      changes: administration.lunChanges,
    })
    const nodeEvents = new NodeEvents({
      ...{ clock, settleMs: 2 * timings.renewMs, publish: (news) => this.events.publish(news) },
      hasLeft: ({ slot, incarnation }) =>
        watch.sectors.some(
          (sector) => sector.slot === slot && sector.incarnation === incarnation && sector.state === 'clean',
        ),
    })
    this.#election = new Election({
      mesh,
      clock,
      log,
      timings,
      takeSeat: () => administration.seat.take(),
      leaveSeat: (held) => administration.seat.leave(held),
      step: (view, name) => timeline.begin(view.id, name),
      onAdministrator: (view, { slot }) => {
        nodeEvents.administered(view, slot === mesh.self)
        if (slot === mesh.self) administration.begin(view)
      },
    })
    this.virtualHosts =
      options.virtualHosts &&
      new VirtualHosts({
        ...{ node: self.name, mesh, clock, log: services, timings, ...options.virtualHosts },
        tools: { ...options.virtualHosts.tools, whyNot: (kind, name) => this.#whyNot(kind, name) },
        publish: (news) => this.events.publish(news),
        goodUntil: () => (this.#ended ? Number.NEGATIVE_INFINITY : lease.goodUntil()),
        settle: async () => void (await Promise.all(this.mounts.map(({ fs }) => fs.sync()))),
        administrator: () => this.#election.administrator?.slot,
        onMoved: (host, outcome) => timeline.note('virtual host', host, outcome),
      })
    this.#lunMembers = lunMembers
    this.#cluster.addListener(timeline)
    this.#cluster.addListener(this.#members)
    this.#cluster.addListener(this.#election)
    if (this.virtualHosts) this.#cluster.addListener(this.virtualHosts)
    this.#care = new LunCare({
      ...{ clock, log: san, timings, life: lease.life, luns: this.luns },
      onTransition: (lun, { from, to, reason }) => {
        timeline.note('LUN', lun, `${from} → ${to}: ${reason}`)
        const isUp = to === 'up'
        this.events.publish({
          ...{ kind: isUp ? 'lun-up' : 'lun-failed', object: { type: 'lun', name: lun } },
          ...{ severity: isUp ? 'info' : 'error', text: `LUN ${lun} is ${to} at ${self.name}: ${reason}` },
          detail: { from, to, reason },
        })
      },
      onForeign: (reason) => this.halt(reason),
    })
    this.lunVerbs = new LunVerbs({
      ...{ members: lunMembers, luns: this.luns, care: this.#care, mounts: () => this.mounts },
      readDatabase: () => this.#database.read(),
    })
    this.#leaseCheck = clock.every(timings.renewMs, () => this.#checkLease())
    watch.onRead = () => this.#followSectors()
    this.#followSectors()
    this.#cluster.onExpelled = (reason) => this.halt(`expelled: ${reason}`)
  }

  /** Who has claimed a slot is a peer, and listens where its sector says; who has left is looked for only when it is configured. */
  #followSectors(): void {
    const { self, nodes } = this.#options
    for (const { slot, nodeName, address, state } of this.#watch.sectors) {
      if (slot === self.slot) continue
      if (state !== 'clean') this.#cluster.addPeer({ slot, name: nodeName, address })
      else if (!nodes.some((node) => node.slot === slot)) this.#cluster.removePeer(slot)
    }
  }

  readonly #care: LunCare
  readonly #lunMembers: LunMembers
  readonly #registration: Registration | undefined
  readonly #leaseCheck: Timer
  readonly #database: MembershipStore
  readonly #election: Election
  #active: Promise<void> | undefined

  /** Of this process: which slot, in which incarnation. */
  get life(): Life {
    return this.#lease.life
  }

  get mounts(): readonly Mount[] {
    return this.#members.mounts
  }

  get cluster(): ClusterNode {
    return this.#cluster
  }

  get halted(): boolean {
    return this.#ended
  }

  /** Why this node cannot use a LUN or filesystem; undefined when it can. */
  #whyNot(kind: 'lun' | 'filesystem', name: string): string | undefined {
    if (kind === 'lun') {
      const { state, reason } = this.lunStates()[name] ?? { state: 'not known here' }
      return state === 'up' ? undefined : `LUN ${name} is ${state}${reason === undefined ? '' : `: ${reason}`}`
    }
    const state = this.mounts.find(({ record }) => record.name === name)?.state ?? 'not in service'
    return state === 'serving' ? undefined : `filesystem ${name} is ${state}`
  }

  /** As announced in the present view. */
  get administrator(): Administrator | undefined {
    return this.#election.administrator
  }

  async #open(): Promise<void> {
    const { log } = this.#options
    await this.virtualHosts?.clear()
    // the first write of this thread comes after that
    if (this.#registration) for (const { lun } of this.luns.entries) await this.#registration.admit(lun)
    const database = await this.luns.follow(() => this.#database.read())
    this.#mustReach(database)
    // images are loaded before joining, so that nobody waits for it; what fails here fails again in recovery, and is judged there
    for (const record of database.filesystems) {
      if (record.error)
        log.error({ filesystem: record.name, error: record.error }, 'filesystem is marked in error: not mounted')
      else
        await this.#members
          .mount(record)
          .catch((error) => log.error({ filesystem: record.name, error: String(error) }, 'image could not be loaded'))
    }
    await this.#cluster.start()
  }

  /** Resolves once every sound filesystem of the matrix serves at this node. */
  async ready(): Promise<void> {
    const { clock } = this.#options
    for (;;) {
      if (this.#ended) {
        await this.#givenBack
        throw new MatrixError('withdrawn', 'the node has halted')
      }
      const mounts = this.#members.mounts
      if (this.#serving && mounts.every((mount) => mount.state === 'serving')) {
        await Promise.all(mounts.map((mount) => mount.started()))
        return
      }
      await new Promise<void>((resolve) => clock.after(READY_POLL_MS, resolve))
    }
  }

  /** The membership database as it is now; rejects as `MembershipStore.read`. */
  readDatabase(): Promise<MembershipDatabase> {
    return this.#database.read()
  }

  /** The lease sectors as they were read last, and for how long each has shown no sign of life, ms. */
  leases(): readonly { readonly sector: LeaseSector; readonly stillMs: number }[] {
    return this.#watch.sectors.map((sector) => ({ sector, stillMs: this.#watch.stillMs(sector) }))
  }

  #mountOf(fsid: number): Mount | undefined {
    return this.#members.mounts.find(({ record }) => record.fsid === fsid)
  }

  async #openMount(record: FilesystemRecord): Promise<Mount> {
    const { self, clock, prng, log, timings, dataCacheBytes, newImageFile, threads, onMounted } = this.#options
    const mount = await Mount.open(
      {
        slot: self.slot,
        incarnation: this.#lease.life.incarnation,
        mesh: this.#cluster.mesh,
        clock,
        prng: prng.fork(),
        log: log.child({ subsystem: 'filesystem' }),
        timings,
        dataCacheBytes,
        luns: (uuids) => uuids.map((uuid) => (uuid === null ? undefined : this.luns.gate(uuid))),
        newImageFile,
        threads,
        leaseGood: () => clock.now() < this.#lease.goodUntil() && !this.#ended,
        onFatal: (failed, error) => void this.#mountEnded(failed, error),
      },
      record,
    )
    onMounted?.(mount)
    return mount
  }

  /**
   * A mount has ended by itself. When its LUNs are to blame, and there are other filesystems, the administrator finds out whose fault it is: the LUN's, and
   * then this mount is isolated as at every node; or this node's, and then it is refused. Otherwise the node halts, and comes back.
   */
  async #mountEnded({ name, fsid }: FilesystemRecord, error: Error): Promise<void> {
    const { clock, log, timings } = this.#options
    const reason = `withdrawn from ${name}: ${error.message}`
    const hasEnded = () => this.mounts.some((mount) => mount.record.fsid === fsid && mount.state === 'withdrawn')
    if (brokenRules.lunFailureIsJudged || !isLunFailure(error) || this.mounts.length < 2 || !hasEnded())
      return this.halt(reason)
    log.error({ filesystem: name, error: error.message }, 'a filesystem has failed here: its LUNs are looked at')
    const untilMs = clock.now() + VERDICT_LIFES * timings.ioLifeMs
    while (!this.#ended && hasEnded()) {
      if (clock.now() > untilMs) return this.halt(reason)
      await this.#lunMembers.suspect(fsid, error.message).catch((cause) => {
        log.debug({ filesystem: name, error: String(cause) }, 'the administrator could not be told')
      })
      await sleep(clock, timings.renewMs)
    }
  }

  /** Fig 10: a node that sees another database than the administrator, or not every LUN, is not imported (R80). */
  async #join(generation: number): Promise<void> {
    const { mesh } = this.#cluster
    const { view } = mesh
    try {
      this.#mustReach(
        await this.luns.follow(async () => {
          const database = await this.#database.read()
          // another view may have told of a change meanwhile, which this database does not have
          if (mesh.view !== view) throw new MatrixError('view-changed', `view ${view?.id} has ended`)
          if (database.generation >= generation) return database
          throw new MatrixError(
            'lun-foreign',
            `SAN generation ${database.generation} is on the membership partitions that this node sees, ${generation} on those of the administrator: its LUNs are copies, or old`,
          )
        }),
      )
    } catch (error) {
      if (isMatrixError(error, 'lun-foreign', 'config', 'lun-damaged', 'format-version'))
        this.halt(`not imported: ${error.message}`)
      throw error
    }
    await this.#activate()
    if (!this.#ended) this.#care.begin()
  }

  /** Throws MatrixError 'config' when a LUN of a sound filesystem is not among the configured ones, or it has no slot for this node. */
  #mustReach({ luns, filesystems }: MembershipDatabase): void {
    const { slot } = this.#options.self
    for (const { name, luns: wanted, slots, error } of filesystems) {
      if (error === undefined && slot >= slots)
        throw new MatrixError('config', `filesystem ${name} has ${slots} slots; this node has slot ${slot}`)
      const missing = error === undefined ? wanted.find((uuid) => uuid !== null && !this.luns.has(uuid)) : undefined
      if (!missing) continue
      const lun = luns.find(({ uuid }) => uuid === missing)?.name ?? missing
      throw new MatrixError(
        'config',
        `filesystem ${name} is on LUN ${lun} too, which this node does not reach; name its URL under luns`,
      )
    }
  }

  /** 'active' is written once per life: it stays until the node ends. */
  #activate(): Promise<void> {
    this.#active ??= this.#lease.setState('active').catch((error) => {
      this.#active = undefined
      throw error
    })
    return this.#active
  }

  #adopt(record: FilesystemRecord, slots: readonly Slot[]): void {
    const { log } = this.#options
    void (async () => {
      const mount = await this.#members.mount(record)
      await mount.started()
      for (const slot of slots) await mount.fs.adoptSlot(slot)
    })().catch((error) => {
      if (!this.#ended)
        log.warn({ filesystem: record.name, slots, error: String(error) }, 'taking over what absent slots left failed')
    })
  }

  /** A lease that is over never returns. Should its thread not say so, this node would be a member that can do nothing, and that all wait for. */
  #checkLease(): void {
    if (this.#lease.goodUntil() < this.#options.clock.now()) this.halt('the disk lease is over')
  }

  /** It was fenced there, or the LUN has lost its registration: which of the two it cannot know, so it does not register again. */
  #reserved(lun: Lun, reason: string): void {
    if (brokenRules.conflictIsTheEnd) void this.#registration?.admit(lun).catch(() => {})
    else this.halt(`fenced at the storage: ${reason}`)
  }

  leaseEnded(end: LeaseEnd): void {
    if (end.kind !== 'released') this.halt(describeEnd(end))
  }

  /** Ends this node at once: first the gates close, then everything else learns of it. */
  halt(reason: string): void {
    if (this.#ended) return
    this.#options.log.error({ reason }, 'the node halts')
    this.#close(reason)
    this.#givenBack = this.#giveBack()
    this.#options.onHalt(reason, this.#givenBack)
  }

  /**
   * After the gates have closed: once nothing of this life is under way any more, and it bears no address, its lease sector says so, which spares
   * the others the wait until they know. Never rejects; it gives up when I/O hangs, and then they wait.
   */
  async #giveBack(): Promise<void> {
    const { clock, log, timings } = this.#options
    const dropped = this.virtualHosts?.drop()
    dropped?.catch(() => {}) // looked at below
    const release = async (): Promise<void> => {
      if (!brokenRules.addressesGoBeforeLease) await dropped
      if (!brokenRules.drainedBeforeGivenBack) await this.luns.drained()
      await this.#lease.release()
      await this.#registration?.leaveAll()
    }
    const over = release().catch((error) => log.warn({ error: String(error) }, 'the lease could not be given back'))
    await within(clock, over, timings.ioTimeoutMs)
  }

  #close(reason: string): void {
    this.#ended = true
    this.#leaseCheck.cancel()
    this.luns.fence(reason)
    this.#watch.stop()
    this.#care.stop()
    for (const mount of this.#members.mounts) mount.withdraw(new MatrixError('withdrawn', reason))
    void this.#cluster.stop()
  }

  /** Clean leave: dirty data written, locks given back, out of the view, the lease released. */
  async stop(): Promise<void> {
    if (this.#ended) return
    await this.virtualHosts?.leave()
    await Promise.all(this.#members.mounts.map((mount) => mount.close()))
    this.#ended = true
    this.#leaseCheck.cancel()
    this.#care.stop()
    this.luns.fence('the node has stopped')
    await this.luns.drained()
    await this.#lease.release()
    await this.#registration?.leaveAll()
    await this.#cluster.leave()
    this.#watch.stop()
    await this.luns.close()
  }

  /** How this node's probe finds the LUNs, by name. */
  lunStates(): ReturnType<LunCare['states']> {
    return this.#care.states()
  }

  /** What is counted since the start, by filesystem and by LUN; for people and programs to look at. */
  counters(): Record<'membership' | 'filesystems' | 'luns' | 'lunStates', Record<string, unknown>> {
    const filesystems = this.#members.mounts.map(({ record, locks, volume, fs }) => [
      record.name,
      { locks: locks.counters(), journal: volume.stats(), cache: fs.stats(), ranges: fs.ranges.stats() },
    ])
    const { phase, view } = this.#cluster.status()
    const serving = this.#members.mounts.every(({ state }) => state === 'serving')
    const membership = { phase, view, serving, administrator: this.administrator ?? null }
    return {
      membership,
      filesystems: Object.fromEntries(filesystems),
      luns: this.luns.counters(),
      lunStates: this.lunStates(),
    }
  }
}

/** How often `ready` looks, ms. */
const READY_POLL_MS = 20
/** A filesystem that has failed here is judged within so many longest lives of an I/O, or this node halts: a view may change meanwhile. */
const VERDICT_LIFES = 12
