/**
 * PUT (RFC 9110 9.3.4). A small body becomes the file in one transaction (`store`). A larger one, or one of which nobody says how long it is, goes to a hidden
 * temporary beside the target, is made durable, and takes the target's place by one rename. Both are durable before the answer.
 *
 * 1. Readers see the old content or the new, whole; a failed upload (abort, no space, crash) leaves the old.
 * 2. 201 and 204 are sent only when data and name survive any crash.
 * 3. A replaced file hands on its permission bits, owner and group; who may not write it may not replace it.
 * 4. Conditions are checked before the body is read, and once more in the transaction. From a temporary, with `If-None-Match: *`, the name is made by
 *    link(2), which refuses when somebody was faster: of many clients at any nodes exactly one gets 201. Other conditions are checked again right before the rename.
 * 5. A resource keeps its dead properties and locks; a lock of another client is found before the body is read, and once more by the transaction.
 *
 * A crash leaves: before the rename, the temporary (temporaries.ts removes it); after it, or after the transaction, the whole new file.
 */
import { isFsError, isMatrixError } from '../../base/errors.ts'
import { FILE_MAX } from '../../base/limits.ts'
import { isPromise } from '../../base/maybe-promise.ts'
import type { Inode } from '../../metadata/index.ts'
import { DIR, MAX_STORED_BYTES, REG, W_OK } from '../../metadata/index.ts'
import { answer, durable, type ExportCall, header } from '../call.ts'
import { evaluate, type Validators } from '../conditions.ts'
import { BodyDigest } from '../digest.ts'
import { etagOf } from '../etag.ts'
import { HttpFailure } from '../failure.ts'
import { validatorsOfFile } from '../file-headers.ts'
import { fileMode } from '../http-export.ts'
import { type Part, partOf, putPart } from '../partial-put.ts'
import { pipeBody, readBody } from '../request-body.ts'
import { child, type Place, retryStale, walk } from '../resolve.ts'
import { discard, newTemporaryName } from '../temporaries.ts'
import { type FileTime, uploadTime } from '../upload-time.ts'

export async function put(call: ExportCall): Promise<void> {
  refuseCodings(call)
  const part = partOf(call)
  const digest = new BodyDigest(call)
  const time = uploadTime(call)
  const place = await retryStale(async () => {
    const found = await walk(call.fs, call.caller, call.path, { last: 'follow', missingParent: 409 })
    await check(call, found, found.inode)
    return found
  })
  if (part) return answerPart(call, place, part)
  const upload = { digest, time }
  const announced = header(call, 'content-length')
  const isSmall = announced !== undefined && Number(announced) <= MAX_STORED_BYTES
  const stored = isSmall ? await putWhole(call, place, upload) : await putInPieces(call, place, upload)
  await durable(call.fs)
  answer(call, place.inode ? 204 : 201, { ...stored, ...(time && { 'X-OC-Mtime': 'accepted' }) })
}

type Upload = { readonly digest: BodyDigest; readonly time: FileTime | undefined }

/** What fits into one transaction: that looks once more at what may have changed since. Gives the new file's validators. */
async function putWhole(call: ExportCall, place: Place, { digest, time }: Upload): Promise<Record<string, string>> {
  const content = await readBody(call, MAX_STORED_BYTES)
  digest.update(content)
  digest.check()
  const { inode } = await call.fs.store(call.caller, place.dir, place.name, content, {
    mode: fileMode(call.share),
    mtime: time,
    expect: (current) => needPossible(call, place, current),
  })
  return validatorsOfFile(inode)
}

/** Into a temporary, which then takes its final name. Gives the new file's validators. */
async function putInPieces(call: ExportCall, place: Place, { digest, time }: Upload): Promise<Record<string, string>> {
  const replaced = place.inode && { mode: place.inode.mode, uid: place.inode.uid, gid: place.inode.gid }
  const temporary = newTemporaryName()
  const { fs, unbound } = call
  // Writing clears setuid and setgid; so does replacing.
  const mode = replaced ? replaced.mode & 0o1777 : fileMode(call.share)
  const { inode } = await fs.create(unbound, place.dir, temporary, { mode }, 'guarded')
  const ino = inode.ino
  try {
    // Whoever could create the temporary may write it, whatever its mode.
    await pipeBody(call, (offset, piece) => {
      digest.update(piece)
      const writing = fs.write(unbound, ino, offset, piece, false, true)
      return isPromise(writing) ? writing : undefined
    })
    digest.check()
    await adopt(call, inode, replaced, time)
    await fs.commitFile(ino)
    await retryStale(async () =>
      check(call, place, place.name === '' ? undefined : await child(fs, call.caller, place.dir, place.name)),
    )
    await settle(call, place, ino, temporary)
  } catch (error) {
    await discard(call, place.dir, temporary)
    throw error
  }
  return validators(call, ino)
}

