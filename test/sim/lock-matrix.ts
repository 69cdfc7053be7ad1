/**
 * Several lock spaces in one simulated world, with as little else as their promises need: a mesh (per-peer order, views,
 * everything of an old view dropped), a journal per slot reduced to one durable LSN, and images reduced to one applied
 * vector. Faults: messages delayed, nodes crash and come back, views change in the middle of a view change, nodes are cut off and
 * go on by themselves until they are fenced, which takes a while: meanwhile every side reopens.
 *
 * Oracles, checked after every event or at every use of a lock; each breaks the run:
 *  - no two live nodes hold incompatible modes, and no master knows a node twice in one resource (R16)
 *  - whoever uses a lock has applied the last write under it that was not lost with its writer (coherence)
 *  - no vector names an LSN that is not durable
 *  - callouts follow each other: from the mode the last one left, and with nobody pinning more than will be left
 */

import { timingsFrom } from '../../src/base/timings.ts'
import { type MutableVector, maximum, raise, type Vector } from '../../src/base/vector.ts'
import {
  compatible,
  coversMode,
  EX,
  type Hold,
  LockSpace,
  type Mode,
  mayWrite,
  modeNames,
  NL,
  type ResourceId,
  resourceName,
} from '../../src/locking/index.ts'
import type { LocalLock } from '../../src/locking/local-lock.ts'
import { silentLog } from '../../src/platform/log.ts'
import { SimHost, type SimWorld } from './world.ts'

const LSN_STEP = 512
const timings = { ...timingsFrom(2000), lockIdleMs: 3000 }

/** Rules that a test can break to see that the oracles notice. */
export type Broken = 'none' | 'flush-on-surrender' | 'vector-on-surrender' | 'read-journals-of-the-dead'

export type MatrixOptions = {
  readonly world: SimWorld
  readonly nodes: number
  readonly rids: readonly ResourceId[]
  readonly broken?: Broken
  readonly cachedLocksMax?: number
}

type Write = { readonly slot: number; readonly lsn: number }
type Envelope = { readonly from: number; readonly view: number; readonly payload: Buffer }

export class LockMatrix {
  readonly world: SimWorld
  readonly rids: readonly ResourceId[]
  readonly broken: Broken
  readonly nodes: LockNode[]
  readonly cachedLocksMax: number | undefined
  /** End of every slot's journal on the LUN. */
  readonly durable: MutableVector = new Map()
  readonly #writes = new Map<ResourceId, Write[]>()
  readonly #lastDelivery = new Map<string, number>()
  view = 0
  /** That of the side which recovers, and will fence the others. */
  #winning = 0
  /** Alive, and not with that side. */
  readonly #cutOff = new Set<LockNode>()
  messages = 0
  crashes = 0
  cuts = 0
  repeats = 0
  /** Grants while the node that got them had only reopened. */
  grantedEarly = 0

  constructor(options: MatrixOptions) {
    this.world = options.world
    this.rids = options.rids
    this.broken = options.broken ?? 'none'
    this.cachedLocksMax = options.cachedLocksMax
    this.nodes = Array.from({ length: options.nodes }, (_, slot) => new LockNode(this, slot, 1))
  }

  get live(): LockNode[] {
    return this.nodes.filter((node) => node.host.alive)
  }

