/**
 * Work on whole trees: removal and copy, depth first. A failure on one member does not stop the others; it is collected by
 * its path, for the 207 (RFC 4918 9.6.1, 9.8.8). What would fail everywhere (no space, the node withdrawn) ends the walk.
 */
import { allEnded } from '../base/all-ended.ts'
import { FsError, isFsError } from '../base/errors.ts'
import type { Ino } from '../base/ids.ts'
import { isPromise } from '../base/maybe-promise.ts'
import type { Caller, DirEntry, Inode, MatrixFs } from '../metadata/index.ts'
import { DIR, LNK, R_OK, REG } from '../metadata/index.ts'
import { HttpFailure, toHttpFailure } from './failure.ts'
import { LISTING_BATCH, MAX_REPORTED_FAILURES, MAX_TREE_DEPTH, PIECE_BYTES } from './limits.ts'
import { isTemporaryName } from './temporaries.ts'

/** What failed on one member; `path` is relative to the tree's root ([] is the root itself). */
export type MemberFailure = { readonly path: readonly string[]; readonly failure: HttpFailure }

/** Somebody may add to a directory while it is removed: it is listed again so many times. */
const MAX_REMOVE_PASSES = 3

class Failures {
  readonly list: MemberFailure[] = []

  /** Rethrows what is no matter of this member alone. */
  add(path: readonly string[], error: unknown): void {
    const failure = toHttpFailure(error)
    if (!failure || failure.status === 507 || failure.status === 503 || failure.status === 500) throw error
    if (this.list.length < MAX_REPORTED_FAILURES) this.list.push({ path, failure })
  }
}

/** Removes what `name` in `dir` is, with everything below. Gives what could not be removed. */
export async function removeTree(
  fs: MatrixFs,
  caller: Caller,
  dir: Ino,
  name: string,
  inode: Inode,
): Promise<readonly MemberFailure[]> {
  const failures = new Failures()
  await removeMember(fs, caller, { dir, name, ino: inode.ino, type: inode.type, path: [] }, failures)
  return failures.list
}

type Member = {
  readonly dir: Ino
  readonly name: string
  readonly ino: Ino
  readonly type: number
  readonly path: readonly string[]
}

async function removeMember(fs: MatrixFs, caller: Caller, member: Member, failures: Failures): Promise<void> {
  const before = failures.list.length
  try {
    if (member.type !== DIR) {
      await fs.remove(caller, member.dir, member.name)
      return
    }
    if (member.path.length > MAX_TREE_DEPTH) throw new HttpFailure(403, 'the tree is too deep')
    for (let pass = 1; ; pass++) {
      await removeEntries(fs, caller, member, failures)
      // An ancestor of a member that stays must stay as well, and is not named for it (9.6.1).
      if (failures.list.length > before) return
      try {
        await fs.rmdir(caller, member.dir, member.name)
        return
      } catch (error) {
        if (!isFsError(error, 'ENOTEMPTY') || pass === MAX_REMOVE_PASSES) throw error
      }
    }
  } catch (error) {
    // Gone already is as good as removed.
    if (!isFsError(error, 'ENOENT', 'ESTALE')) failures.add(member.path, error)
  }
}

async function removeEntries(fs: MatrixFs, caller: Caller, parent: Member, failures: Failures): Promise<void> {
  for await (const batch of listing(fs, caller, parent.ino)) {
    const files: Promise<void>[] = []
    for (const entry of batch) {
      const member = {
        dir: parent.ino,
        name: entry.name,
        ino: entry.ino,
        type: entry.type,
        path: [...parent.path, entry.name],
      }
      if (entry.type === DIR) await removeMember(fs, caller, member, failures)
      else files.push(removeMember(fs, caller, member, failures))
    }
    // All of a batch at once: their locks and their flush are shared.
    await allEnded(files)
  }
}

/** A directory's entries in batches, "." and ".." left out. */
export async function* listing(fs: MatrixFs, caller: Caller, dir: Ino): AsyncGenerator<readonly DirEntry[]> {
  let cookie = 0
  for (;;) {
    const answer = fs.readdir(caller, dir, cookie, LISTING_BATCH)
    const { entries, eof } = isPromise(answer) ? await answer : answer
    const last = entries.at(-1)
    if (last) {
      cookie = last.cookie
      yield entries.filter(({ name }) => name !== '.' && name !== '..')
    }
    if (eof || !last) return
  }
}

