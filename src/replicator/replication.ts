/**
 * One run from a source tree to a target tree. Whatever moment it is ended at, by whatever, the target has whole objects only: the old ones or the new ones; and the next run goes on.
 *
 *     file ─► unchanged since the journal's row, on both sides ──────────────────────────► nothing to do
 *          ─► no row, but the same size and time at the target: content compared ────────► row
 *          ─► else: temporary name ► content, hashed ► attributes ► read again ► flushed ► renamed over ► row
 *
 * A file that changes while it is copied is copied again, and left for the next run when it does not stop. Names of one file (hard links) become names of one file. The times of a
 * directory are set when everything in it is done. What is at the target and not at the source is removed as `prune` says, only in directories that were listed whole, and not at all when
 * the source is empty: a disk that is not mounted must not empty its copy.
 */
import { constants } from 'node:fs'
import { join } from 'node:path/posix'
import type { InodeLike } from '@zenfs/core'
import { allEnded } from '../base/all-ended.ts'
import { MatrixError } from '../base/errors.ts'
import { Lanes } from '../base/lanes.ts'
import { codeOf, failure } from '../program-api/index.ts'
import { copyContent, digestOf, linkText } from './content.ts'
import { FORMAT, fileId, isDirectory, isFile, isSame, isUnmoved, near } from './inode-facts.ts'
import { Outcome } from './outcome.ts'
import { Pruner, type PrunerOptions } from './pruner.ts'
import { isTemporary, temporaryFor } from './temporary-name.ts'
import type { Tree } from './tree.ts'

export type ReplicationOptions = PrunerOptions & {
  readonly source: Tree
  /** Owners are set, which takes a superuser at the target. */
  readonly owners: boolean
  /** What was written is read again before it gets its name. */
  readonly verify: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (outcome: Outcome, path: string) => void
}

/** Files under way at a time. */
const LANES = 8
/** A file that changes while it is copied is tried so often. */
const MAX_TRIES = 3
const PERMISSIONS = 0o7777
/** What a run does not go on after. */
const FATAL = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'ETIMEDOUT', 'ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH'])

export class Replication {
  readonly #options: ReplicationOptions
  readonly #outcome = new Outcome()
  readonly #lanes = new Lanes(LANES)
  /** Files with several names (`fileId`): the name at the target that was first. */
  readonly #names = new Map<string, Promise<string | undefined>>()
  readonly #pruner: Pruner

  constructor(options: ReplicationOptions) {
    this.#options = options
    this.#pruner = new Pruner(options, this.#outcome)
  }

  /** Rejects with MatrixError 'config' when there is no source, with the error that ended it, or with the signal's reason. What failed by itself is in the outcome. */
  async run(): Promise<Outcome> {
    const { source, target, journal } = this.#options
    const top = await source.stat('/').catch((error) => {
      throw new MatrixError('config', `the source cannot be read: ${error.message}`)
    })
    if (!isDirectory(top)) throw new MatrixError('config', 'the source is no directory')
    if (this.#pruner.isAtWork && journal.objects > 0 && (await source.readdir('/')).length === 0) {
      this.#pruner.isAtWork = false
      this.#outcome.fail('/', 'the source is empty: nothing is removed from the target')
    }
    await target.stat('/').catch((error) => {
      throw new MatrixError('config', `the target cannot be written: ${error.message}`)
    })
    await this.#directory('/', top)
    return this.#outcome
  }

