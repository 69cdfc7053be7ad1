/**
 * Some nodes of a cluster on the simulated network, watched by checkers of what membership and messages promise. A node that
 * is expelled restarts as a new incarnation, as matrixd does.
 *
 * Checked at every event
 *  - view numbers only grow within a life; a view contains the life that installs it; each is preceded by `blocked`
 *  - two installed views of one number are equal or share no life
 *  - while a life is active in a view, nobody is active in an older view that this one's members were to have given up
 *  - a life that a view left out is never again in a view with a life that installed that one
 *  - a message arrives in the view it was sent in, never while blocked, once, in order, without a gap
 */
import type { Slot } from '../../src/base/ids.ts'
import type { Timings } from '../../src/base/timings.ts'
import { timingsFrom } from '../../src/base/timings.ts'
import { ClusterNode, type KnownPeer, type LinkStatus, type Member, type View } from '../../src/cluster/index.ts'
import { type Log, silentLog } from '../../src/platform/log.ts'
import { SimNetwork, type SimNetworkOptions } from './network.ts'
import { SimHost, type SimWorld } from './world.ts'

export type Life = {
  readonly host: SimHost
  readonly node: ClusterNode
  readonly member: Member
  readonly views: View[]
  blocked: boolean
  over: boolean
  expelled: string | undefined
  /** Messages sent in the current view, by receiver, and received, by sender. */
  sent: Map<Slot, number>
  received: Map<Slot, number>
}

export type HarnessOptions = SimNetworkOptions & { readonly networks?: number }

const describe = (view: View) => `${view.id}: ${view.members.map((m) => `${m.slot}@${m.incarnation}`).join(' ')}`

const isIn = (view: View, member: Member) =>
  view.members.some((other) => other.slot === member.slot && other.incarnation === member.incarnation)

export class ClusterHarness {
  readonly world: SimWorld
  readonly network: SimNetwork
  readonly timings: Timings
  /** The last life of each slot. */
  readonly lives = new Map<Slot, Life>()
  readonly #all: Life[] = []
  readonly #members: KnownPeer[]
  readonly #incarnations: number[]
  /** Lists of members installed under one number. */
  readonly #installed = new Map<number, View[]>()
  /** Serve as soon as in a view. */
  serving = true
  restartExpelledAfterMs: number | undefined = 500
  delivered = 0
  expulsions = 0
  log: Log = silentLog

