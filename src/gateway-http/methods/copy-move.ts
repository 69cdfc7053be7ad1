/**
 * COPY and MOVE (RFC 4918 9.8, 9.9). What was at the destination is never lost before the new is in its place:
 *
 *     COPY  1 the copy is made, durably, under a hidden name beside the destination
 *           2 the old destination, when it is not simply replaced by a rename, is renamed to a hidden name
 *           3 the copy is renamed to the destination
 *           4 the old destination is removed
 *     MOVE  2, 3 with the source itself, 4
 *
 * With `Overwrite: F` step 3 refuses a destination that somebody else was faster to make: of many exactly one gets 201.
 *
 * A crash leaves, after 1: a hidden copy; after 2: both hidden, the old one by its name `.~put-…` still whole; after 3: the
 * new destination and a hidden old one.
 */
import { isFsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import type { Inode } from '../../metadata/index.ts'
import { DIR } from '../../metadata/index.ts'
import { answer, durable, type ExportCall, header } from '../call.ts'
import { evaluate } from '../conditions.ts'
import { depthOf } from '../depth.ts'
import { etagOf } from '../etag.ts'
import { HttpFailure } from '../failure.ts'
import { isWithin, parseTarget } from '../paths.ts'
import { type Found, find, type Place, walk } from '../resolve.ts'
import { newTemporaryName } from '../temporaries.ts'
import { copyTree, type MemberFailure, removeTree } from '../tree.ts'
import { uploadTime } from '../upload-time.ts'
import { answerFailures } from './failures.ts'

export async function copy(call: ExportCall): Promise<void> {
  const { fs, caller } = call
  const source = await find(fs, caller, call.path, 'follow')
  const depth = depthOf(call, 'infinity')
  if (depth === '1') throw new HttpFailure(400, 'COPY has Depth 0 or infinity')
  const { destination, path, mayReplace } = await prepare(call, source, depth === '0' ? 'copy alone' : 'copy all')
  const time = uploadTime(call)
  const temporary = newTemporaryName()
  let failures: readonly MemberFailure[]
  try {
    const options = { depth: depth === '0' ? 'none' : 'all', ...(time && { mtime: time }) } as const
    failures = await copyTree(fs, call.unbound, source.inode, destination.dir, temporary, options)
    await durable(fs)
    await takePlace(call, destination.dir, temporary, destination, source.inode.type, mayReplace, 'copy')
  } catch (error) {
    await removeQuietly(call, destination.dir, temporary)
    throw notTheParent(error)
  }
  await durable(fs)
  if (failures.length > 0) return answerFailures(call, [call.share.name, ...path], failures)
  answer(call, destination.inode ? 204 : 201, time ? { 'X-OC-Mtime': 'accepted' } : {})
}

export async function move(call: ExportCall): Promise<void> {
  const { fs, caller } = call
  const source = await find(fs, caller, call.path, 'keep')
  if (source.name === '') throw new HttpFailure(403, 'the root of an export stays')
  if (depthOf(call, 'infinity') !== 'infinity') throw new HttpFailure(400, 'MOVE has Depth: infinity')
  const { destination, mayReplace } = await prepare(call, source, 'move')
  const time = uploadTime(call)
  const { ino, type } = source.inode
  try {
    if (time) await fs.setattr(caller, ino, { mtime: time })
    await takePlace(call, source.dir, source.name, destination, type, mayReplace, undefined)
  } catch (error) {
    throw notTheParent(error)
  }
  await durable(fs)
  answer(call, destination.inode ? 204 : 201, time ? { 'X-OC-Mtime': 'accepted' } : {})
}

/** Everything that can be refused before anything is changed. */
async function prepare(
  call: ExportCall,
  source: Found,
  what: 'copy all' | 'copy alone' | 'move',
): Promise<{ destination: Place; path: readonly string[]; mayReplace: boolean }> {
  const { fs, caller, share } = call
  if (call.target.trailingSlash && source.inode.type !== DIR) throw new HttpFailure(404, 'a file, not a directory')
  evaluate(call.req.headers, { etag: etagOf(source.inode), modifiedS: source.inode.mtimeS }, false)
  const path = destinationOf(call)
  const mayReplace = overwrite(call) === 'T'
  if (what !== 'copy alone' && source.inode.type === DIR && isWithin(path, call.path)) {
    throw new HttpFailure(403, 'the destination lies in the source')
  }
  const destination = await walk(fs, caller, path, { last: 'keep', missingParent: 409 })
  if (destination.name === '') throw new HttpFailure(403, 'the root of an export stays')
  // By the same name or by another (a link in the path, a hard link): it would be replaced by itself.
  const same =
    destination.inode?.ino === source.inode.ino || (destination.dir === source.dir && destination.name === source.name)
  if (same) throw new HttpFailure(403, 'source and destination are the same')
  if (
    source.inode.type === DIR &&
    what !== 'copy alone' &&
    (await liesBelow(call, destination.dir, source.inode.ino))
  ) {
    throw new HttpFailure(403, 'the destination lies in the source')
  }
  if (destination.inode?.type === DIR && isWithin(call.path, path)) {
    throw new HttpFailure(403, 'the source lies in what would be replaced')
  }
  if (destination.inode && !mayReplace) throw somethingThere(share.name)
  const isMove = what === 'move'
  if (isMove) await fs.dav.check(caller, source, 'tree')
  const isSwap = destination.inode && (isMove || destination.inode.type === DIR || source.inode.type === DIR)
  await fs.dav.check(caller, destination, isSwap ? 'tree' : 'content')
  return { destination, path, mayReplace }
}

/** The segments of the Destination header below this export. */
function destinationOf(call: ExportCall): readonly string[] {
  const value = header(call, 'destination')
  if (value === undefined) throw new HttpFailure(400, 'a Destination header is required')
  const { segments } = parseTarget(value)
  // Whatever host the client knows us by (proxy, address, name): the path decides.
  if (segments[0] !== call.share.name) throw new HttpFailure(502, 'the destination is not in this export')
  return segments.slice(1)
}

function overwrite(call: ExportCall): 'T' | 'F' {
  const value = header(call, 'overwrite')?.trim().toUpperCase() ?? 'T'
  if (value === 'T' || value === 'F') return value
  throw new HttpFailure(400, 'Overwrite must be T or F')
}

/** True when `dir` is `ancestor` or below it, whatever links the path went through. */
async function liesBelow({ fs }: ExportCall, dir: Ino, ancestor: Ino): Promise<boolean> {
  for (let ino = dir; ; ) {
    if (ino === ancestor) return true
    const { parent } = await fs.getattr(ino)
    if (parent === ino || parent === 0) return false
    ino = parent
  }
}

function somethingThere(share: string): HttpFailure {
  return new HttpFailure(412, `${share} has something there already`)
}

/** Steps 2 to 4: `name` in `dir` becomes the destination. */
async function takePlace(
  call: ExportCall,
  dir: Ino,
  name: string,
  destination: Place,
  type: number,
  mayReplace: boolean,
  fresh: 'copy' | undefined,
): Promise<void> {
  const { fs, caller, unbound } = call
  const old = destination.inode
  if (!old || (old.type !== DIR && type !== DIR)) {
    try {
      await fs.rename(caller, dir, name, destination.dir, destination.name, { noReplace: !mayReplace, fresh })
    } catch (error) {
      throw !mayReplace && isFsError(error, 'EEXIST') ? somethingThere(call.share.name) : error
    }
    return
  }
  const aside = newTemporaryName()
  await fs.rename(caller, destination.dir, destination.name, destination.dir, aside)
  try {
    await fs.rename(caller, dir, name, destination.dir, destination.name, { fresh })
  } catch (error) {
    await fs.rename(unbound, destination.dir, aside, destination.dir, destination.name)
    throw error
  }
  await discardTree(call, destination.dir, aside, old)
}

/** Nobody sees the aside any more; what cannot be removed of it is the operator's business, not the client's. */
async function discardTree(call: ExportCall, dir: Ino, name: string, inode: Inode): Promise<void> {
  const left = await removeTree(call.fs, call.unbound, dir, name, inode)
  if (left.length > 0) {
    call.workshop.log.warn(
      { export: call.share.name, dir, name, members: left.length },
      'a replaced tree could not be removed',
    )
  }
}

async function removeQuietly(call: ExportCall, dir: Ino, name: string): Promise<void> {
  try {
    const { inode } = await call.fs.lookup(call.unbound, dir, name)
    await discardTree(call, dir, name, inode)
  } catch (error) {
    if (!isFsError(error, 'ENOENT', 'ESTALE')) {
      call.workshop.log.warn({ export: call.share.name, dir, name, error }, 'a temporary could not be removed')
    }
  }
}

/** A parent that vanished meanwhile is a conflict. */
function notTheParent(error: unknown): unknown {
  return isFsError(error, 'ESTALE') ? new HttpFailure(409) : error
}
