/**
 * One filesystem as mounted on this node: its journaled image, its lock space, the Matrix Filesystem on top, and the chores that
 * belong to the three together (tailing peers' journals, publishing checkpoints).
 *
 *   loading ──open──▶ loaded ──recover──▶ recovering ───────────resume──────────▶ serving
 *                                          ▲ ▲   │ nobody recovers                 │ view blocked, or recover
 *                                          │ │   ▼                                 │
 *                                          │ └─ reopened                           │
 *                                          └───────────────────────────────────────┘        any ──withdraw──▶ withdrawn
 *
 * 'loaded' has read a checkpoint and journals and changes nothing. The node's own journal is begun only in 'recover', at the
 * seal of the incarnation before it. While 'recovering', cached locks stay usable; new ones wait for 'resume'.
 *
 * That may take long: a node that left the view has to be fenced first. So a mount that has served all members of the view before goes on by itself
 * after a moment without a 'recover' (locking/dlm.ts, reopening): 'reopened', it is granted all locks but those that a node outside the view
 * holds or mastered. For what is above and below, that is service as usual beside a silent node:
 *  - Verbs, announcements, reading ahead and checkpoints go on; what they need from the absent waits (the checkpoint lock included).
 *  - Lock value blocks and dependencies may name frames of an absent node's journal that has no seal yet. They are durable, and are of its last known
 *    incarnation; the seal, when it comes, lies behind them. What it wrote beyond is read by nobody before 'recover', but by the administrator.
 *  - The administrator reads that journal to its end meanwhile (`readJournalsToEnd`), into the image that its verbs use. What it finds there are
 *    changes under locks that the dead node held to its end: nobody here looks at those rows before 'resume'. It is on stable storage before it is
 *    applied (volume.ts), since frames that this node writes from then on depend on it.
 * 'recover' stops granting again, at all members before any resumes.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Incarnation, Ino, Lsn, Slot } from '../base/ids.ts'
import { type Life, sameLife } from '../base/life.ts'
import type { Prng } from '../base/prng.ts'
import type { Timings } from '../base/timings.ts'
import { fromPairs, type MutableVector, maximum, toPairs, type Vector } from '../base/vector.ts'
import type { Mesh, View } from '../cluster/index.ts'
import { LockSpace } from '../locking/index.ts'
import { type Lives, MatrixFilesystem, type RangePeers, Volume } from '../metadata/index.ts'
import type { Clock, Log, Threads } from '../platform/index.ts'
import type { FilesystemRecord, Lun } from '../san/index.ts'
import { Checkpointing } from './checkpointing.ts'
import { MountLuns } from './mount-luns.ts'
import { inosOfAnswer, type VolumeNote, type VolumeQuestion, withFsid } from './mount-notes.ts'

/** How often a node tells its peers where its journal durably ends, so that they read it before they must, ms. */
const ANNOUNCE_PERIOD_MS = 200
/** A peer answers a question within so long, ms. */
const QUESTION_LIMIT_MS = 5_000

export type MountState = 'loaded' | 'recovering' | 'reopened' | 'serving' | 'withdrawn'

export type MountHost = {
  readonly slot: Slot
  readonly incarnation: Incarnation
  readonly mesh: Mesh
  readonly clock: Clock
  readonly prng: Prng
  readonly log: Log
  readonly timings: Timings
  readonly dataCacheBytes: number
  /** The LUNs with these UUIDs, in their order, through this node's pseudo storage drivers; a hole stays one. */
  luns(uuids: readonly (string | null)[]): readonly (Lun | undefined)[]
  /** Where the next local image goes: a path where no file is, or ':memory:'. */
  newImageFile(record: FilesystemRecord): string
  readonly threads?: Threads | undefined
  leaseGood(): boolean
  /** The node cannot trust this filesystem's state any more. */
  onFatal(record: FilesystemRecord, error: Error): void
}

export class Mount {
  /** Its LUNs as this node uses them, and its record. */
  readonly luns: MountLuns
  readonly volume: Volume
  readonly locks: LockSpace
  readonly fs: MatrixFilesystem
  readonly #checkpointing: Checkpointing
  readonly #host: MountHost
  #state: MountState = 'loaded'
  /** The view that this mount last served in full. */
  #served: View | undefined
  /** The last view that has resumed, or begun to: whoever is not in it is fenced. */
  #fenced: View | undefined
  #reopening: { cancel(): void } | undefined
  #writing = false
  #started: Promise<void> | undefined
  #hasStarted = false
  #readingAhead = false
  #ahead: MutableVector = new Map()
  #announced: Lsn = 0
  #timer: { cancel(): void } | undefined

