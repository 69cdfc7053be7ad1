/**
 * One run of one verb. A verb is a *restartable synchronous function*: it says which locks it needs as it finds out, looks
 * at inodes and names, gathers mutations, and commits them in one transaction at its end. When something is missing (a lock,
 * file content, space) it is noted and RESTART is thrown; `run.ts` gets it and calls the function again from its start.
 *
 * Invariants: (1) a verb changes nothing, in memory or image, before all it needs is there. (2) Between the last lock check
 * and the commit no other code runs. (3) All locks a restarted verb needs are acquired together, in canonical order.
 */

import { assert } from '../../base/assert.ts'
import { brokenRules } from '../../base/broken-rules.ts'
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import { coversMode, EX, type Hold, inodeLock, type Mode, PR, type ResourceId } from '../../locking/index.ts'
import { CHUNK_BYTES, type Chunk } from '../cache/chunk.ts'
import { discardFrom } from '../cache/discard.ts'
import { ExtentMap } from '../cache/extent-map.ts'
import type { CachedInode, Entry, MutableRecord } from '../cache/inode.ts'
import type { StagedContent } from '../cache/staged-content.ts'
import type { RequestId } from '../image/done-requests.ts'
import { DIR, type FileName, type FileType, type Mutation } from '../image/mutation.ts'
import type { Mount } from './mount.ts'

/**
 * Thrown instead of a verb's answer: exactly this request has been done already, at whatever node, and what it has changed is in the
 * image. `made`: the inode that it made or opened, 0 when it made none; perhaps it is gone meanwhile.
 */
export class DoneAlready extends Error {
  override readonly name = 'DoneAlready'
  readonly made: Ino | 0
  constructor(made: Ino | 0) {
    super('this request has been done already')
    this.made = made
  }
}

/** Thrown by a verb that must be run again once what it noted is there. Not an error; never leaves run.ts. */
export const RESTART = Symbol('restart')

type NameChange = { readonly dir: CachedInode; readonly name: FileName; readonly entry: Entry | undefined }

export class Op {
  readonly mount: Mount
  /** Locks this verb was found to need, with the mode. */
  readonly wanted = new Map<ResourceId, Mode>()
  /** What to wait for before the next run; with the locks pinned, or without any. */
  wait: (() => Promise<unknown>) | undefined
  waitPinned = true
  #missing = false
  /** Locks this run found cached: pairs of id and mode. */
  readonly #used: number[] = []
  #pins: Hold[] = []
  /** Locks taken beside them, out of order: no lock is waited for with these in hand. */
  #extra: Hold[] = []
  /** The answer to such a wish while it is on its way. It may bring a hold, so that it is never forgotten. */
  #asked: Promise<Hold | undefined> | undefined
  readonly #refused = new Set<ResourceId>()
  readonly #kept: Chunk[] = []
  /** The number of the inode that this verb makes; the same in every run. */
  #fresh: Ino = 0
  #hasRoom = false
  /** Who may ask for this again, and by which number: recorded with the change. */
  request: RequestId | undefined
  /** The inode that the request is about, when the verb made none. */
  made: Ino | 0 = 0

  readonly #mutations: Mutation[] = []
  readonly #drafts: MutableRecord[] = []
  readonly #drafted: CachedInode[] = []
  readonly #names: NameChange[] = []
  readonly #removed: CachedInode[] = []
  readonly #orphaned: Ino[] = []
  readonly #unmapped: CachedInode[] = []
  #placed: StagedContent | undefined

  constructor(mount: Mount) {
    this.mount = mount
  }

  // ── locks ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The lock is held from here to the end of this run, or the verb starts again. */
  lock(rid: ResourceId, mode: Mode): void {
    if (!this.want(rid, mode)) throw RESTART
  }

