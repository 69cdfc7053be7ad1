/**
 * From a path to an inode: lookups one after another, symbolic links followed as long as they stay inside the export. A
 * link is read as its directory reads it; an absolute one, or one that climbs above the export's root, points to the
 * clients' own file trees and means nothing here: 403.
 */
import { FsError, isFsError } from '../base/errors.ts'
import { type Ino, ROOT_INO } from '../base/ids.ts'
import { isPromise } from '../base/maybe-promise.ts'
import type { Caller, Inode, MatrixFs } from '../metadata/index.ts'
import { DIR, LNK } from '../metadata/index.ts'
import { HttpFailure } from './failure.ts'
import { MAX_PATH_SEGMENTS, MAX_SYMLINKS } from './limits.ts'
import { isTemporaryName } from './temporaries.ts'

/** A file replaced without pause is still found after so many tries. */
const MAX_STALE_TRIES = 20

/** A name in a directory. The root of the export has the name '' and itself as directory. */
export type Place = { readonly dir: Ino; readonly name: string; readonly inode: Inode | undefined }
/** A place that something lives at. */
export type Found = Place & { readonly inode: Inode }

export type WalkOptions = {
  /** 'follow': a symbolic link at the end means what it points to. 'keep': it means itself (DELETE, MOVE). */
  readonly last: 'follow' | 'keep'
  /** Status when a directory on the way is missing: 404 for what reads, 409 for what creates (RFC 4918). */
  readonly missingParent: 404 | 409
}

type Step = { readonly name: string; readonly fromLink: boolean }

export async function walk(
  fs: MatrixFs,
  caller: Caller,
  path: readonly string[],
  options: WalkOptions,
): Promise<Place> {
  if (path.some(isTemporaryName)) throw new HttpFailure(403, 'names of this form are reserved for uploads under way')
  const root = fs.getattr(ROOT_INO)
  // The directories from the root down to where the walk stands, for the '..' of links.
  const above: Inode[] = [isPromise(root) ? await root : root]
  const steps: Step[] = path.map((name) => ({ name, fromLink: false })).reverse()
  let place: Place = { dir: ROOT_INO, name: '', inode: above[0] }
  let links = 0
  for (let step = steps.pop(); step; step = steps.pop()) {
    const { name, fromLink } = step
    const dir = above.at(-1) as Inode
    if (fromLink && (name === '' || name === '.')) continue
    if (fromLink && name === '..') {
      if (above.length === 1) throw new HttpFailure(403, 'a symbolic link leads out of the export')
      above.pop()
      place = { dir: (above.at(-2) ?? above[0])!.ino, name: '', inode: above.at(-1) }
      continue
    }
    const inode = await child(fs, caller, dir.ino, name)
    place = { dir: dir.ino, name, inode }
    const isLast = steps.length === 0
    if (!inode) {
      if (isLast) return place
      throw new HttpFailure(options.missingParent, 'a directory of the path does not exist')
    }
    if (inode.type === LNK && !(isLast && options.last === 'keep')) {
      if (++links > MAX_SYMLINKS) throw new FsError('ELOOP')
      const answer = fs.readlink(caller, inode.ino)
      const { target } = isPromise(answer) ? await answer : answer
      if (target.startsWith('/')) throw new HttpFailure(403, 'a symbolic link leads out of the export')
      const parts = target.split('/')
      if (steps.length + parts.length > 2 * MAX_PATH_SEGMENTS) throw new FsError('ELOOP')
      for (const part of parts.reverse()) steps.push({ name: part, fromLink: true })
      continue
    }
    if (inode.type === DIR) above.push(inode)
    else if (!isLast) throw new HttpFailure(options.missingParent, 'part of the path is not a directory')
  }
  return place
}

/** Like `walk`, for what must exist: 404 otherwise. */
export async function find(
  fs: MatrixFs,
  caller: Caller,
  path: readonly string[],
  last: 'follow' | 'keep' = 'follow',
): Promise<Found> {
  const place = await walk(fs, caller, path, { last, missingParent: 404 })
  if (!place.inode) throw new HttpFailure(404)
  return place as Found
}

/**
 * What a path led to may have been replaced by the time it is used, by a rename that leaves no moment without a file. So a request
 * that has told its client nothing yet begins anew; one whose path leads nowhere any more finds that out by itself.
 */
export async function retryStale<T>(attempt: () => Promise<T>, isTold: () => boolean = () => false): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (!isFsError(error, 'ESTALE') || isTold() || tries === MAX_STALE_TRIES) throw error
    }
  }
}

/** The inode of a name, undefined when there is none. */
export async function child(fs: MatrixFs, caller: Caller, dir: Ino, name: string): Promise<Inode | undefined> {
  try {
    const answer = fs.lookup(caller, dir, name)
    return (isPromise(answer) ? await answer : answer).inode
  } catch (error) {
    if (isFsError(error, 'ENOENT')) return undefined
    throw error
  }
}
