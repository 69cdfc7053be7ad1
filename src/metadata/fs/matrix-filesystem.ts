/**
 * The Matrix Filesystem of one mounted filesystem on this node: what gateways call (`MatrixFs`), put together from volume,
 * locks, space and caches. Every verb is a file beside this one; here is only what surrounds it: running it, and waiting for
 * data where the caller wants it on the LUN.
 *
 *     constructed ──start──► serving ──stop──► stopped        serving ──withdraw──► stopped, nothing more is written
 */
import { brokenRules } from '../../base/broken-rules.ts'
import { isFsError, isMatrixError, MatrixError } from '../../base/errors.ts'
import type { Incarnation, Ino, Slot } from '../../base/ids.ts'
import { BLOCK_SIZE } from '../../base/limits.ts'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import type { Prng } from '../../base/prng.ts'
import type { Timings } from '../../base/timings.ts'
import { MiB } from '../../base/units.ts'
import { EX, type Hold, type LockCache, PR, resourceId, SETTINGS_LOCK, SLOT_LOCK } from '../../locking/index.ts'
import type { Clock, Log } from '../../platform/index.ts'
import type { Lun } from '../../san/index.ts'
import { blocksKnown, NewSpace } from '../alloc/new-space.ts'
import { Reclaimer } from '../alloc/reclaimer.ts'
import { Space } from '../alloc/space.ts'
import { Cleaner } from '../cache/cleaner.ts'
import { DataCache } from '../cache/data-cache.ts'
import { InodeCache } from '../cache/inode-cache.ts'
import { asOfNow } from '../cache/inode-snapshot.ts'
import { Loader } from '../cache/loader.ts'
import { LunIo } from '../cache/lun-io.ts'
import { StagedContent } from '../cache/staged-content.ts'
import type { RequestId } from '../image/done-requests.ts'
import type { FileName, FileType } from '../image/mutation.ts'
import { ClientRegistry, type Lives, type RangePeers, RangeService } from '../ranges/index.ts'
import type { VolumeApi } from '../volume-api.ts'
import { access } from './access.ts'
import { adoptSlot } from './adopt-slot.ts'
import { commitFile } from './commit-file.ts'
import { create } from './create.ts'
import { type DavFs, DavVerbs, LockSweeper } from './dav/index.ts'
import { DoneCells } from './done-cells.ts'
import { Drainer, type DrainProgress } from './drain.ts'
import { getattr } from './getattr.ts'
import { InodeNumbers } from './inode-numbers.ts'
import { link } from './link.ts'
import { registerCallouts } from './lock-callouts.ts'
import { lookup } from './lookup.ts'
import type {
  AttributeChanges,
  Caller,
  Changed,
  CreateAttributes,
  Created,
  CreateHow,
  DirChanged,
  DirListing,
  DirListingPlus,
  FsStatistics,
  Inode,
  ListingSeal,
  MatrixFs,
  ReadResult,
  Renamed,
  RenameHow,
  StoreHow,
} from './matrix-fs.ts'
import { mkdir } from './mkdir.ts'
import { mknod } from './mknod.ts'
import type { Mount } from './mount.ts'
import { DoneAlready } from './op.ts'
import { close, open } from './open-close.ts'
import { Reaper } from './orphans.ts'
import { read } from './read.ts'
import { isUnchanged, readdir, readdirplus } from './readdir.ts'
import { readlink } from './readlink.ts'
import { remember } from './remember.ts'
import { remove } from './remove.ts'
import { rename, Written } from './rename.ts'
import { rmdir } from './rmdir.ts'
import { asFsError, Runner } from './run.ts'
import { Scrubber, type ScrubProgress } from './scrub.ts'
import { setattr } from './setattr.ts'
import { statfs } from './statfs.ts'
import { store } from './store.ts'
import { symlink } from './symlink.ts'
import { write } from './write.ts'

const DEFAULT_DATA_CACHE_BYTES = 256 * MiB
const DEFAULT_CACHED_INODES = 200_000