  /** Everything in a directory that is at the target already, then its own attributes. */
  async #directory(path: string, inode: InodeLike): Promise<void> {
    const { source, target } = this.#options
    const names = await this.#attempt(path, () => source.readdir(path))
    if (!names) return
    const there = await this.#attempt(path, () => this.#there(path))
    if (!there) return
    const kept = new Set<string>()
    const directories: { readonly path: string; readonly inode: InodeLike }[] = []
    const files = names.sort().map((name) =>
      this.#lanes.run(async () => {
        const each = join(path, name)
        if (this.#pruner.isExcluded(each)) {
          kept.add(name)
          this.#outcome.skipped++
          return
        }
        const found = await this.#entry(each, there.has(name))
        if (found !== 'vanished') kept.add(name)
        if (typeof found === 'object') directories.push({ path: each, inode: found })
      }),
    )
    await allEnded(files)
    directories.sort((a, b) => (a.path < b.path ? -1 : 1))
    for (const each of directories) await this.#directory(each.path, each.inode)
    if (this.#pruner.isAtWork)
      for (const name of there)
        if (!kept.has(name) && !this.#pruner.isExcluded(join(path, name)))
          await this.#attempt(join(path, name), () => this.#pruner.prune(join(path, name)))
    await this.#attempt(path, async () => {
      const made = await target.stat(path)
      await this.#adjust(path, inode, made)
      await target.flush?.(path)
    })
  }

  /** Names at the target. What a former run has left under a temporary name goes. */
  async #there(path: string): Promise<Set<string>> {
    const { target } = this.#options
    const names = new Set(await target.readdir(path))
    for (const name of names) {
      if (!isTemporary(name)) continue
      names.delete(name)
      await target.unlink(join(path, name)).catch(() => undefined)
    }
    return names
  }

  /** A directory is given back, made, for its content to follow. */
  async #entry(path: string, isThere: boolean): Promise<InodeLike | 'done' | 'vanished'> {
    const { source, target, signal, onProgress } = this.#options
    signal?.throwIfAborted()
    this.#outcome.looked++
    onProgress?.(this.#outcome, path)
    let inode: InodeLike
    try {
      inode = await source.stat(path)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throwFatal(error)
      if (codeOf(error) === 'ENOENT' && !path.includes('\uFFFD')) return 'vanished'
      this.#outcome.fail(path, path.includes('\uFFFD') ? 'the name is not UTF-8' : messageOf(error))
      return 'done'
    }
    const result = await this.#attempt(path, async () => {
      const made = isThere ? await target.stat(path).catch(() => undefined) : undefined
      switch (inode.mode & FORMAT) {
        case constants.S_IFDIR:
          if (made && !isDirectory(made)) await this.#pruner.makeWay(path, made)
          if (!made || !isDirectory(made)) await this.#makeDirectory(path)
          return inode
        case constants.S_IFREG:
          if (inode.nlink > 1) await this.#named(path, inode, made)
          else await this.#content(path, inode, made)
          return 'done' as const
        case constants.S_IFLNK:
          await this.#symlink(path, inode, made)
          return 'done' as const
        default:
          await this.#special(path, inode, made)
          return 'done' as const
      }
    })
    return result ?? 'done'
  }

  async #makeDirectory(path: string): Promise<void> {
    await this.#options.target.mkdir(path, { mode: 0o700, uid: 0, gid: 0 })
    this.#outcome.made++
    const made = await this.#options.target.stat(path)
    this.#note(path, made, '', made)
  }

  /** A file with several names: the first that is met brings the content, the others become its names. */
  async #named(path: string, inode: InodeLike, made: InodeLike | undefined): Promise<void> {
    const { target } = this.#options
    const id = fileId(inode)
    const known = this.#names.get(id)
    if (!known) {
      const first = this.#content(path, inode, made).then(() => path)
      this.#names.set(
        id,
        first.catch(() => undefined),
      )
      await first
      return
    }
    const first = await known
    if (first === undefined) throw failure('EAGAIN', `its content, under another name, was not copied`)
    const one = await target.stat(first)
    if (made && made.ino === one.ino) {
      this.#outcome.unchanged++
      return
    }
    try {
      await this.#take(path, made, (temporary) => target.link(first, temporary))
    } catch (error) {
      if (codeOf(error) !== 'ENOTSUP') throw error
      // a target whose files have one name each has the content as often
      await this.#content(path, inode, made)
      return
    }
    this.#outcome.made++
    this.#note(path, inode, this.#options.journal.find(first)?.digest ?? '', await target.stat(path))
  }

  async #content(path: string, inode: InodeLike, made: InodeLike | undefined): Promise<void> {
    const { source, target, journal } = this.#options
    const row = journal.find(path)
    const isOurs =
      row &&
      made &&
      isFile(made) &&
      made.ino === row.madeIno &&
      near(made.mtimeMs, row.madeMtimeMs) &&
      made.size === row.size
    if (row && isOurs && isSame(row, inode)) {
      await this.#keep(path, inode, made)
      return
    }
    // the source may have another change time for its attributes alone, and the target may have been copied by a run whose journal is lost
    if (made && isFile(made) && made.size === inode.size && (isOurs || near(made.mtimeMs, inode.mtimeMs))) {
      const digest = await digestOf(source, path, inode.size, this.#read)
      const there = isOurs ? row.digest : await digestOf(target, path, made.size, () => undefined)
      const now = await source.stat(path)
      if (digest === there && isUnmoved(inode, now)) {
        await this.#keep(path, inode, made)
        this.#note(path, inode, digest, await target.stat(path))
        return
      }
    }
    if (made && isDirectory(made)) await this.#pruner.makeWay(path, made)
    await this.#copy(path, inode)
  }

  async #copy(path: string, first: InodeLike): Promise<void> {
    const { source, target, verify } = this.#options
    let inode = first
    for (let tries = 1; ; tries++) {
      const temporary = temporaryFor(path)
      try {
        await target.createFile(temporary, { mode: constants.S_IFREG | 0o600, uid: 0, gid: 0 })
        const digest = await copyContent(
          { tree: source, path },
          { tree: target, path: temporary },
          inode.size,
          this.#read,
        )
        if (verify && (await digestOf(target, temporary, inode.size, () => undefined)) !== digest)
          throw failure('EIO', 'what was written is not what is read again')
        const now = await source.stat(path)
        if (!isUnmoved(inode, now)) {
          await target.unlink(temporary)
          if (tries === MAX_TRIES) throw failure('EBUSY', 'it changes while it is copied')
          inode = now
          continue
        }
        await this.#adjust(temporary, inode, await target.stat(temporary))
        await target.flush?.(temporary)
        await target.rename(temporary, path)
        this.#outcome.copied++
        this.#note(path, inode, digest, await target.stat(path))
        return
      } catch (error) {
        await target.unlink(temporary).catch(() => undefined)
        throw error
      }
    }
  }

  async #symlink(path: string, inode: InodeLike, made: InodeLike | undefined): Promise<void> {
    const { source, target } = this.#options
    const text = await linkText(source, path, inode.size)
    if (made && (made.mode & FORMAT) === constants.S_IFLNK && (await linkText(target, path, made.size)) === text) {
      await this.#keep(path, inode, made)
    } else {
      const isMade = await this.#orSkip(() =>
        this.#take(path, made, async (temporary) => {
          await target.symlink(text, temporary)
          await this.#adjust(temporary, inode, await target.stat(temporary))
        }),
      )
      if (!isMade) return
    }
    this.#note(path, inode, text, await target.stat(path))
  }

  /** Makes what the target may not be able to have. False: it cannot. */
  async #orSkip(make: () => Promise<void>): Promise<boolean> {
    try {
      await make()
    } catch (error) {
      if (codeOf(error) !== 'ENOTSUP') throw error
      this.#outcome.skipped++
      return false
    }
    this.#outcome.made++
    return true
  }

  /** Pipes and devices, where the target can have them; sockets are nothing without their program. */
  async #special(path: string, inode: InodeLike, made: InodeLike | undefined): Promise<void> {
    const { target } = this.#options
    const format = inode.mode & FORMAT
    const isDevice = format === constants.S_IFCHR || format === constants.S_IFBLK
    if (made && (made.mode & FORMAT) === format && (!isDevice || made.rdev === inode.rdev)) {
      await this.#keep(path, inode, made)
      return
    }
    if (format === constants.S_IFSOCK) return void this.#outcome.skipped++
    const isMade = await this.#orSkip(() =>
      this.#take(path, made, async (temporary) => {
        await target.createFile(temporary, {
          mode: inode.mode,
          uid: 0,
          gid: 0,
          ...(inode.rdev !== undefined && { rdev: inode.rdev }),
        })
        await this.#adjust(temporary, inode, await target.stat(temporary))
      }),
    )
    if (isMade) this.#note(path, inode, '', await target.stat(path))
  }

  /** Makes something under a temporary name, which then takes the place of what has the name. */
  async #take(path: string, made: InodeLike | undefined, make: (temporary: string) => Promise<unknown>): Promise<void> {
    const { target } = this.#options
    if (made && isDirectory(made)) await this.#pruner.makeWay(path, made)
    const temporary = temporaryFor(path)
    try {
      await make(temporary)
      await target.rename(temporary, path)
    } catch (error) {
      await target.unlink(temporary).catch(() => undefined)
      throw error
    }
  }

  /** The object is there as it should be, but perhaps for its attributes. */
  async #keep(path: string, wanted: InodeLike, made: InodeLike): Promise<void> {
    if (await this.#adjust(path, wanted, made)) this.#outcome.adjusted++
    else this.#outcome.unchanged++
  }

  /** True when something had to be set. */
  async #adjust(at: string, wanted: InodeLike, made: InodeLike): Promise<boolean> {
    const { target, owners } = this.#options
    const isLink = (wanted.mode & FORMAT) === constants.S_IFLNK
    const owner = owners && (made.uid !== wanted.uid || made.gid !== wanted.gid)
    // a change of owner takes set-id bits away
    const mode = !isLink && (owner || (made.mode & PERMISSIONS) !== (wanted.mode & PERMISSIONS))
    if (owner || mode)
      await target.touch(at, { ...(owner && { uid: wanted.uid, gid: wanted.gid }), ...(mode && { mode: wanted.mode }) })
    const time = !near(made.mtimeMs, wanted.mtimeMs)
    if (time) await target.touch(at, { atimeMs: wanted.atimeMs, mtimeMs: wanted.mtimeMs })
    return owner || mode || time
  }

  /** undefined when it failed by itself, which is noted; throws what ends the run. */
  async #attempt<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      this.#options.signal?.throwIfAborted()
      throwFatal(error)
      this.#outcome.fail(path, messageOf(error))
      return undefined
    }
  }

  readonly #read = (bytes: number): void => {
    this.#options.signal?.throwIfAborted()
    this.#outcome.bytes += bytes
    this.#options.onProgress?.(this.#outcome, '')
  }

  #note(path: string, { ino, size, mtimeMs, ctimeMs }: InodeLike, digest: string, made: InodeLike): void {
    this.#options.journal.put({
      path,
      ino,
      size,
      mtimeMs,
      ctimeMs,
      digest,
      madeIno: made.ino,
      madeMtimeMs: made.mtimeMs,
    })
  }
}

function throwFatal(error: unknown): void {
  if (FATAL.has(codeOf(error) ?? '')) throw error
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