  /** Each node has an address on every one of `networks`. */
  constructor(world: SimWorld, count: number, { networks = 1, ...options }: HarnessOptions = {}) {
    this.world = world
    this.network = new SimNetwork(world, options)
    this.timings = timingsFrom(2000)
    this.#members = Array.from({ length: count }, (_, slot) => ({
      slot,
      name: `n${slot}`,
      address: { host: `h${slot}`, port: 7000 },
      otherAddresses: Array.from({ length: networks - 1 }, (_, i) => ({ host: `h${slot}/${i + 1}`, port: 7000 })),
    }))
    this.#incarnations = this.#members.map(() => 0)
  }

  get slots(): readonly Slot[] {
    return this.#members.map((member) => member.slot)
  }

  start(slot: Slot): Life {
    const known = this.#members[slot]!
    const { name } = known
    const incarnation = ++this.#incarnations[slot]!
    const host = new SimHost(this.world, name)
    const member: Member = { ...known, incarnation }
    const node = new ClusterNode({
      self: member,
      peers: this.#members.filter((other) => other.slot !== slot),
      matrixName: 'sim',
      clock: host.clock,
      transport: this.network.transport(host),
      timings: this.timings,
      prng: this.world.prng.fork(),
      log: this.log.child({ node: `${slot}@${incarnation}` }),
    })
    const life: Life = {
      host,
      node,
      member,
      views: [],
      blocked: false,
      over: false,
      expelled: undefined,
      sent: new Map(),
      received: new Map(),
    }
    this.lives.set(slot, life)
    this.#all.push(life)
    this.world.trace(`${slot}@${incarnation} starts`)
    node.addListener({ blocked: () => this.#onBlocked(life), installed: (view) => this.#onInstalled(life, view) })
    node.onExpelled = (reason) => this.#onExpelled(life, reason)
    node.mesh.onMessage('lock', (from, payload) => this.#onMessage(life, from, payload))
    node.mesh.onRequest('volume', (_from, body) => body)
    node.start().catch((error: Error) => this.world.fail(error))
    this.#chatter(life)
    return life
  }

  startAll(): void {
    for (const slot of this.slots) this.start(slot)
  }

  crash(slot: Slot, how: 'process' | 'machine' = 'process'): void {
    const life = this.lives.get(slot) as Life
    life.over = true
    this.network.crash(life.host, how)
  }

  async leave(slot: Slot): Promise<void> {
    const life = this.lives.get(slot) as Life
    await life.node.leave()
    life.over = true
    this.network.crash(life.host, 'process')
  }

  alive(): Life[] {
    return [...this.lives.values()].filter((life) => !life.over)
  }

  /** Every link of every live node: which network it uses, how often it moved, what was sent again. */
  links(): readonly LinkStatus[] {
    return this.alive().flatMap((life) => life.node.status().peers.flatMap((peer) => peer.link ?? []))
  }

  /** Every live node is active in one view of exactly the live nodes, and nobody is about to restart. */
  agreed(): boolean {
    const isRestarting = [...this.lives.values()].some((life) => life.expelled !== undefined)
    if (isRestarting && this.restartExpelledAfterMs !== undefined) return false
    const alive = this.alive()
    const view = alive[0]?.views.at(-1)
    if (!view || view.members.length !== alive.length) return false
    return alive.every(
      (life) =>
        !life.blocked &&
        life.views.at(-1)?.id === view.id &&
        view.members.some((m) => m.slot === life.member.slot && m.incarnation === life.member.incarnation),
    )
  }

  describe(): string {
    return this.alive()
      .map(
        (life) =>
          `${life.member.slot}@${life.member.incarnation} ${life.node.status().phase} ${describe(life.views.at(-1) ?? { id: 0, members: [] })}`,
      )
      .join('; ')
  }

  #fail(life: Life, what: string): void {
    this.world.fail(
      new Error(
        `seed ${this.world.seed}, at ${this.world.now.toFixed(1)} ms, ${life.member.slot}@${life.member.incarnation}: ${what}`,
      ),
    )
  }

  #onBlocked(life: Life): void {
    this.world.trace(`${life.member.slot}@${life.member.incarnation} blocked`)
    if (life.blocked) this.#fail(life, 'blocked twice')
    life.blocked = true
  }

  #onInstalled(life: Life, view: View): void {
    this.world.trace(`${life.member.slot}@${life.member.incarnation} installs ${describe(view)}`)
    const before = life.views.at(-1)
    if (before && view.id <= before.id) this.#fail(life, `view ${view.id} after ${before.id}`)
    if (!life.blocked) this.#fail(life, `view ${view.id} without blocked`)
    if (!view.members.some((m) => m.slot === life.member.slot && m.incarnation === life.member.incarnation))
      this.#fail(life, `not in ${describe(view)}`)
    const same = this.#installed.get(view.id) ?? []
    for (const other of same) {
      const shared = other.members.some((m) =>
        view.members.some((n) => n.slot === m.slot && n.incarnation === m.incarnation),
      )
      if (shared && describe(other) !== describe(view)) this.#fail(life, `${describe(view)} beside ${describe(other)}`)
    }
    this.#installed.set(view.id, [...same, view])
    for (const other of this.#all) {
      const theirs = other.views.at(-1)
      if (other === life || other.over || other.blocked || !theirs || theirs.id >= view.id) continue
      if (view.members.some((m) => m.slot === other.member.slot && m.incarnation === other.member.incarnation)) {
        this.#fail(life, `installs ${describe(view)} while ${other.member.slot} is active in ${describe(theirs)}`)
      }
    }
    life.views.push(view)
    if (this.serving) this.#checkLeftOut(life, view)
    life.blocked = false
    life.sent = new Map()
    life.received = new Map()
    if (this.serving) life.node.markServing()
    this.#talk(life)
  }

  /** For every two lives in `view`: neither has installed a view without the other since that one's last. */
  #checkLeftOut(life: Life, view: View): void {
    const lives = this.#all.filter((other) => isIn(view, other.member))
    for (const one of lives) {
      const last = one.views.findLast((other) => other.id < view.id)
      if (!last) continue
      for (const other of lives) {
        const without = other.views.find(
          (between) => between.id > last.id && between.id < view.id && !isIn(between, one.member),
        )
        if (without) {
          this.#fail(life, `installs ${describe(view)}, but ${one.member.slot} was left out of ${describe(without)}`)
        }
      }
    }
  }

  #onExpelled(life: Life, reason: string): void {
    this.world.trace(`${life.member.slot}@${life.member.incarnation} expelled`)
    this.expulsions++
    life.expelled = reason
    life.over = true
    this.network.crash(life.host, 'process')
    const { slot, incarnation } = life.member
    if (this.restartExpelledAfterMs === undefined) return
    this.world.at(this.restartExpelledAfterMs, () => {
      if (this.#incarnations[slot] === incarnation) this.start(slot)
    })
  }

  #onMessage(life: Life, from: Slot, payload: Buffer): void {
    const view = payload.readDoubleLE(0)
    const number = payload.readUInt32LE(8)
    const current = life.views.at(-1)
    if (life.blocked) this.#fail(life, `a message of view ${view} arrives while blocked`)
    if (current?.id !== view) this.#fail(life, `a message of view ${view} arrives in ${current?.id}`)
    const expected = life.received.get(from) ?? 0
    if (number !== expected) this.#fail(life, `message ${number} of ${from} instead of ${expected} in view ${view}`)
    life.received.set(from, expected + 1)
    this.delivered++
  }

  #chatter(life: Life): void {
    life.host.clock.after(this.world.prng.between(5, 120), () => {
      this.#talk(life)
      this.#chatter(life)
    })
  }

  /** One message to everybody, oneself included, when active. */
  #talk(life: Life): void {
    const view = life.views.at(-1)
    if (life.over || life.blocked || !view) return
    for (const { slot } of view.members) {
      const number = life.sent.get(slot) ?? 0
      const payload = Buffer.alloc(12)
      payload.writeDoubleLE(view.id, 0)
      payload.writeUInt32LE(number, 8)
      life.sent.set(slot, number + 1)
      life.node.mesh.send(slot, 'lock', payload)
    }
  }
}