export type MatrixFilesystemOptions = {
  readonly name: string
  readonly fsid: number
  readonly volume: VolumeApi
  readonly locks: LockCache
  /** In the order of the filesystem's record, with its holes. */
  readonly luns: readonly (Lun | undefined)[]
  readonly slot: Slot
  readonly incarnation: Incarnation
  readonly clock: Clock
  readonly prng: Prng
  readonly log: Log
  readonly timings: Timings
  readonly lives: Lives
  readonly rangePeers: RangePeers
  readonly limits?: {
    /** File content kept in memory, bytes. */
    readonly dataCacheBytes?: number
    readonly cachedInodes?: number
  }
}

/** A verb's result of which something may be late: in memory only, until the inode is cleaned. */
type Late = { readonly inode: Inode; readonly late: boolean }

export class MatrixFilesystem implements MatrixFs {
  readonly name: string
  readonly fsid: number
  readonly writeVerifier: Buffer
  readonly dav: DavFs
  readonly ranges: RangeService
  readonly clients: ClientRegistry
  readonly #slot: Slot
  readonly #mount: Mount
  readonly #runner: Runner
  readonly #reaper: Reaper
  readonly #sweeper: LockSweeper
  readonly #io: LunIo
  readonly #newSpace: NewSpace
  readonly #drainer: Drainer
  readonly #scrubber: Scrubber
  #ownSlot: Hold | undefined
  #stopped = false

  constructor(options: MatrixFilesystemOptions) {
    const { volume, locks, clock, log, limits } = options
    const { layout } = volume
    this.name = options.name
    this.fsid = options.fsid
    this.writeVerifier = options.prng.bytes(8)
    this.#slot = options.slot
    const data = new DataCache(limits?.dataCacheBytes ?? DEFAULT_DATA_CACHE_BYTES)
    const io = new LunIo(options.luns, layout)
    const inodes = new InodeCache(volume, data, limits?.cachedInodes ?? DEFAULT_CACHED_INODES)
    const space = new Space({ volume, layout, locks })
    const cleanAfterMs = options.timings.cleanAfterMs
    const cleaner = new Cleaner({
      volume,
      layout,
      space,
      cache: data,
      io,
      clock,
      log,
      cleanAfterMs,
      noteFreed: () => this.#mount.reclaimer.note(),
    })
    this.#io = io
    this.#newSpace = new NewSpace({ volume, layout, locks, space })
    this.#mount = {
      ...{ volume, locks, inodes, data, space, cleaner, clock, log },
      prng: options.prng.fork(),
      loader: new Loader(data, io),
      reclaimer: new Reclaimer({ volume, layout, locks, space, clock, log }),
      numbers: new InodeNumbers(volume),
      done: new DoneCells(volume, clock),
      open: new Map(),
      maxFiles: volume.maxFiles,
      noteOrphan: () => this.#reaper.note(),
    }
    this.#runner = new Runner(this.#mount)
    this.#reaper = new Reaper(this.#mount, (verb) => this.#runner.run(verb))
    this.#sweeper = new LockSweeper(this.#mount, (verb) => this.#runner.run(verb))
    this.dav = new DavVerbs((verb) => this.#runner.run(verb))
    this.#drainer = new Drainer(this.#mount, this.#newSpace, (verb) => this.#runner.run(verb))
    this.#scrubber = new Scrubber({ volume, locks, io, clock })
    this.clients = new ClientRegistry(volume)
    this.ranges = new RangeService({
      ...{ volume, locks, clock, log, lives: options.lives, peers: options.rangePeers },
      self: { slot: options.slot, incarnation: options.incarnation },
    })
    registerCallouts(locks, { volume, inodes, cleaner, clock, log })
  }

  // ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes the own slot's lock and goes on with what an earlier life of it left. Locks must be granted already. */
  async start(): Promise<void> {
    const { locks, numbers, done, volume, reclaimer, cleaner } = this.#mount
    this.#ownSlot = await locks.acquire(resourceId(SLOT_LOCK, this.#slot), EX)
    numbers.start()
    done.start()
    cleaner.start()
    this.#sweeper.start()
    this.ranges.start()
    if (volume.image.freed(this.#slot, 1).length > 0) reclaimer.note()
    if (volume.image.orphans(this.#slot, 1).length > 0) this.#reaper.note()
  }

  /** Everything written and durable, all locks given back. No verb may be under way. */
  async stop(): Promise<void> {
    const { cleaner, reclaimer, locks, open: opened, done } = this.#mount
    cleaner.stop()
    done.stop()
    await this.#sweeper.stop()
    await this.ranges.stop()
    await this.#reaper.stop()
    await reclaimer.stop()
    await this.sync()
    for (const { hold } of opened.values()) hold.release()
    opened.clear()
    this.#stopped = true
    this.#ownSlot?.release()
    this.#ownSlot = undefined
    await locks.surrenderAll()
  }

  /** The node no longer trusts this filesystem: stops what runs in the background; nothing is written. */
  withdraw(): void {
    this.#mount.done.stop()
    this.#mount.cleaner.stop()
    this.ranges.withdraw()
    this.#mount.reclaimer.stop().catch(() => {})
    this.#reaper.stop().catch(() => {})
    this.#sweeper.stop().catch(() => {})
  }

  /**
   * The filesystem's LUNs from now on, in the order of its record, with its holes. What is new of them is not allocated from before
   * `addSpace`; nothing new is written to those with the indexes `draining`.
   */
  useLuns(luns: readonly (Lun | undefined)[], draining: readonly number[] = []): void {
    const { volume, space } = this.#mount
    volume.layout.resize(luns.map((lun) => lun?.size))
    this.#io.luns = luns
    space.relayout(new Set(draining))
  }

  /** Moves data off a LUN that is being drained, for about `limitMs`. Rejects with MatrixError 'no-space'. */
  async drain(lunIndex: number, limitMs: number): Promise<DrainProgress> {
    try {
      return await this.#drainer.step(lunIndex, limitMs)
    } catch (error) {
      if (isMatrixError(error)) throw error
      throw new MatrixError('timeout', `draining has been interrupted: ${String(error)}`)
    }
  }

  /** Reads the extents that files above `after` have on a LUN, for about `limitMs`. Rejects with MatrixError 'timeout' when locks cannot be had. */
  async scrub(lunIndex: number, after: Ino, limitMs: number): Promise<ScrubProgress> {
    try {
      return await this.#scrubber.step(lunIndex, after, limitMs)
    } catch (error) {
      if (isMatrixError(error)) throw error
      throw new MatrixError('timeout', `scrubbing has been interrupted: ${String(error)}`)
    }
  }

  /** Nothing of the filesystem is on a LUN that is being drained, nor can get there, whoever dies. */
  async isEmptied(lunIndex: number): Promise<boolean> {
    const { locks, volume } = this.#mount
    const hold = await locks.acquire(resourceId(SETTINGS_LOCK, 0), PR)
    try {
      // what this node has done to empty it may be lost with it until then; what others did was durable before the lock came
      if (!brokenRules.emptiedIsDurable) await volume.flush()
      return blocksKnown(volume.image, lunIndex) === 0
    } finally {
      hold.release()
    }
  }

  /** Makes what is new of these LUNs free for everybody, unless it is; gives how many bytes. Locks must be granted. */
  async addSpace(lunIndexes: readonly number[]): Promise<number> {
    return (await this.#newSpace.add(lunIndexes)) * BLOCK_SIZE
  }

  /** Recovery: the freed space, the orphans and the clients of a slot whose node is gone become this node's; what ended with that node is removed. */
  async adoptSlot(slot: Slot): Promise<void> {
    this.clients.adopted(await adoptSlot(this.#mount, slot))
    await this.ranges.dropVoid()
  }

  /** Something of the inode is newer here than on the LUNs or in the journal. */
  isDirty(ino: Ino): boolean {
    return this.#mount.inodes.cached(ino)?.dirty === true
  }

  stats() {
    const { inodes, data, cleaner, space, open: opened } = this.#mount
    return {
      cachedInodes: inodes.size,
      dirtyInodes: cleaner.dirtyInodes,
      cacheBytes: data.bytes,
      dirtyBytes: data.dirtyBytes,
      groupsHeld: space.groupsHeld,
      reservedBlocks: space.reserved,
      openFiles: opened.size,
      dataReads: this.#io.reads,
      dataWrites: this.#io.writes,
      dataBytesRead: this.#io.bytesRead,
      dataBytesWritten: this.#io.bytesWritten,
    }
  }

  // ── verbs ────────────────────────────────────────────────────────────────────────────────────────────────────────

  getattr(ino: Ino): MaybePromise<Inode> {
    return this.#runner.run((op) => getattr(op, ino))
  }

  setattr(
    caller: Caller,
    ino: Ino,
    changes: AttributeChanges,
    guardCtime?: { s: number; ns: number },
    request?: RequestId,
  ): MaybePromise<Changed> {
    return this.#cleaned(
      this.#runner.run((op) => setattr(op, caller, ino, changes, guardCtime), request),
      request,
    )
  }

  lookup(caller: Caller, dir: Ino, name: FileName): MaybePromise<{ readonly dir: Inode; readonly inode: Inode }> {
    return this.#runner.run((op) => lookup(op, caller, dir, name))
  }

  access(caller: Caller, ino: Ino, wanted: number): MaybePromise<{ readonly inode: Inode; readonly granted: number }> {
    return this.#runner.run((op) => access(op, caller, ino, wanted))
  }

  readlink(caller: Caller, ino: Ino): MaybePromise<{ readonly inode: Inode; readonly target: string }> {
    return this.#runner.run((op) => readlink(op, caller, ino))
  }

  read(caller: Caller, ino: Ino, offset: number, length: number, trusted = false): MaybePromise<ReadResult> {
    return this.#runner.run((op) => read(op, caller, ino, offset, length, trusted))
  }

  write(
    caller: Caller,
    ino: Ino,
    offset: number | 'end',
    data: Buffer,
    stable: boolean,
    trusted = false,
  ): MaybePromise<Changed> {
    let bytes = data
    const result = this.#runner.run((op) => write(op, caller, ino, offset, bytes, trusted))
    // a verb that waits runs again after the caller's buffer is the caller's again
    if (isPromise(result)) bytes = Buffer.from(data)
    if (!stable) return result
    return isPromise(result) ? result.then((changed) => this.#stable(changed)) : this.#stable(result)
  }

  commitFile(ino: Ino): MaybePromise<Changed> {
    const result = this.#runner.run((op) => commitFile(op, ino))
    return isPromise(result) ? result.then((changed) => this.#stable(changed)) : this.#stable(result)
  }

  create(
    caller: Caller,
    dir: Ino,
    name: FileName,
    attributes: CreateAttributes,
    how: CreateHow,
    request?: RequestId,
  ): MaybePromise<Created> {
    return this.#cleaned(
      this.#runner.run((op) => create(op, caller, dir, name, attributes, how), request),
      request,
    )
  }

  async store(caller: Caller, dir: Ino, name: FileName, content: Buffer, how: StoreHow): Promise<Created> {
    const { space, data } = this.#mount
    try {
      const staged = await StagedContent.stage({ space, data, io: this.#io }, content).catch((error) => {
        if (isMatrixError(error)) this.#tryJournal()
        throw error
      })
      try {
        const result = this.#runner.run((op) => store(op, caller, dir, name, staged, how))
        return isPromise(result) ? await result : asOfNow(result)
      } catch (error) {
        staged.discard()
        throw error
      }
    } catch (error) {
      throw asFsError(error)
    }
  }

  mkdir(
    caller: Caller,
    dir: Ino,
    name: FileName,
    attributes: CreateAttributes,
    request?: RequestId,
  ): MaybePromise<Created> {
    return this.#runner.run((op) => mkdir(op, caller, dir, name, attributes), request)
  }

  symlink(
    caller: Caller,
    dir: Ino,
    name: FileName,
    target: string,
    attributes: CreateAttributes,
    request?: RequestId,
  ): MaybePromise<Created> {
    return this.#runner.run((op) => symlink(op, caller, dir, name, target, attributes), request)
  }

  mknod(
    caller: Caller,
    dir: Ino,
    name: FileName,
    type: FileType,
    attributes: CreateAttributes,
    rdevMajor: number,
    rdevMinor: number,
    request?: RequestId,
  ): MaybePromise<Created> {
    const device = { major: rdevMajor, minor: rdevMinor }
    return this.#runner.run((op) => mknod(op, caller, dir, name, type, attributes, device), request)
  }

  remove(caller: Caller, dir: Ino, name: FileName, request?: RequestId): MaybePromise<DirChanged> {
    return this.#runner.run((op) => remove(op, caller, dir, name), request)
  }

  rmdir(caller: Caller, dir: Ino, name: FileName, request?: RequestId): MaybePromise<DirChanged> {
    return this.#runner.run((op) => rmdir(op, caller, dir, name), request)
  }

  rename(
    caller: Caller,
    fromDir: Ino,
    fromName: FileName,
    toDir: Ino,
    toName: FileName,
    { noReplace = false, fresh, request }: RenameHow = {},
  ): MaybePromise<Renamed> {
    const source = { dir: fromDir, name: fromName }
    const target = { dir: toDir, name: toName }
    const written = new Written()
    return this.#runner.run((op) => rename(op, caller, source, target, noReplace, fresh, written), request)
  }

  link(
    caller: Caller,
    ino: Ino,
    dir: Ino,
    name: FileName,
    request?: RequestId,
  ): MaybePromise<DirChanged & { readonly inode: Inode }> {
    return this.#runner.run((op) => link(op, caller, ino, dir, name), request)
  }

  readdir(caller: Caller, dir: Ino, cookie: number, limit: number): MaybePromise<DirListing> {
    return this.#runner.run((op) => readdir(op, caller, dir, cookie, limit))
  }

  readdirplus(caller: Caller, dir: Ino, cookie: number, limit: number): MaybePromise<DirListingPlus> {
    return this.#runner.run((op) => readdirplus(op, caller, dir, cookie, limit))
  }

  isUnchanged(caller: Caller, dir: Ino, seal: ListingSeal): MaybePromise<boolean> {
    return this.#runner.run((op) => isUnchanged(op, caller, dir, seal))
  }

  statfs(): MaybePromise<FsStatistics> {
    return statfs(this.#mount)
  }

  open(ino: Ino): MaybePromise<Inode> {
    return this.#runner.run((op) => open(op, ino))
  }

  close(ino: Ino): void {
    if (!this.#stopped) close(this.#mount, ino) // else it was closed with all others
  }

  afterDurable(done: (error?: Error) => void): void {
    this.#mount.volume.afterDurable(done)
  }

  async sync(): Promise<void> {
    try {
      await this.#mount.cleaner.cleanAll()
      await this.#mount.volume.flush()
    } catch (error) {
      throw asFsError(error)
    }
  }

  /**
   * Content could not be written, and nothing of it is to be journaled. Whether the journal can be written decides what becomes of this mount when a LUN
   * fails (decision 20); so that does not wait until somebody changes something else.
   */
  #tryJournal(): void {
    const { volume, numbers } = this.#mount
    try {
      volume.commit([numbers.unchanged()])
      volume.afterDurable(() => {})
    } catch (error) {
      if (!isMatrixError(error) && !isFsError(error)) throw error // it has ended already, or its journal is full
    }
  }

  // ── data on the LUN ──────────────────────────────────────────────────────────────────────────────────────────────

  /** When something of the verb is late, it is committed first; durable with the next `afterDurable`. */
  #cleaned<T extends Late>(result: MaybePromise<T>, request: RequestId | undefined): MaybePromise<T> {
    if (!isPromise(result)) return result.late ? this.#cleanedLate(result, request) : result
    return result.then((answer) => (answer.late ? this.#cleanedLate(answer, request) : answer))
  }

  async #cleanedLate<T extends Late>(result: T, request: RequestId | undefined): Promise<T> {
    const answer = asOfNow(result)
    const { ino } = result.inode
    const inode = this.#mount.inodes.cached(ino)
    try {
      if (inode && (inode.dirty || inode.cleaning)) await this.#mount.cleaner.clean(inode)
    } catch (error) {
      throw asFsError(error)
    }
    if (!request) return answer
    try {
      await this.#runner.run((op) => remember(op, ino), request)
    } catch (error) {
      // the file is gone, or somebody else has done the same meanwhile: there is nothing to record
      if (!(error instanceof DoneAlready) && !isFsError(error, 'ESTALE')) throw error
    }
    return answer
  }

  /** Data and metadata of the inode are durable. */
  #stable(result: Changed): MaybePromise<Changed> {
    const answer = asOfNow(result)
    const { cleaner, volume, inodes } = this.#mount
    // gone from memory: it was cleaned before its lock went
    const inode = inodes.cached(result.inode.ino)
    if (inode && (inode.dirty || inode.cleaning)) {
      return cleaner
        .clean(inode)
        .then(() => volume.flush())
        .then(
          () => answer,
          (error) => {
            throw asFsError(error)
          },
        )
    }
    return volume.flush().then(() => answer)
  }
}
