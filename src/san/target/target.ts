/**
 * An iSCSI target: portals, the sessions that came in by them, and the logical units behind. It is made for tests and demonstrations: it does what
 * storage may do (reservations that hold, a cache that forgets, commands that take long or fail, ports that are switched off), on request.
 *
 * Each portal is a port of the target of its own (portal group and relative identifier: its number, from 1), as with an array whose controllers
 * stand for themselves; or all are one port, as with cables to one controller. The switch and faults know the portals in either case.
 *
 * A session that ends, by whatever end, has ended all its commands before a session of the same nexus begins, and before `cut` with
 * 'refuse', or `powerLoss`, resolves.
 */
import { assert } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import type { ByteListener } from '../../platform/byte-stream.ts'
import { type Clock, sleep } from '../../platform/clock.ts'
import type { Files } from '../../platform/files.ts'
import type { Log } from '../../platform/log.ts'
import type { Listener, PeerAddress } from '../../platform/transport.ts'
import type { Pair } from '../iscsi/text.ts'
import { type Answer, check, type Plan, Refused, reply } from './answer.ts'
import type { TargetChap } from './chap-target.ts'
import { type Fault, Faults } from './faults.ts'
import { standard } from './identity.ts'
import { LogicalUnit } from './logical-unit.ts'
import { FileMedium } from './medium.ts'
import { describeReservations } from './reservation-codec.ts'
import { FileReservationStore } from './reservation-store.ts'
import type { ScsiTask, TaskOrigin } from './scsi-task.ts'
import { conditions, encodeSense } from './sense-data.ts'
import { type Session, Sessions } from './sessions.ts'
import { type Cut, Switch } from './switch.ts'
import { listLuns } from './unit-commands.ts'
import { VolatileMedium } from './volatile-medium.ts'

export type LunOptions = {
  readonly number: number
  /** Holds the blocks. */
  readonly path: string
  /** Holds the reservations that outlast a power loss; `STORE_BYTES` long. */
  readonly reservationsPath: string
  readonly blockSize: number
  /** 'host': the write cache is that of the operating system; 'volatile': a cache of its own, which `powerLoss` empties. */
  readonly cache: 'host' | 'volatile'
  /** Durable writes wait for the disk of this machine. */
  readonly sync: boolean
  readonly isReadOnly: boolean
  readonly serial: string
}

export type TargetOptions = {
  readonly name: string
  readonly portals: readonly PeerAddress[]
  readonly luns: readonly LunOptions[]
  readonly chap?: TargetChap
  /** 'each' portal is a target port of its own (the default), or 'one' has them all: then a session moves between them, and ends itself where it was. */
  readonly portalGroups?: 'each' | 'one'
}

export type TargetHost = {
  readonly clock: Clock
  readonly files: Pick<Files, 'open'>
  readonly listener: ByteListener
  readonly random: (count: number) => Buffer
  readonly log: Log
}

const managed = { complete: 0, noTask: 1, noLun: 2, unsupported: 5 } as const

export class IscsiTarget {
  readonly #options: TargetOptions
  readonly #host: TargetHost
  readonly #units = new Map<number, LogicalUnit>()
  readonly #faults: Faults
  readonly #switch = new Switch()
  readonly #sessions: Sessions
  #listeners: Listener[] = []
  /** As they were opened: port 0 was any. */
  #addresses: PeerAddress[]
  #isDown = false

  /** Rejects with MatrixError 'not-found', 'lun-io' or 'lun-damaged' (a file), 'in-use' (a port). */
  static async start(options: TargetOptions, host: TargetHost): Promise<IscsiTarget> {
    const target = new IscsiTarget(options, host)
    try {
      for (const lun of options.luns) await target.#openLun(lun)
      await target.#listen()
    } catch (error) {
      await target.stop()
      throw error
    }
    return target
  }