export type CopyOptions = {
  /** 'all' or, with Depth: 0, only the directory itself. */
  readonly depth: 'all' | 'none'
  readonly mtime?: { readonly s: number; readonly ns: number }
}

/** Copies `source` to the new name `name` in `dir`. Gives the members that are not in the copy; fails when there is no copy at all. */
export async function copyTree(
  fs: MatrixFs,
  caller: Caller,
  source: Inode,
  dir: Ino,
  name: string,
  options: CopyOptions,
): Promise<readonly MemberFailure[]> {
  const failures = new Failures()
  if (source.type === DIR) {
    await copyDirectory(fs, caller, source, dir, name, [], options, failures)
  } else await copyFile(fs, caller, source, dir, name, options.mtime)
  return failures.list
}

async function copyDirectory(
  fs: MatrixFs,
  caller: Caller,
  source: Inode,
  dir: Ino,
  name: string,
  path: readonly string[],
  options: CopyOptions,
  failures: Failures,
): Promise<void> {
  if (path.length > MAX_TREE_DEPTH) throw new HttpFailure(403, 'the tree is too deep')
  const from = source.ino
  const mode = source.mode & 0o777
  // Writable while it is filled, whatever its final mode.
  const { inode } = await fs.mkdir(caller, dir, name, { mode: mode | 0o700 })
  const to = inode.ino
  await fs.dav.copyProperties(caller, from, to)
  if (options.depth === 'all') {
    for await (const batch of listing(fs, caller, from)) {
      for (const entry of batch) {
        if (isTemporaryName(entry.name)) continue
        const member = [...path, entry.name]
        try {
          const child = await fs.getattr(entry.ino)
          if (child.type === DIR) await copyDirectory(fs, caller, child, to, entry.name, member, options, failures)
          else if (child.type === LNK) await copyLink(fs, caller, child, to, entry.name)
          else await copyFile(fs, caller, child, to, entry.name)
        } catch (error) {
          if (!isFsError(error, 'ESTALE', 'ENOENT')) failures.add(member, error)
        }
      }
    }
  }
  if ((mode & 0o700) !== 0o700 || options.mtime) {
    await fs.setattr(caller, to, { mode, ...(options.mtime && { mtime: options.mtime }) })
  }
}

async function copyLink(fs: MatrixFs, caller: Caller, link: Inode, dir: Ino, name: string): Promise<void> {
  const { target } = await fs.readlink(caller, link.ino)
  await fs.symlink(caller, dir, name, target, {})
}

/** Data and all is durable when it resolves; after a failure nothing is left. */
async function copyFile(
  fs: MatrixFs,
  caller: Caller,
  source: Inode,
  dir: Ino,
  name: string,
  mtime?: { readonly s: number; readonly ns: number },
): Promise<void> {
  if (source.type !== REG) throw new HttpFailure(403, 'devices, sockets and pipes are not served')
  const from = source.ino
  const mode = source.mode & 0o777
  const { granted } = await fs.access(caller, from, R_OK)
  if (granted !== R_OK) throw new FsError('EACCES')
  await fs.open(from)
  try {
    const { inode } = await fs.create(caller, dir, name, { mode }, 'guarded')
    const to = inode.ino
    try {
      await fs.dav.copyProperties(caller, from, to)
      await copyContent(fs, caller, from, to)
      if (mtime) await fs.setattr(caller, to, { mtime })
      await fs.commitFile(to)
    } catch (error) {
      await Promise.resolve(fs.remove(caller, dir, name)).catch(() => undefined)
      throw error
    }
  } finally {
    fs.close(from)
  }
}

async function copyContent(fs: MatrixFs, caller: Caller, from: Ino, to: Ino): Promise<void> {
  let written = 0
  let offset = 0
  for (;;) {
    const reading = fs.read(caller, from, offset, PIECE_BYTES, true)
    const { pieces, length, eof } = isPromise(reading) ? await reading : reading
    if (length > 0 && !pieces.every(isZero)) {
      // The pieces are views on the cache: put together before anything is awaited.
      await fs.write(caller, to, offset, Buffer.concat(pieces, length), false, true)
      written = offset + length
    }
    offset += length
    if (eof || length === 0) break
  }
  // Holes stay holes: a tail of zeroes is made by the size.
  if (written < offset) await fs.setattr(caller, to, { size: offset })
}

const zeroes = Buffer.alloc(PIECE_BYTES)

function isZero(piece: Buffer): boolean {
  return piece.length <= zeroes.length && piece.equals(zeroes.subarray(0, piece.length))
}