  /** Notes a lock without starting again at once, so that several are acquired together (`ready`). True when it is held. */
  want(rid: ResourceId, mode: Mode): boolean {
    if (this.#pinned(rid, mode)) return true
    if (this.mount.locks.holds(rid, mode)) {
      this.#used.push(rid, mode)
      return true
    }
    this.#note(rid, mode)
    this.#missing = true
    return false
  }

  /** Starts again when something noted by `want` is missing. */
  ready(): void {
    if (this.#missing) throw RESTART
  }

  /** Takes a lock if no other node stands against it; never waits for one. */
  tryLock(rid: ResourceId, mode: Mode): boolean {
    if (this.mount.locks.holds(rid, mode) || brokenRules.openStays) return true
    if (this.#hasExtra(rid)) return true
    if (this.#refused.has(rid)) return false
    return this.#ask(rid, this.mount.locks.acquire(rid, mode, { noQueue: true }))
  }

  /**
   * A pin of this verb's own that outlives it, on a lock it has (`lock`): the caller releases it. Only as the last step before the
   * verb's end.
   */
  keep(rid: ResourceId, mode: Mode): Hold {
    const index = this.#pins.findIndex((hold) => hold.rid === rid)
    if (index >= 0) return this.#pins.splice(index, 1)[0] as Hold
    const hold = this.mount.locks.acquire(rid, mode)
    if (!isPromise(hold)) return hold
    // another node wants it and a user here still has it: it is acquired anew, with all others
    return this.waitFor(() => hold.then((held) => held.release()), { pinned: false })
  }

  /** True when the answer is there and is a hold; when it is on its way, the verb starts again once it came. */
  #ask(rid: ResourceId, answer: MaybePromise<Hold | undefined>): boolean {
    if (!isPromise(answer)) return this.#take(rid, answer)
    assert(!this.#asked, 'one answer is awaited at a time')
    this.#asked = answer
    return this.waitFor(async () => {
      const hold = await answer
      if (this.#asked !== answer) return // given up meanwhile, and released there
      this.#asked = undefined
      this.#take(rid, hold)
    })
  }

  #take(rid: ResourceId, hold: Hold | undefined): boolean {
    if (hold) this.#extra.push(hold)
    else this.#refused.add(rid)
    return hold !== undefined
  }

  #hasExtra(rid: ResourceId): boolean {
    return this.#extra.some((hold) => hold.rid === rid)
  }

  /** Starts again after `start`'s promise. Unless `pinned`, no lock is kept meanwhile: waiting for space must not hold others up. */
  waitFor(start: () => Promise<unknown>, { pinned = true } = {}): never {
    this.wait = start
    this.waitPinned = pinned
    throw RESTART
  }

  // ── inodes ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The inode under its lock. Throws ESTALE when there is none; DoneAlready when the verb's request has been done. A verb's first
   * exclusive lock is one that it had in hand when it was done before: so with the lock came whatever there is to know.
   */
  inode(ino: Ino, mode: Mode): CachedInode {
    this.lock(inodeLock(ino), mode)
    if (this.request && mode === EX) this.#needNotDone(this.request)
    const inode = this.mount.inodes.get(ino)
    if (!inode) throw new FsError('ESTALE')
    return inode
  }

  /** A directory under its lock. Throws ESTALE or ENOTDIR. */
  directory(ino: Ino, mode: Mode): CachedInode {
    const inode = this.inode(ino, brokenRules.rowHasOneLock ? PR : mode)
    if (inode.type !== DIR) throw new FsError('ENOTDIR')
    return inode
  }

  #needNotDone(request: RequestId): void {
    const made = brokenRules.doneIsLookedUp ? undefined : this.mount.volume.image.done.find(request)
    if (made !== undefined) throw new DoneAlready(made)
  }

  entry(dir: CachedInode, name: FileName): Entry | undefined {
    return this.mount.inodes.entry(dir, name)
  }

  /** The number of the inode to be made, locked: nobody else can know it yet. */
  freshIno(): Ino {
    if (this.#fresh === 0) this.#fresh = this.mount.numbers.take()
    const rid = inodeLock(this.#fresh)
    if (!this.mount.locks.holds(rid, EX) && !this.#hasExtra(rid)) this.#ask(rid, this.mount.locks.acquire(rid, EX))
    return this.#fresh
  }

  /** Waits until no I/O is under way on the inode's content: before blocks are unmapped. */
  quiet(inode: CachedInode): void {
    const { cleaning, loading } = inode
    if (cleaning) this.waitFor(() => cleaning.catch(() => {}))
    if (loading && loading.size > 0) this.waitFor(() => Promise.allSettled(loading.values()))
  }

  /** Starts again once bytes `from` … `to`-1 are in memory, and keeps them there until this verb ends, however small the cache. */
  waitForContent(inode: CachedInode, from: number, to: number): never {
    const { loader, data } = this.mount
    this.waitFor(async () => {
      await loader.load(inode, from, to)
      for (let index = Math.floor(from / CHUNK_BYTES); index * CHUNK_BYTES < to; index++) {
        const chunk = data.chunk(inode, index)
        if (!chunk) continue
        chunk.busy++
        this.#kept.push(chunk)
      }
    })
  }

  // ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The row of an inode to change; it becomes the inode's at `commit`. */
  edit(inode: CachedInode): MutableRecord {
    const index = this.#drafted.indexOf(inode)
    if (index >= 0) return this.#drafts[index] as MutableRecord
    const draft = inode.record()
    this.#drafted.push(inode)
    this.#drafts.push(draft)
    return draft
  }

  push(mutation: Mutation): void {
    this.#mutations.push(mutation)
  }

  /** Gives a name in `dir`; what the name meant before is replaced. */
  putEntry(dir: CachedInode, name: FileName, ino: Ino, type: FileType): void {
    const cookie = this.edit(dir).nextCookie++
    this.#mutations.push({ op: 'putDirent', dir: dir.ino, name, cookie, ino, type })
    this.#names.push({ dir, name, entry: { ino, type, cookie } })
  }

  removeEntry(dir: CachedInode, name: FileName): void {
    this.#mutations.push({ op: 'removeDirent', dir: dir.ino, name })
    this.#names.push({ dir, name, entry: undefined })
  }

  /** The inode's row goes, and its dead properties; it must have no extents left. */
  removeInode(inode: CachedInode): void {
    const { ino } = inode
    for (const name of this.mount.volume.image.deadProperties(ino).keys())
      this.#mutations.push({ op: 'removeDeadProperty', ino, name })
    this.#mutations.push({ op: 'removeInode', ino: inode.ino })
    this.#removed.push(inode)
  }

  /** The inode has no name left but is in use: the reaper gets it. */
  orphan(inode: CachedInode): void {
    this.#mutations.push({ op: 'putOrphan', slot: this.mount.volume.slot, ino: inode.ino })
    this.#orphaned.push(inode.ino)
  }

  /** Unmaps up to `limit` extents from the end down to `fromBlock`; true when none is left there. */
  unmap(inode: CachedInode, fromBlock: number, limit: number): boolean {
    if (inode.extents.lastBlock <= fromBlock) return true
    this.#unmapped.push(inode)
    const slot = this.mount.volume.slot
    for (const run of inode.extents.truncate(inode.ino, fromBlock, limit, this.#mutations)) {
      this.#mutations.push({ op: 'putFreed', slot, address: run.address, count: run.count })
    }
    return inode.extents.lastBlock <= fromBlock
  }

  /** The new inode has this content. The last step before `commit`: nothing is waited for with space of it in use and not committed. */
  place(inode: CachedInode, content: StagedContent): void {
    assert(this.#hasRoom, 'there is room in the journal for what is placed')
    content.place(inode, this.#mutations)
    this.#placed = content
  }

  /**
   * Commits all changes in one transaction: image first, then what is cached; with them, that the verb's request is done. Throws
   * FsError ENOSPC with nothing changed.
   */
  commit(): void {
    this.#commit(this.request)
  }

  /** The same for a part of what the request asks for: it is not done yet. */
  commitPart(): void {
    this.#commit(undefined)
  }

  #commit(request: RequestId | undefined): void {
    const { volume, numbers, inodes, reclaimer, done } = this.mount
    this.#needRoom()
    const mutations: Mutation[] = []
    for (const inode of this.#drafts) mutations.push({ op: 'putInode', inode })
    mutations.push(...this.#mutations)
    if (this.#fresh !== 0) numbers.reserve(mutations)
    if (request && !brokenRules.doneWithItsChange) mutations.push(done.record(request, this.made || this.#fresh))
    try {
      volume.commit(mutations)
    } catch (error) {
      this.#placed?.notPlaced()
      this.#forgetChanges()
      throw error
    }
    if (this.#fresh !== 0) numbers.reserved()
    if (request) {
      if (brokenRules.doneWithItsChange) this.#recordLater(request, this.made || this.#fresh)
      else done.recorded()
    }
    for (let i = 0; i < this.#drafts.length; i++) {
      const inode = this.#drafted[i] as CachedInode
      inode.committed(this.#drafts[i] as MutableRecord)
    }
    for (const { dir, name, entry } of this.#names) inodes.setEntry(dir, name, entry)
    for (const inode of this.#removed) {
      discardFrom(this.mount, inode, 0)
      inodes.drop(inode)
      this.mount.cleaner.forget(inode)
    }
    for (const ino of this.#orphaned) this.mount.noteOrphan(ino)
    if (this.#unmapped.length > 0) reclaimer.note()
    this.#unmapped.length = 0
    this.#forgetChanges()
  }

  /** What breaking the rule `doneWithItsChange` means. */
  #recordLater(request: RequestId, made: Ino | 0): void {
    const { volume, done } = this.mount
    volume.afterDurable(() => {
      volume.commit([done.record(request, made)])
      done.recorded()
    })
  }

  /** For a verb that leaves something to be journaled later. Throws FsError ENOSPC when the journal has no room, and none came. */
  needJournal(): void {
    this.#needRoom()
    if (!this.mount.volume.hasRoom) throw new FsError('ENOSPC', 'the journal is full')
  }

  /** Once per verb, before its first commit: the journal may want to wait for a checkpoint. */
  #needRoom(): void {
    if (this.#hasRoom) return
    this.#hasRoom = true
    const room = this.mount.volume.room()
    if (isPromise(room)) this.waitFor(() => room, { pinned: false })
  }

  // ── for run.ts ───────────────────────────────────────────────────────────────────────────────────────────────────

  pin(holds: readonly Hold[]): void {
    assert(this.#pins.length === 0, 'locks are pinned once')
    this.#pins = [...holds]
  }

  get isPinned(): boolean {
    return this.#pins.length > 0
  }

  /** Gives up all claims; the locks stay cached. */
  unpin(): void {
    for (const hold of this.#pins) hold.release()
    for (const hold of this.#extra) hold.release()
    if (this.#pins.length > 0) this.#pins = []
    if (this.#extra.length > 0) this.#extra = []
    if (this.#refused.size > 0) this.#refused.clear() // a Map or Set that is cleared gets a new table
    this.#asked?.then(
      (hold) => hold?.release(),
      () => {}, // there is nothing to give up
    )
    this.#asked = undefined
  }

  /** Forgets what an interrupted run has gathered. True when locks were missing. */
  rewind(): boolean {
    const missing = this.#missing
    this.#missing = false
    for (let i = 0; i < this.#used.length; i += 2) this.#note(this.#used[i] as ResourceId, this.#used[i + 1] as Mode)
    this.#used.length = 0
    this.#forgetChanges()
    return missing
  }

  /** Ready for another verb. */
  reset(): void {
    this.unpin()
    for (const chunk of this.#kept) chunk.busy--
    this.#kept.length = 0
    this.#missing = false
    this.#used.length = 0
    this.#forgetChanges()
    if (this.wanted.size > 0) this.wanted.clear()
    this.wait = undefined
    this.#fresh = 0
    this.#hasRoom = false
    this.request = undefined
    this.made = 0
  }

  #note(rid: ResourceId, mode: Mode): void {
    const noted = this.wanted.get(rid)
    if (noted === undefined || !(coversMode[noted] as readonly boolean[])[mode]) this.wanted.set(rid, mode)
  }

  /** Nothing of what was gathered happens: extents that `unmap` took out of memory are as the image has them. */
  #forgetChanges(): void {
    for (const inode of this.#unmapped) inode.extents = ExtentMap.from(this.mount.volume.image.extents(inode.ino))
    this.#mutations.length = 0
    this.#drafts.length = 0
    this.#drafted.length = 0
    this.#names.length = 0
    this.#removed.length = 0
    this.#orphaned.length = 0
    this.#unmapped.length = 0
    this.#placed = undefined
  }

  #pinned(rid: ResourceId, mode: Mode): boolean {
    for (const hold of this.#pins)
      if (hold.rid === rid) return (coversMode[hold.mode] as readonly boolean[])[mode] as boolean
    return false
  }
}