  /** Loads the newest checkpoint and what the journals hold after it. Rejects with 'checkpoint-damaged', 'journal-damaged', 'lun-io'. */
  static async open(host: MountHost, record: FilesystemRecord): Promise<Mount> {
    let mount: Mount | undefined
    const volume = await Volume.open({
      luns: host.luns(record.luns),
      record,
      slot: host.slot,
      incarnation: host.incarnation,
      newImageFile: () => host.newImageFile(record),
      clock: host.clock,
      log: host.log.child({ filesystem: record.name }),
      ...(host.threads && { threads: host.threads }),
      // nobody's unsealed frames are believed before recovery has said who lives
      incarnations: () => undefined,
      onFatal: (error) => mount?.withdraw(error),
      requestCheckpoint: () => void mount?.checkpoint().catch(() => {}),
    })
    mount = new Mount(host, record, volume)
    return mount
  }

  private constructor(host: MountHost, record: FilesystemRecord, volume: Volume) {
    const log = host.log.child({ filesystem: record.name })
    this.#host = host
    this.volume = volume
    this.locks = new LockSpace({
      self: host.slot,
      clock: host.clock,
      timings: host.timings,
      log,
      send: (to, payload) => host.mesh.send(to, 'lock', withFsid(record.fsid, payload)),
      leaseGood: host.leaseGood,
      onFatal: (error) => this.withdraw(error),
    })
    this.fs = new MatrixFilesystem({
      name: record.name,
      fsid: record.fsid,
      volume,
      locks: this.locks.cache,
      luns: host.luns(record.luns),
      slot: host.slot,
      incarnation: host.incarnation,
      clock: host.clock,
      prng: host.prng,
      log,
      lives: this.#lives(),
      rangePeers: this.#rangePeers(),
      timings: host.timings,
      limits: { dataCacheBytes: host.dataCacheBytes },
    })
    this.#checkpointing = new Checkpointing({
      volume,
      locks: this.locks,
      published: (sequence, vector) =>
        this.#broadcast({ fsid: record.fsid, published: { sequence, vector: toPairs(vector) } }),
    })
    this.luns = new MountLuns(record, {
      ...{ clock: host.clock, log, fs: this.fs, gates: (uuids) => host.luns(uuids) },
      started: () => this.#started,
      isOver: () => this.#state === 'withdrawn',
    })
  }

  get record(): FilesystemRecord {
    return this.luns.record
  }

  /** Its journal was begun in this life of the node. */
  get hasWritten(): boolean {
    return this.#writing
  }

  /** 'serving' only once the filesystem's start-up is over: a verb before that would number its new inodes anew. */
  get state(): MountState {
    return this.#grants && !this.#hasStarted ? 'recovering' : this.#state
  }

  /** Locks are granted, all or most of them. */
  get #grants(): boolean {
    return this.#state === 'serving' || this.#state === 'reopened'
  }

  /** Resolves once the filesystem serves verbs (the first 'resume' done and its start-up finished). */
  async started(): Promise<void> {
    await this.#started
  }

  /** The view is about to change: no lock is granted from now on. */
  freeze(): void {
    this.#stopGranting()
  }

  /** `view` is installed. Unless the administrator begins to recover soon, what concerns only its members is served again. */
  installed(view: View): void {
    const before = this.#served?.members ?? []
    const known = view.members.every((member) => before.some((other) => sameLife(member, other)))
    if (this.#state !== 'recovering' || !known) return
    this.#reopening = this.#host.clock.after(this.#host.timings.reopenAfterMs, () => void this.#reopen(view))
  }

  async #reopen(view: View): Promise<void> {
    const slots = view.members.map((member) => member.slot)
    try {
      await this.locks.reopen(slots, view.id)
      if (this.locks.phase !== 'reopened') return
      this.#state = 'reopened'
      void this.#readAhead()
    } catch (error) {
      if (!isMatrixError(error, 'view-changed', 'withdrawn')) this.withdraw(error as Error)
    }
  }

  #stopGranting(): void {
    this.#reopening?.cancel()
    if (this.#grants) this.#state = 'recovering'
    this.locks.freeze()
  }

  /** Step 5: takes the seals, applies the dead's journals up to them; returns where the own journal durably ends. Rejects with 'journal-damaged', 'checkpoint-damaged' only before it has served. */
  async recover(record: FilesystemRecord, view: View): Promise<Lsn> {
    assert(record.fsid === this.record.fsid, `recover: ${record.name} is another filesystem`)
    this.#mustLive()
    this.luns.follow(record)
    this.#stopGranting()
    this.#state = 'recovering'
    this.volume.setSeals(record.seals)
    for (const member of view.members) this.volume.setIncarnation(member.slot, member.incarnation)
    const sealed = endsOfSealed(record)
    // what has served cannot do without what it cannot read; what is about to begin can wait for a checkpoint of the others
    if (!brokenRules.journalsReadFirst) await this.volume.applyTo(sealed, this.#writing ? 'fatal' : 'judged')
    if (!this.#writing) {
      this.#writing = true
      this.volume.startWriting(ownStart(record, this.#host.slot, this.#host.incarnation))
    }
    return this.volume.durableVector().get(this.#host.slot) ?? 0
  }

  /** Step 6: rebuilds the locks above `floor`; resolves once this node grants again. */
  async resume(view: View, floor: Vector): Promise<void> {
    this.#mustLive()
    // nobody is granted anything in this view before this node has reported; so nobody who is new in it is unknown here
    this.#fenced = view
    const slots = view.members.map((member) => member.slot)
    await this.locks.rebuild(slots, floor, view.id)
    this.#served = view
    this.#checkpointing.release()
    if (this.#state === 'recovering' && this.locks.phase === 'granting') this.#state = 'serving'
    this.#started ??= this.#start()
    this.fs.ranges.resumed()
    this.#started.then(
      () => void this.luns.addSpaceSoon(),
      (error) => this.withdraw(error),
    )
  }

  async #start(): Promise<void> {
    await this.fs.start()
    this.#hasStarted = true
    this.#timer = this.#host.clock.every(ANNOUNCE_PERIOD_MS, () => this.#announce())
  }

  /** Step 3: reads the journals of dead incarnations to their ends into the image. `writers`: the last life of each slot that can have written. */
  async readJournalsToEnd(
    record: FilesystemRecord,
    writers: readonly Life[],
    dead: readonly Life[],
  ): Promise<readonly Lsn[]> {
    this.#mustLive()
    this.luns.follow(record)
    this.volume.setSeals(record.seals)
    for (const { slot, incarnation } of [...writers, ...dead]) this.volume.setIncarnation(slot, incarnation)
    return this.volume.findEnds(dead)
  }

  /** Publishes a checkpoint, so that journal space before it becomes free; concurrent callers share one. */
  checkpoint(): Promise<void> {
    return this.#checkpointing.run()
  }

  /** Until 'resume' this node publishes nothing by itself. Resolves once nothing of it is under way any more. */
  holdCheckpoints(): Promise<void> {
    return this.#checkpointing.hold()
  }

  /** As `Checkpointing.publishHeld`. */
  async publishHeld(): Promise<void> {
    this.#mustLive()
    await this.#checkpointing.publishHeld()
  }

  #announce(): void {
    const end = this.volume.durableVector().get(this.#host.slot) ?? 0
    if (end === this.#announced) return
    this.#announced = end
    this.#broadcast({ fsid: this.record.fsid, durable: end })
  }

  #broadcast(body: VolumeNote): void {
    const { mesh, slot } = this.#host
    const payload = Buffer.from(JSON.stringify(body))
    for (const member of mesh.view?.members ?? []) if (member.slot !== slot) mesh.send(member.slot, 'volume', payload)
  }

  /** A peer's note: its journal has grown, or it has published a checkpoint. Only hints: what counts is read from the LUN. */
  note(from: Slot, body: VolumeNote): void {
    if (this.#state === 'withdrawn') return
    if (body.published) {
      const { sequence, vector } = body.published
      this.volume.notePublished(sequence, fromPairs(vector))
    }
    if (body.wake !== undefined) this.fs.ranges.wake(body.wake)
    if (body.durable === undefined) return
    this.#ahead.set(from, body.durable)
    void this.#readAhead()
  }

  /** A peer asks. */
  answer({ rangedBy }: VolumeQuestion): readonly Ino[] {
    this.#mustLive()
    return this.fs.ranges.inosRangedBy(rangedBy)
  }

  #lives(): Lives {
    const known = () => (brokenRules.goneIsFenced ? this.#host.mesh.view : this.#fenced)
    return {
      get version() {
        return known()?.id ?? 0
      },
      isGone: (life) => {
        const view = known()
        return view !== undefined && !view.members.some((member) => sameLife(member, life))
      },
      isMember: (life) => this.#host.mesh.view?.members.some((member) => sameLife(member, life)) === true,
    }
  }

  #rangePeers(): RangePeers {
    const { mesh, slot } = this.#host
    return {
      slots: () => (mesh.view?.members ?? []).map((member) => member.slot).filter((other) => other !== slot),
      isWhole: () => this.#state === 'serving' && this.#fenced?.id === mesh.view?.id && this.locks.phase === 'granting',
      wake: (to, ino) => mesh.send(to, 'volume', Buffer.from(JSON.stringify({ fsid: this.record.fsid, wake: ino }))),
      inosRangedBy: async (to, client) => {
        const question: VolumeQuestion = { fsid: this.record.fsid, rangedBy: client }
        const answer = await mesh.request(to, 'volume', question, QUESTION_LIMIT_MS)
        return inosOfAnswer(answer)
      },
    }
  }

  /** Bytes of each peer's journal that it has said are durable, and that are not applied here; none where there are none. */
  lag(): ReadonlyMap<Slot, number> {
    const behind: MutableVector = new Map()
    if (this.#state === 'withdrawn') return behind
    const { vector } = this.volume.image
    for (const [slot, end] of this.#ahead)
      if (end > (vector.get(slot) ?? 0)) behind.set(slot, end - (vector.get(slot) ?? 0))
    return behind
  }

  /** Applies what peers have said is durable, so that little is left to read when a lock comes. */
  async #readAhead(): Promise<void> {
    if (this.#readingAhead) return
    this.#readingAhead = true
    try {
      while (this.#grants && !this.volume.hasApplied(this.#ahead)) await this.volume.applyTo(new Map(this.#ahead))
    } catch (error) {
      if (!isMatrixError(error, 'withdrawn'))
        this.#host.log.warn({ error: String(error) }, 'reading ahead in peers’ journals failed')
    } finally {
      this.#readingAhead = false
    }
  }

  /** This node no longer trusts its state of the filesystem: nothing of it is used from now on, and the node has to come back. */
  withdraw(error: Error): void {
    if (this.#end(error)) this.#host.onFatal(this.record, error)
  }

  /** The filesystem is in error, for all nodes: nothing of it is used from now on, and the node goes on without it (R61, R62). */
  isolate(): void {
    const error = new MatrixError('withdrawn', `filesystem ${this.record.name} is in error and out of service`)
    this.#end(error)
    this.#host.log.error({ filesystem: this.record.name }, 'filesystem is in error: isolated')
  }

  /** False when it has ended before. */
  #end(error: Error): boolean {
    if (this.#state === 'withdrawn') return false
    this.#state = 'withdrawn'
    this.#timer?.cancel()
    this.#reopening?.cancel()
    this.locks.withdraw()
    this.fs.ranges.withdraw()
    this.volume.withdraw(error.message)
    return true
  }

  /** Clean leave: everything written, locks given back, the journal ended. */
  async close(): Promise<void> {
    this.#timer?.cancel()
    if (this.#state === 'withdrawn') return
    if (this.#started) {
      await this.#started
      await this.fs.stop()
    }
    await this.volume.close({ clean: true })
    this.#state = 'withdrawn'
  }

  #mustLive(): void {
    if (this.#state === 'withdrawn')
      throw new MatrixError('withdrawn', `this node has withdrawn from ${this.record.name}`)
  }
}

/** Where the journals of sealed incarnations end, the latest per slot. */
export function endsOfSealed(record: FilesystemRecord): Vector {
  return maximum(...record.seals.map((seal) => new Map([[seal.slot, seal.lsn]])))
}

/** Where a new incarnation's journal begins: at the seal of the one before it, 0 for a slot's first. */
export function ownStart(record: FilesystemRecord, slot: Slot, incarnation: Incarnation): Lsn {
  const own = record.seals.filter((seal) => seal.slot === slot)
  for (const seal of own) {
    assert(seal.incarnation < incarnation, `${record.name}: incarnation ${incarnation} of slot ${slot} has been sealed`)
  }
  return Math.max(0, ...own.map((seal) => seal.lsn))
}
