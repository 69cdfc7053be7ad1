/**
 * A mounted filesystem's metadata on this node: image, own journal, peers' journals, checkpoints (ARCHITECTURE.md 2).
 *
 * Life: open (newest checkpoint) → seals and incarnations from recovery, findEnd of whoever is not sealed yet → applyTo the
 * seals → startWriting → commit, applyTo, tail, checkpoint … → close; or withdraw at any time: the image is dropped, everybody
 * who waits gets an error, and the node mounts anew.
 *
 * Invariants
 * 1. `image.vector` names only durable frames of peers: they come from lock values, from dependencies of durable frames, or
 *    are followed by another frame (journal/format.ts, invariant 2). Of the own journal it names what was handed over.
 * 2. Two volumes at one vector have equal images, row for row.
 * 3. One catch-up, reload or search runs at a time (#serial). Verbs run between frames.
 * 4. A reload builds the new image beside the old one, to at least the old one's vector, and takes its place within one turn.
 *    Own transactions committed meanwhile are repeated on it: holders of `image` never see it go back.
 */

import { assert, InvariantError } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { isFsError, isMatrixError, MatrixError } from '../base/errors.ts'
import type { Incarnation, Lsn, Slot } from '../base/ids.ts'
import type { MaybePromise } from '../base/maybe-promise.ts'
import { Turns } from '../base/turns.ts'
import { covers, coversBut, formatVector, type MutableVector, maximum, type Vector } from '../base/vector.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Threads } from '../platform/threads.ts'
import type { FilesystemRecord, Lun, Seal } from '../san/index.ts'
import { CatchUp, type Progress } from './catch-up.ts'
import { loadNewestImage } from './checkpoint/newest-image.ts'
import { type PackedImage, packAside } from './checkpoint/pack.ts'
import { CheckpointStore, type Published } from './checkpoint/store.ts'
import { FsLayout, maxFiles } from './fs-layout.ts'
import { type Done, GroupCommit } from './group-commit.ts'
import { apply } from './image/apply.ts'
import { CommitPacer } from './image/commit-pacer.ts'
import type { Image } from './image/image.ts'
import type { Mutation } from './image/mutation.ts'
import { Ownership } from './journal/ownership.ts'
import { JournalReader } from './journal/reader.ts'
import { Strays, type StraysOptions } from './journal/strays.ts'
import { JournalWriter } from './journal/writer.ts'
import { JournalRoom } from './journal-room.ts'
import type { VolumeApi } from './volume-api.ts'

export type VolumeOptions = {
  /** The filesystem's LUNs, in the record's order, with its holes. */
  readonly luns: readonly (Lun | undefined)[]
  readonly record: FilesystemRecord
  readonly slot: Slot
  readonly incarnation: Incarnation
  /** ':memory:', or a path where no file is: asked for each image that is built, while the one before is in use. */
  readonly newImageFile: () => string
  readonly clock: Clock
  readonly log: Log
  /** For work that would hold up this one. */
  readonly threads?: Threads
  /** The current incarnation of a slot, as far as known at the start; `setIncarnation` tells later changes. */
  readonly incarnations?: (slot: Slot) => Incarnation | undefined
  /** The volume has withdrawn by itself: journal or image cannot be trusted any more. */
  readonly onFatal: (error: Error) => void
  /** The own journal wants room: take lock C:0 and call `checkpoint`. Repeated until one is published. */
  readonly requestCheckpoint: () => void
}

/** Reloads in a row before the journal is believed to be damaged. */
const MAX_RELOADS = 8
/** Frames that one round of `tail` applies of one slot, so that lock users wait for it only shortly. */
const TAIL_FRAMES = 64

export class Volume implements VolumeApi {
  readonly slot: Slot
  readonly layout: FsLayout
  readonly maxFiles: number
  readonly #options: VolumeOptions
  readonly #lun: Lun
  readonly #store: CheckpointStore
  readonly #ownership = new Ownership()
  readonly #readers = new Map<Slot, JournalReader>()
  readonly #catchUp: CatchUp
  readonly #pacer: CommitPacer
  readonly #room: JournalRoom
  #image!: Image
  #writer: JournalWriter | undefined
  #group: GroupCommit | undefined
  #withdrawn: MatrixError | undefined
  readonly #turns = new Turns()
  /** The last answer of `durableVector`: handed out, never changed. */
  #durableVector: Vector = new Map()
  #reloads = 0