  get inside(): LockNode[] {
    return this.live.filter((node) => !this.#cutOff.has(node))
  }

  /** Agrees on a view of all live nodes that are not cut off; these are fenced after a while, then all is rebuilt. */
  changeView(): void {
    const nodes = this.inside
    const view = this.#agree(nodes)
    this.#winning = view
    const members = nodes.map((node) => node.slot)
    const fenceMs = this.world.prng.chance(0.5) ? 60 : 60 + this.world.prng.float() * 700
    this.world.at(fenceMs, () => this.#recover(view, members, 1))
  }

  /** A view of `nodes`, each blocking, installing and reopening at its own pace. */
  #agree(nodes: readonly LockNode[]): number {
    const view = ++this.view
    const { prng } = this.world
    const members = nodes.map((node) => node.slot)
    this.world.trace(`view ${view} ${members}`)
    for (const node of nodes) {
      this.world.at(prng.float() * 20, () => node.host.enter(() => node.block(view)))
      this.world.at(21 + prng.float() * 30, () => node.host.enter(() => node.install(view)))
      if (prng.chance(0.1)) continue
      this.world.at(52 + prng.float() * 30, () => node.host.enter(() => node.reopen(view, members)))
    }
    return view
  }

  /** Nobody else hears of `nodes`, nor they of anybody else. */
  cutOff(nodes: readonly LockNode[]): void {
    this.cuts++
    for (const node of nodes) this.#cutOff.add(node)
    this.#agree(nodes)
    this.changeView()
  }

  #fence(): void {
    const victims = [...this.#cutOff]
    this.#cutOff.clear()
    for (const node of victims) if (node.host.alive) this.#kill(node)
  }

  /** All members stop granting, then all rebuild; some are not reached by an attempt, and then all repeat it. */
  #recover(view: number, members: readonly number[], attempt: number): void {
    if (view !== this.#winning) return
    this.#fence()
    let failed = false
    for (const node of this.live) {
      this.world.at(this.world.prng.float() * 10, () => node.host.enter(() => node.stopGranting(view)))
      const lost = attempt < 4 && this.world.prng.chance(0.1)
      failed ||= lost
      if (lost) continue
      this.world.at(11 + this.world.prng.float() * 30, () => node.host.enter(() => node.rebuild(view, members)))
    }
    if (!failed) return
    this.repeats++
    this.world.at(this.world.prng.float() * 80 + 20, () => this.#recover(view, members, attempt + 1))
  }

  crash(node: LockNode): void {
    this.crashes++
    this.#kill(node)
    if (!this.#cutOff.delete(node)) this.changeView()
  }

  #kill(node: LockNode): void {
    node.host.crash()
    const end = this.durable.get(node.slot) ?? 0
    for (const writes of this.#writes.values()) {
      const lost = writes.findIndex((write) => write.slot === node.slot && write.lsn > end)
      if (lost < 0) continue
      if (writes.slice(lost).some((write) => write.slot !== node.slot))
        this.fail('somebody built on a write that was never durable')
      writes.length = lost
    }
  }

  rejoin(slot: number): void {
    const node = new LockNode(this, slot, (this.nodes[slot] as LockNode).incarnation + 1)
    this.nodes[slot] = node
    this.changeView()
  }

  post(from: LockNode, to: number, payload: Buffer): void {
    const key = `${from.slot}>${to}`
    const at = Math.max(this.#lastDelivery.get(key) ?? 0, this.world.now + 0.05 + this.world.prng.float() * 8)
    this.#lastDelivery.set(key, at)
    this.messages++
    const envelope = { from: from.slot, view: from.view, payload }
    this.world.at(at - this.world.now, () => {
      const node = this.nodes[to] as LockNode
      node.host.enter(() => node.deliver(envelope))
    })
  }

  wrote(node: LockNode, rid: ResourceId, lsn: number): void {
    const writes = this.#writes.get(rid) ?? []
    this.#writes.set(rid, writes)
    writes.push({ slot: node.slot, lsn })
  }

  lastWrite(rid: ResourceId): Write | undefined {
    return this.#writes.get(rid)?.at(-1)
  }

  /** Checked between any two events; false, so that it can stand for `done`. */
  readonly check = (): boolean => {
    for (const rid of this.rids) {
      const held: [LockNode, Mode][] = []
      for (const node of this.live) {
        const mode = (node.space.cache.peek(rid) as LocalLock | undefined)?.mode ?? NL
        for (const [other, theirs] of held) {
          if (!compatible[theirs]![mode]) {
            this.fail(
              `${resourceName(rid)}: ${other.slot} holds ${modeNames[theirs]}, ${node.slot} holds ${modeNames[mode]}`,
            )
          }
        }
        if (mode !== NL) held.push([node, mode])
      }
    }
    return false
  }

  checkMasters(): void {
    for (const node of this.live) {
      for (const { name, holders, waiters } of node.space.status().resources) {
        const slots = [...holders, ...waiters.filter(({ converting, parked }) => !converting && !parked)].map(
          ({ slot }) => slot,
        )
        if (new Set(slots).size !== slots.length) this.fail(`R16: a node is twice in ${name} at ${node.slot}`)
      }
    }
  }

  fail(message: string): void {
    this.world.fail(new Error(`seed ${this.world.seed} at ${this.world.now.toFixed(3)} ms: ${message}`))
  }
}

/** One life of one node. */
export class LockNode {
  readonly matrix: LockMatrix
  readonly slot: number
  readonly incarnation: number
  readonly host: SimHost
  readonly space: LockSpace
  view = 0
  #newest = 0
  #blocked = false
  /** The last view for whose full rebuild this node has been asked to stop. */
  #recovering = 0
  #early: Envelope[] = []
  /** Volatile end of the own journal. */
  #lsn: number
  readonly #applied: MutableVector
  readonly #modes = new Map<ResourceId, Mode>()
  readonly #users = new Map<ResourceId, Map<Hold, boolean>>()
  /** Acquires that wait: what for, since when. */
  readonly waiting = new Map<object, string>()
  fatal: Error | undefined

  constructor(matrix: LockMatrix, slot: number, incarnation: number) {
    this.matrix = matrix
    this.slot = slot
    this.incarnation = incarnation
    this.host = new SimHost(matrix.world, `n${slot}.${incarnation}`)
    this.#lsn = matrix.durable.get(slot) ?? 0
    this.#applied = maximum(matrix.durable)
    this.space = new LockSpace({
      self: slot,
      clock: this.host.clock,
      timings,
      log: silentLog,
      send: (to, payload) => matrix.post(this, to, payload),
      leaseGood: () => this.host.alive,
      onFatal: (error) => {
        this.fatal = error
        matrix.fail(`node ${slot} withdrew: ${error.stack}`)
      },
      cachedLocksMax: matrix.cachedLocksMax,
    })
    for (let type = 0; type < 7; type++) {
      this.space.cache.registerCallouts(type, {
        acquired: (rid, mode, vector) => this.#acquired(rid, mode, vector),
        surrender: (rid, from, to) => this.#surrender(rid, from, to),
      })
    }
  }

  // ── the mesh ──

  block(view: number): void {
    if (view < this.#newest) return
    this.#newest = view
    this.#blocked = true
    this.space.freeze()
  }

  install(view: number): void {
    if (view !== this.#newest) return
    this.view = view
    this.#blocked = false
    const early = this.#early
    this.#early = []
    for (const envelope of early) this.deliver(envelope)
  }

  stopGranting(view: number): void {
    if (this.#newest !== view || this.view !== view) return
    this.#recovering = view
    this.space.freeze()
  }

  reopen(view: number, members: readonly number[]): void {
    if (this.#newest !== view || this.view !== view || this.#recovering === view) return
    this.space.reopen(members, view).then(
      () => this.matrix.world.trace(`n${this.slot} has reopened in view ${view}`),
      () => {}, // the full rebuild follows, or the view changed again
    )
  }

  rebuild(view: number, members: readonly number[]): void {
    if (this.#newest !== view || this.view !== view) return
    // recovery: the journals of the dead are read to their end into this image; the floor is the end of every journal
    const broken = this.matrix.broken === 'read-journals-of-the-dead'
    const floor = broken ? new Map() : maximum(this.matrix.durable)
    const dead = [...floor].filter(([slot]) => !members.includes(slot))
    raise(this.#applied, new Map(dead))
    this.space.rebuild(members, floor, view).then(
      () => this.matrix.world.trace(`n${this.slot} grants in view ${view}`),
      () => {}, // the view changed again
    )
  }

  deliver(envelope: Envelope): void {
    if (envelope.view > this.view) this.#early.push(envelope)
    else if (envelope.view === this.view && !this.#blocked) this.space.receive(envelope.from, envelope.payload)
  }

  // ── callouts: the image and the journal ──

  #acquired(rid: ResourceId, mode: Mode, vector: Vector): void | Promise<void> {
    this.matrix.world.trace(`n${this.slot} ${resourceName(rid)} ${modeNames[mode]}`)
    const from = this.#modes.get(rid) ?? NL
    if (!coversMode[mode]![from])
      this.matrix.fail(`${resourceName(rid)} acquired ${modeNames[mode]} after ${modeNames[from]}`)
    if (this.space.phase === 'reopened') this.matrix.grantedEarly++
    for (const [slot, lsn] of vector) {
      if (lsn > (this.matrix.durable.get(slot) ?? 0))
        this.matrix.fail(`a vector names ${slot}:${lsn}, which is not durable`)
    }
    const apply = () => {
      raise(this.#applied, vector)
      this.#modes.set(rid, mode)
    }
    return this.#sometimesLater(apply)
  }

  #surrender(rid: ResourceId, from: Mode, to: Mode): Vector | Promise<Vector> {
    this.matrix.world.trace(`n${this.slot} ${resourceName(rid)} ${modeNames[from]} to ${modeNames[to]}`)
    if ((this.#modes.get(rid) ?? NL) !== from)
      this.matrix.fail(`R15: ${resourceName(rid)} surrendered from a mode it was not acquired in`)
    for (const hold of this.#users.get(rid)?.keys() ?? []) {
      if (!coversMode[to]![hold.mode])
        this.matrix.fail(`${resourceName(rid)} goes down to ${modeNames[to]} while ${modeNames[hold.mode]} is pinned`)
    }
    const target = this.#lsn
    const flush = () => {
      if (mayWrite[from] && this.matrix.broken !== 'flush-on-surrender') this.#flush(target) // R13
      this.#modes.set(rid, to)
      const own = this.matrix.durable.get(this.slot) ?? 0
      return this.matrix.broken === 'vector-on-surrender'
        ? new Map()
        : maximum(this.#applied, new Map([[this.slot, own]]))
    }
    return this.#sometimesLater(flush)
  }

  #flush(to: number): void {
    this.matrix.durable.set(this.slot, Math.max(to, this.matrix.durable.get(this.slot) ?? 0))
  }

  #sometimesLater<T>(run: () => T): T | Promise<T> {
    const prng = this.matrix.world.prng
    if (prng.chance(0.5)) return run()
    return new Promise((resolve) => this.host.clock.after(prng.float() * 12, () => resolve(run())))
  }

  // ── users ──

  began(hold: Hold, processScope = false): void {
    const users = this.#users.get(hold.rid) ?? new Map<Hold, boolean>()
    this.#users.set(hold.rid, users)
    if (processScope) {
      for (const [other, exclusive] of users) {
        if (exclusive && !compatible[other.mode]![hold.mode])
          this.matrix.fail(`R11: two local users of ${resourceName(hold.rid)}`)
      }
    }
    users.set(hold, processScope)
    this.look(hold.rid, hold.mode)
  }

  ended(hold: Hold): void {
    this.#users.get(hold.rid)?.delete(hold)
    hold.release()
  }

  /** Under a lock that excludes writers: the image must contain the last write. */
  look(rid: ResourceId, mode: Mode): void {
    if (!this.space.cache.holds(rid, mode))
      this.matrix.fail(`n${this.slot} pins ${resourceName(rid)} and does not hold it`)
    const last = this.matrix.lastWrite(rid)
    if (compatible[mode]![4] || !last || last.slot === this.slot) return
    const applied = this.#applied.get(last.slot) ?? 0
    if (applied < last.lsn) {
      this.matrix.fail(
        `n${this.slot} looks at ${resourceName(rid)} with ${last.slot}:${applied}, the last write was ${last.slot}:${last.lsn}`,
      )
    }
  }

  write(rid: ResourceId): void {
    this.look(rid, EX)
    this.#lsn += LSN_STEP
    this.matrix.wrote(this, rid, this.#lsn)
  }

  commit(): void {
    this.#flush(this.#lsn)
  }
}