  private constructor(options: TargetOptions, host: TargetHost) {
    this.#options = options
    this.#host = host
    this.#addresses = [...options.portals]
    this.#faults = new Faults(() => host.random(4).readUInt32BE() / 2 ** 32)
    const { clock, random, log } = host
    this.#sessions = new Sessions({
      ...{ clock, random, log, units: this.#units, cuts: this.#switch },
      ...{ targetName: options.name, chap: options.chap },
      portOf: (portal) => this.#portOf(portal),
      service: (origin) => ({
        begin: (task, lun) => this.#beginCommand(task, lun),
        run: (task, lun, plan, data) => void this.#unit(lun)?.run(task, plan, data),
        manage: (fn, lun, task) => this.#manage(fn, lun, task, origin),
        sendTargets: (which) => this.#sendTargets(which),
      }),
    })
  }

  get name(): string {
    return this.#options.name
  }

  get portals(): readonly PeerAddress[] {
    return this.#addresses
  }

  async #openLun({ path, reservationsPath, blockSize, sync, cache, ...lun }: LunOptions): Promise<void> {
    const { files, clock } = this.#host
    const file = await files.open(path)
    const medium = new (cache === 'volatile' ? VolatileMedium : FileMedium)(file, { blockSize, sync })
    const { store, state } = await FileReservationStore.open(await files.open(reservationsPath), reservationsPath)
    if (medium.blocks === 0) throw new MatrixError('lun-too-small', `${path} holds no block of ${blockSize} bytes`)
    this.#units.set(
      lun.number,
      new LogicalUnit({
        ...lun,
        targetName: this.name,
        ports: [...new Set(this.#options.portals.map((_, i) => this.#portOf(i + 1)))],
        luns: () => [...this.#units.keys()],
        ...{ medium, store, clock, reservations: state, faults: this.#faults, log: this.#host.log },
        drop: ({ origin }) => this.#sessions.end((each) => each.origin === origin, 'a fault was asked for'),
      }),
    )
  }

  /** The target port that a portal belongs to. */
  #portOf(portal: number): number {
    return this.#options.portalGroups === 'one' ? 1 : portal
  }

  async #listen(): Promise<void> {
    for (const [i, address] of this.#addresses.entries()) {
      const listener = await this.#host.listener.listen(address, (stream) => this.#sessions.accept(stream, i + 1))
      this.#listeners.push(listener)
      this.#addresses[i] = { host: address.host, port: listener.port }
    }
  }

  /** Of everything that was answered as durable nothing is lost; what is cached goes to the files. */
  async stop(): Promise<void> {
    await this.#silence('the target stops')
    for (const { medium, options } of this.#units.values()) {
      await medium.close()
      await options.store.close()
    }
  }

  /** No connection, and nothing under way. */
  async #silence(reason: string): Promise<void> {
    const closed = this.#listeners.splice(0).map((listener) => listener.close())
    await Promise.all([...closed, this.#sessions.endAll(reason)])
  }

  #unit(lun: Buffer): LogicalUnit | undefined {
    const method = lun[0]! >> 6
    if (method > 1 || lun.readUIntBE(2, 6) !== 0) return undefined
    return this.#units.get(lun.readUInt16BE(0) & 0x3fff)
  }

  #beginCommand(task: ScsiTask, lun: Buffer): Answer | Plan {
    const unit = this.#unit(lun)
    if (unit) return unit.begin(task)
    const { cdb } = task
    try {
      switch (cdb[0]) {
        case 0x12:
          return (cdb[1]! & 1) !== 0 ? check(conditions.invalidCdb) : reply(standard(0x7f), cdb.readUInt16BE(3))
        case 0xa0:
          return listLuns([...this.#units.keys()], cdb)
        case 0x03:
          return reply(encodeSense(conditions.noSuchLun), cdb[4]!)
        default:
          return check(conditions.noSuchLun)
      }
    } catch (error) {
      if (error instanceof Refused) return error.answer
      throw error
    }
  }

  async #manage(fn: number, lun: Buffer, task: ScsiTask | undefined, origin: TaskOrigin): Promise<number> {
    const all = [...this.#units.values()]
    if (fn === 6 || fn === 7) {
      await Promise.all(all.map((unit) => unit.reset(origin.nexus)))
      if (fn === 7) void this.#sessions.end((each) => each.origin !== origin, 'the target was reset')
      return managed.complete
    }
    const unit = this.#unit(lun)
    if (!unit) return managed.noLun
    switch (fn) {
      case 1:
        return task && (await unit.abort((each) => each === task, origin.nexus)) > 0 ? managed.complete : managed.noTask
      case 2:
        await unit.abort((each) => each.origin.nexus === origin.nexus, origin.nexus)
        return managed.complete
      case 4:
        await unit.abort(() => true, origin.nexus)
        return managed.complete
      case 5:
        await unit.reset(origin.nexus)
        return managed.complete
      default:
        return managed.unsupported
    }
  }

  #sendTargets(which: string): readonly Pair[] {
    if (which !== 'All' && which !== '' && which.toLowerCase() !== this.name.toLowerCase()) return []
    const addresses = this.#addresses.map(({ host, port }, i): Pair => {
      const written = host.includes(':') ? `[${host}]` : host
      return ['TargetAddress', `${written}:${port},${this.#portOf(i + 1)}`]
    })
    return [['TargetName', this.name], ...addresses]
  }

  /** Disables ports of the switch. With 'refuse', nothing of those initiators lands afterwards. */
  async cut(cut: Cut): Promise<void> {
    this.#checkPortal(cut.portal)
    this.#switch.cut(cut)
    const affected = (mode: Cut['mode']) => (session: Session) =>
      this.#switch.stateOf(session.origin.initiator, session.origin.portal) === mode
    const silent = this.#sessions.all.filter(affected('silent'))
    for (const { connection } of silent) connection.freeze()
    const working = silent.flatMap(({ connection }) => connection.tasks()).filter((task) => task.isAtWork)
    await Promise.all([
      this.#sessions.end(affected('refuse'), 'the port was disabled'),
      ...working.map((task) => task.settled()),
    ])
  }

  /** Enables them again. Returns how many cuts there were. */
  heal(port: Pick<Cut, 'initiator' | 'portal'>): number {
    const healed = this.#switch.heal(port)
    for (const { connection, origin } of this.#sessions.all)
      if (this.#switch.stateOf(origin.initiator, origin.portal) === undefined) connection.thaw()
    return healed
  }

  addFault(fault: Fault): number {
    this.#checkPortal(fault.portal)
    if (fault.lun !== undefined) this.#need(fault.lun)
    return this.#faults.add(fault)
  }

  /** Returns how many there were. */
  removeFaults(id?: number): number {
    return this.#faults.remove(id)
  }

  /**
   * The power fails, and comes back after `downMs`: connections are reset, caches and reservations that are not to outlast it are gone. `survive`: of the
   * blocks that were only in a cache, this part (0…1) had been written all the same, whichever.
   */
  async powerLoss({ downMs, survive }: { readonly downMs: number; readonly survive: number }): Promise<void> {
    if (this.#isDown) throw new MatrixError('in-use', 'the power is off already')
    this.#isDown = true
    await this.#silence('the power failed')
    assert(this.#sessions.all.length === 0, 'sessions without power')
    const survives = (): boolean => this.#host.random(4).readUInt32BE() / 2 ** 32 < survive
    for (const unit of this.#units.values()) await unit.losePower(survives)
    await sleep(this.#host.clock, downMs)
    await this.#listen()
    this.#isDown = false
  }

  /** The file of a LUN has another size now. */
  async resize(lun: number): Promise<{ readonly bytes: number }> {
    const { medium, tellAll } = this.#need(lun)
    const { path } = this.#options.luns.find(({ number }) => number === lun)!
    await medium.resize(await this.#host.files.open(path))
    tellAll.call(this.#units.get(lun), 'capacity-changed')
    return { bytes: medium.blocks * medium.blockSize }
  }

  /** Asks initiators to log out; those that do not are cut off when the time is over. Nobody is kept from coming back. */
  async requestLogout({
    initiator,
    seconds,
  }: {
    readonly initiator?: string
    readonly seconds: number
  }): Promise<void> {
    const meant = this.#sessions.all.filter(({ origin }) => (initiator ?? origin.initiator) === origin.initiator)
    for (const { connection } of meant) connection.requestLogout(seconds)
    const timeUp = sleep(this.#host.clock, seconds * 1000)
    await Promise.race([timeUp, Promise.all(meant.map(({ ended }) => ended))])
    await this.#sessions.end((each) => meant.includes(each), 'asked to log out')
  }

  /** For people and programs. */
  status(): object {
    return {
      name: this.name,
      isDown: this.#isDown,
      portals: this.#addresses.map(({ host, port }, i) => ({ number: i + 1, host, port })),
      luns: [...this.#units.values()].map((unit) => ({
        number: unit.number,
        bytes: unit.medium.blocks * unit.medium.blockSize,
        blockSize: unit.medium.blockSize,
        ...(unit.medium instanceof VolatileMedium && { cachedBlocks: unit.medium.cachedBlocks }),
        underWay: unit.underWay,
        reservations: describeReservations(unit.reservations),
      })),
      sessions: this.#sessions.all.map(({ id, origin, isDiscovery, connection }) => ({
        ...{ id, initiator: origin.initiator, nexus: origin.nexus, portal: origin.portal, isDiscovery },
        underWay: connection.underWay,
      })),
      cuts: this.#switch.cuts,
      faults: this.#faults.list(),
    }
  }

  #need(lun: number): LogicalUnit {
    const unit = this.#units.get(lun)
    if (unit) return unit
    throw new MatrixError('not-found', `there is no LUN ${lun}; there are ${[...this.#units.keys()].join(', ')}`)
  }

  #checkPortal(portal: number | undefined): void {
    const count = this.#addresses.length
    if (portal === undefined || (portal >= 1 && portal <= count)) return
    throw new MatrixError('not-found', `there is no portal ${portal}; there are 1…${count}`)
  }
}