  private constructor(options: VolumeOptions) {
    this.#options = options
    this.slot = options.slot
    this.layout = new FsLayout(
      options.record,
      options.luns.map((lun) => lun?.size),
    )
    this.maxFiles = maxFiles(options.record)
    this.#lun = options.luns[0] as Lun
    this.#store = new CheckpointStore(this.#lun, this.layout)
    this.#ownership.setSeals(options.record.seals)
    for (let slot = 0; slot < options.record.slots; slot++) {
      // not the own one yet: what is in the own journal is of the one before
      const incarnation = slot === options.slot ? undefined : options.incarnations?.(slot)
      if (incarnation !== undefined) this.#ownership.setIncarnation(slot, incarnation)
    }
    this.#catchUp = new CatchUp({
      reader: (slot) => this.#reader(slot),
      store: this.#store,
      slots: options.record.slots,
      clock: options.clock,
      settle: (image) => this.#frameEnd(image),
    })
    this.#pacer = new CommitPacer(options.clock, () => this.#frameEnd(this.#image))
    this.#room = new JournalRoom({
      slot: options.slot,
      ringBytes: options.record.journalBytes,
      clock: options.clock,
      request: options.requestCheckpoint,
    })
  }

  /** Loads the newest checkpoint; journals are read once it is known whose frames count. Throws MatrixError 'checkpoint-damaged', 'journal-damaged', 'lun-io'. */
  static async open(options: VolumeOptions): Promise<Volume> {
    const volume = new Volume(options)
    volume.#image = await volume.#loadNewest()
    volume.#image.onDamage = (error) => volume.#fail('the image is damaged', error)
    return volume
  }

  // ── own changes (VolumeApi) ──────────────────────────────────────────────────────────────────────────────────────

  get image(): Image {
    this.#check()
    return this.#image
  }

  get record(): FilesystemRecord {
    return this.#options.record
  }

  commit(mutations: readonly Mutation[]): void {
    this.#check()
    try {
      this.#own().commit(mutations)
    } catch (error) {
      if (isFsError(error)) throw error
      this.#check()
      this.#fail('a transaction does not fit the image', error)
      throw new InvariantError(`a transaction of this node does not fit its own image: ${String(error)}`)
    }
  }

  afterDurable(done: Done): void {
    if (this.#withdrawn) done(this.#withdrawn)
    else if (this.#group) this.#group.afterDurable(done)
    else done()
  }

  flush(): Promise<void> {
    return new Promise((resolve, reject) => this.afterDurable((error) => (error ? reject(error) : resolve())))
  }

  room(): MaybePromise<void> {
    return this.#room.wait()
  }

  get hasRoom(): boolean {
    return this.#group === undefined || this.#group.hasRoom
  }

  durableVector(): Vector {
    const { vector } = this.image
    const own =
      (brokenRules.onlyDurableNamed ? this.#writer?.next : this.#writer?.durable) ?? vector.get(this.slot) ?? 0
    // a thousand locks that go in one turn share one vector
    const last = this.#durableVector
    if (last.get(this.slot) === own && last.size === vector.size && coversBut(this.slot, last, vector)) return last
    const fresh: MutableVector = new Map(vector)
    fresh.set(this.slot, own)
    this.#durableVector = fresh
    return fresh
  }

  // ── peers' changes ───────────────────────────────────────────────────────────────────────────────────────────────

  hasApplied(vector: Vector): boolean {
    return covers(this.image.vector, vector)
  }

  /** `judged`: damage is for the caller to judge, and the volume stays as it is. */
  async applyTo(vector: Vector, damage?: 'judged' | 'fatal'): Promise<void> {
    if (this.hasApplied(vector)) return
    await this.#serial(() => this.#reach(vector), damage)
  }

  /** Applies one slot's journal up to `lsn`, which is known durable. */
  readTo(slot: Slot, lsn: Lsn): Promise<void> {
    return this.applyTo(new Map([[slot, lsn]]))
  }

  /** In the background: applies whatever peers have that is known durable: by `hint`, by a seal, or because another frame follows it. */
  async tail(hint: Vector = new Map()): Promise<void> {
    await this.#serial(async () => {
      await this.#reach(maximum(hint, this.#ownership.ends()))
      for (let slot = 0; slot < this.record.slots; slot++) {
        if (slot === this.slot && this.#writer) continue
        for (;;) {
          const frames = await this.#catchUp.follow(this.#image, slot, TAIL_FRAMES)
          this.#check()
          if (frames === 'lapped') await this.#reload()
          else if (frames < TAIL_FRAMES) break
        }
      }
    })
  }

  /**
   * Recovery: finds the end of the journal of a dead (or cleanly left) incarnation, makes sure that it is on stable storage up to there,
   * applies it, and gives the end. A frame that is missing there and lies elsewhere is brought home, or reported when nothing is to be written. Own changes may go on meanwhile. When that incarnation is sealed already, the end is its seal. Damage is for the caller to judge: it rejects with
   * 'journal-damaged' or 'checkpoint-damaged', and the volume stays as it is.
   */
  async findEnd(slot: Slot, incarnation: Incarnation, found: StraysOptions['found'] = 'bring home'): Promise<Lsn> {
    return (await this.findEnds([{ slot, incarnation }], found))[0] as Lsn
  }

  /** `findEnd` for several, in their order; the rings are looked through for strays once. */
  async findEnds(
    lives: readonly { readonly slot: Slot; readonly incarnation: Incarnation }[],
    found: StraysOptions['found'] = 'bring home',
  ): Promise<Lsn[]> {
    const { log } = this.#options
    const strays = new Strays({
      lun: this.#lun,
      layout: this.layout,
      ownership: this.#ownership,
      own: this.slot,
      log,
      found,
    })
    const ends: Lsn[] = []
    for (const { slot, incarnation } of lives) ends.push(await this.#findEnd(slot, incarnation, strays))
    return ends
  }

  #findEnd(slot: Slot, incarnation: Incarnation, strays: Strays): Promise<Lsn> {
    return this.#serial(async () => {
      const sealed = this.#ownership.sealOf(slot, incarnation)
      if (sealed) {
        await this.#reach(new Map([[slot, sealed.lsn]]))
        return sealed.lsn
      }
      this.setIncarnation(slot, incarnation)
      for (let attempt = 0; attempt < MAX_RELOADS; attempt++) {
        const end = await this.#catchUp.findEnd(this.#image, slot, strays)
        this.#check()
        // own frames may depend on these as soon as they are applied: the dead node may not have waited for the last one
        if (end !== 'lapped' && !brokenRules.foundIsDurable) await this.#lun.flush()
        if (end !== 'lapped' && (await this.#catchUp.reach(this.#image, new Map([[slot, end]]))) === 'done') {
          this.#check()
          if (brokenRules.foundIsDurable) await this.#lun.flush()
          return end
        }
        this.#check()
        await this.#reload()
      }
      throw new MatrixError(
        'journal-damaged',
        `journal of slot ${slot}: its end was not found in ${MAX_RELOADS} attempts`,
      )
    }, 'judged')
  }

  /** How far the journal of a slot is known to reach: the own durable end, what is applied of peers. */
  endOf(slot: Slot): Lsn {
    return slot === this.slot && this.#writer ? this.#writer.durable : (this.image.vector.get(slot) ?? 0)
  }

  setSeals(seals: readonly Seal[]): void {
    this.#ownership.setSeals(seals)
    for (const reader of this.#readers.values()) reader.forget()
  }

  setIncarnation(slot: Slot, incarnation: Incarnation): void {
    this.#ownership.setIncarnation(slot, incarnation)
    this.#readers.get(slot)?.forget()
  }

  // ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** From now on this node may change things; its journal goes on at `lsn`, where the previous incarnation's was sealed. */
  startWriting(lsn: Lsn): void {
    const applied = this.image.vector.get(this.slot) ?? 0
    assert(!this.#writer, 'the volume writes already')
    assert(applied === lsn, `slot ${this.slot}: applied up to ${applied}, the journal was sealed at ${lsn}`)
    const { clock, incarnation, record } = this.#options
    this.setIncarnation(this.slot, incarnation)
    this.#writer = new JournalWriter({
      ...{ lun: this.#lun, layout: this.layout, slot: this.slot, incarnation, at: lsn },
      trimmedTo: this.#room.trimLsn,
      onDurable: (durable) => this.#group?.durable(durable),
      onFailure: (error) => !brokenRules.failedWriteWithdraws && this.#fail('the journal could not be written', error),
    })
    this.#group = new GroupCommit({
      ...{ slot: this.slot, image: this.#image, writer: this.#writer, clock, ringBytes: record.journalBytes },
      handedOver: () => {
        this.#frameEnd(this.#image)
        this.#room.askWhenDue()
      },
    })
    this.#room.start(this.#writer)
  }

  /** True when a checkpoint would give the own journal room. */
  get checkpointDue(): boolean {
    return this.#room.isDue
  }

  /**
   * Publishes a checkpoint; the caller holds lock C:0, or nobody else can publish. The image is taken when it equals a vector, and published once all of
   * that is durable. Throws MatrixError 'no-space' when the metadata has outgrown the checkpoint area.
   */
  async checkpoint(damage?: 'judged' | 'fatal'): Promise<Published> {
    try {
      const newest = (await this.#store.manifests())[0]
      if (newest) await this.applyTo(newest.vector, damage)
      this.#check()
      const sequence = Math.max(newest?.sequence ?? 0, this.newestPublished?.sequence ?? 0) + 1
      const packed = await this.#pack()
      const { vector, imageBytes } = packed
      if (!brokenRules.checkpointDurable) await this.flush()
      this.#check()
      await this.#store.publish(this.slot, sequence, packed, this.#ownership.seals())
      this.#options.log.info({ sequence, vector: formatVector(vector), bytes: imageBytes }, 'checkpoint published')
      this.notePublished(sequence, vector)
      return { sequence, vector }
    } catch (error) {
      if (isMatrixError(error, 'image-damaged')) this.#fail('no checkpoint is made of a damaged image', error)
      throw error
    } finally {
      this.#room.forgetAsking()
    }
  }

  async #pack(): Promise<PackedImage> {
    for (;;) {
      this.#check()
      this.#group?.handOver()
      this.#image.commit()
      const { file } = this.#image
      try {
        return await packAside(this.#image, this.#options.threads)
      } catch (error) {
        this.#check()
        // a lapped reader has put another image in this one's place
        if (this.#image.file === file) throw error
      }
    }
  }

  /** Somebody published a checkpoint: the own journal may be trimmed further. */
  notePublished(sequence: number, vector: Vector): void {
    this.#room.note(sequence, vector)
  }

  /** The newest published checkpoint that this node knows of. */
  get newestPublished(): Published | undefined {
    return this.#room.newest
  }

  /** Drops the image and stops writing; what is under way may land. Everybody who waits gets MatrixError 'withdrawn'. */
  withdraw(reason = 'the node has withdrawn from the filesystem', cause?: unknown): void {
    if (this.#withdrawn) return
    const error = new MatrixError('withdrawn', reason, { cause })
    this.#withdrawn = error
    this.#writer?.stop()
    this.#group?.stop(error)
    this.#pacer.stop()
    this.#room.stop()
    this.#image.close()
  }

  /** `clean`: everything committed is durable first. */
  async close({ clean }: { readonly clean: boolean }): Promise<void> {
    if (clean && !this.#withdrawn) {
      this.#group?.handOver()
      await this.flush()
      await this.#serial(async () => {})
    }
    this.withdraw('the filesystem is closed')
  }

  /** The file of the image in use; ':memory:' when there is none. */
  get imageFile(): string {
    return this.#image.file
  }

  /** Equal for two volumes at one vector; only without own changes on their way (after `flush`). */
  hash(): string {
    return this.image.hash()
  }

  stats() {
    const readers = [...this.#readers.values()]
    const sum = (pick: (reader: JournalReader) => number) => readers.reduce((total, reader) => total + pick(reader), 0)
    return {
      vector: this.#withdrawn ? '' : formatVector(this.#image.vector),
      transactions: this.#group?.transactions ?? 0,
      framesWritten: this.#writer?.frames ?? 0,
      journalBytesWritten: this.#writer?.bytesWritten ?? 0,
      journalUsed: this.#writer?.used ?? 0,
      framesApplied: this.#catchUp.frames,
      mutationsApplied: this.#catchUp.mutations,
      journalReads: sum((reader) => reader.reads),
      journalBytesRead: sum((reader) => reader.bytesRead),
      reloads: this.#reloads,
      checkpoint: this.newestPublished?.sequence ?? 0,
    }
  }

  // ── within ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #check(): void {
    if (this.#withdrawn) throw this.#withdrawn
  }

  /** A moment to commit, unless own changes share the transaction: a whole frame of them has to be in it. */
  #frameEnd(image: Image): void {
    try {
      if (image !== this.#image) image.commit()
      else if (!this.#withdrawn && !this.#group?.isCollecting) this.#pacer.frameEnd(image)
    } catch (error) {
      if (!this.#withdrawn) throw error // what has ended the volume is told already
    }
  }

  #own(): GroupCommit {
    assert(this.#group, 'the volume does not write yet')
    return this.#group
  }

  #reader(slot: Slot): JournalReader {
    let reader = this.#readers.get(slot)
    if (!reader) this.#readers.set(slot, (reader = new JournalReader(slot, this.#lun, this.layout, this.#ownership)))
    return reader
  }

  /** One after another; damage ends the volume unless it is `judged` by the caller, an I/O error only this call. */
  #serial<T>(run: () => Promise<T>, damage: 'fatal' | 'judged' = 'fatal'): Promise<T> {
    return this.#turns.take(async () => {
      this.#check()
      try {
        return await run()
      } catch (error) {
        this.#check()
        const isJudged = damage === 'judged' && isMatrixError(error, 'journal-damaged', 'checkpoint-damaged')
        if (!isJudged && !isMatrixError(error, 'lun-io', 'fenced')) this.#fail('a journal could not be applied', error)
        throw error
      }
    })
  }

  async #reach(target: Vector): Promise<void> {
    for (let attempt = 0; attempt < MAX_RELOADS; attempt++) {
      const progress = await this.#catchUp.reach(this.#image, target)
      this.#check()
      if (progress === 'done') return
      await this.#reload()
    }
    throw new MatrixError('journal-damaged', `${formatVector(target)} was not reached in ${MAX_RELOADS} reloads`)
  }

  /** A lapped reader starts from the newest checkpoint (invariant 4). */
  async #reload(): Promise<void> {
    this.#reloads++
    this.#options.log.info({ vector: formatVector(this.#image.vector) }, 'lapped: loading the newest checkpoint')
    this.#group?.handOver()
    const had: Vector = new Map(this.#image.vector)
    const recorded: (readonly Mutation[])[] = []
    if (this.#group) this.#group.recording = recorded
    try {
      await this.flush() // own frames are read back from the LUN
      let fresh: Image
      let progress: Progress
      let attempts = 0
      do {
        if (attempts++ === MAX_RELOADS) throw new MatrixError('journal-damaged', 'lapped again and again')
        fresh = await this.#loadNewest()
        progress = brokenRules.reloadCatchesUp ? 'done' : await this.#catchUp.reach(fresh, had)
        this.#check()
        if (progress === 'lapped') fresh.close()
      } while (progress === 'lapped')
      fresh.begin()
      for (const mutations of recorded) for (const mutation of mutations) apply(fresh, mutation)
      if (this.#writer) fresh.advance(this.slot, this.#writer.next)
      if (!this.#group?.isCollecting) fresh.commit()
      this.#image.adopt(fresh)
    } finally {
      if (this.#group) this.#group.recording = undefined
    }
  }

  async #loadNewest(): Promise<Image> {
    const { newImageFile, log, record } = this.#options
    const { image, published } = await loadNewestImage(this.#store, newImageFile, { log, name: record.name })
    this.#room.loaded(published)
    return image
  }

  #fail(message: string, cause: unknown): void {
    if (this.#withdrawn) return
    this.#options.log.error({ error: cause }, message)
    this.withdraw(message, cause)
    this.#options.onFatal(cause instanceof Error ? cause : (this.#withdrawn as unknown as Error))
  }
}