async function answerPart(call: ExportCall, place: Place, part: Part): Promise<void> {
  const { ino } = await putPart(call, place, part)
  answer(call, place.inode ? 204 : 201, await validators(call, ino))
}

function refuseCodings(call: ExportCall): void {
  const encoding = header(call, 'content-encoding')
  if (encoding !== undefined && encoding !== 'identity') throw new HttpFailure(415, 'content codings are not kept')
  if (Number(header(call, 'content-length') ?? 0) > FILE_MAX) throw new HttpFailure(413)
}

/** Throws unless the target, as it is now, may be created or replaced. */
async function check(call: ExportCall, place: Place, current: Inode | undefined): Promise<void> {
  needPossible(call, place, current)
  const checking = call.fs.dav.check(call.caller, place, 'content')
  if (isPromise(checking)) await checking
  if (!current) return
  const access = call.fs.access(call.caller, current.ino, W_OK)
  const { granted } = isPromise(access) ? await access : access
  if (granted !== W_OK) throw new HttpFailure(403)
}

/** The same for what the target is, and what the client expects of it. */
function needPossible(call: ExportCall, place: Place, current: Inode | undefined): void {
  if (place.name === '' || current?.type === DIR)
    throw new HttpFailure(405, 'a directory', { headers: { Allow: 'GET, HEAD, PROPFIND' } })
  if (call.target.trailingSlash) throw new HttpFailure(409, "a file's address does not end in a slash")
  if (current && current.type !== REG) throw new HttpFailure(403, 'devices, sockets and pipes are not served')
  evaluate(call.req.headers, validatorsOf(current), false)
}

function validatorsOf(inode: Inode | undefined): Validators {
  return inode && { etag: etagOf(inode), modifiedS: inode.mtimeS }
}

/** Gives the new file the replaced one's owner as far as the caller may, and the time the client asked for. */
export async function adopt(
  call: ExportCall,
  fresh: Inode,
  replaced: { uid: number; gid: number } | undefined,
  mtime: { s: number; ns: number } | undefined,
  mode?: number,
): Promise<void> {
  const { fs, unbound: caller } = call
  if (replaced && (replaced.uid !== fresh.uid || replaced.gid !== fresh.gid)) {
    try {
      await fs.setattr(caller, fresh.ino, { uid: replaced.uid, gid: replaced.gid })
    } catch (error) {
      // As with any editor that writes a new file: only root can give files away.
      if (!isFsError(error, 'EPERM', 'EACCES')) throw error
    }
  }
  if (mode !== undefined && mode !== fresh.mode) await fs.setattr(caller, fresh.ino, { mode })
  // Last, since writing sets it as well.
  if (mtime) await fs.setattr(caller, fresh.ino, { mtime })
}

/** The temporary takes its final name. */
async function settle(call: ExportCall, { dir, name }: Place, ino: number, temporary: string): Promise<void> {
  const { fs, caller, unbound } = call
  if (header(call, 'if-none-match')?.trim() !== '*') {
    await fs.rename(caller, dir, temporary, dir, name, { fresh: 'content' })
    return
  }
  try {
    await fs.link(caller, ino, dir, name)
  } catch (error) {
    throw isFsError(error, 'EEXIST') ? new HttpFailure(412) : error
  }
  await fs.remove(unbound, dir, temporary)
}

/**
 * The stored file's validators: a client may cache what it has just sent. Without them when they cannot be had (it is already gone
 * again, the node has just withdrawn): the upload itself is done and durable, and nothing may deny that any more.
 */
async function validators(call: ExportCall, ino: number): Promise<Record<string, string>> {
  try {
    return validatorsOfFile(await call.fs.getattr(ino))
  } catch (error) {
    if (isFsError(error) || isMatrixError(error)) return {}
    throw error
  }
}
