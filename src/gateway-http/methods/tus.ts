/**
 * Resumable uploads by tus 1.0.0 (https://tus.io/protocols/resumable-upload): core, creation, termination and expiration.
 *
 *     POST  directory                 a hidden file there; 201 with its URL, `directory?upload=ID`
 *     PATCH directory?upload=ID       bytes from Upload-Offset on; what has arrived is durable when it is answered, and stays when the
 *                                     connection breaks. With the last byte the file takes its name, as with PUT
 *     HEAD, DELETE                    how far it is; never mind
 *
 * How far an upload is, is the size of its hidden file; what it will be, a dead property of it. So it goes on at whatever node, and outlives any. A day
 * after its last byte the first listing of the directory removes it (temporaries.ts).
 */
import { randomBytes } from 'node:crypto'
import { isFsError } from '../../base/errors.ts'
import { FILE_MAX } from '../../base/limits.ts'
import { isPromise } from '../../base/maybe-promise.ts'
import type { Inode } from '../../metadata/index.ts'
import { DIR, REG, W_OK } from '../../metadata/index.ts'
import { answer, type Call, durable, type ExportCall, header } from '../call.ts'
import { HttpFailure } from '../failure.ts'
import { formatHttpDate } from '../http-date.ts'
import { fileMode } from '../http-export.ts'
import { STALE_TEMPORARY_MS } from '../limits.ts'
import { decodeSegment, hrefOf } from '../paths.ts'
import { pipeBody } from '../request-body.ts'
import { child, find } from '../resolve.ts'
import { isTemporaryName, temporaryName } from '../temporaries.ts'
import { type FileTime, uploadTime } from '../upload-time.ts'
import { adopt } from './put.ts'

const VERSION = '1.0.0'
const STATE = '{urn:matrixfs:upload}state'
const MAX_METADATA_BYTES = 4096

/** What every answer to OPTIONS says of it. */
export const tusHeaders = {
  'Tus-Resumable': VERSION,
  'Tus-Version': VERSION,
  'Tus-Extension': 'creation,termination,expiration',
  'Tus-Max-Size': String(FILE_MAX),
} as const

/** What an upload will be: kept with it. */
type State = {
  /** A byte string, as 'latin1'. */
  readonly name: string
  readonly length: number
  /** As the client gave it. */
  readonly metadata: string
  /** If-None-Match: * of its creation. */
  readonly onlyNew: boolean
  /** X-OC-Mtime of its creation. */
  readonly time?: FileTime
}

type Upload = { readonly dir: number; readonly temporary: string; readonly inode: Inode; readonly state: State }

/** The id in the URL of an upload. */
export function uploadId({ target }: Call): string | undefined {
  return /^upload=([0-9a-f]{24})$/.exec(target.query)?.[1]
}

export async function createUpload(call: ExportCall): Promise<void> {
  if (header(call, 'tus-resumable') === undefined)
    throw new HttpFailure(405, 'POST makes a resumable upload (tus)', { headers: { Allow: 'GET, HEAD, PUT' } })
  needVersion(call)
  const length = Number(header(call, 'upload-length') ?? Number.NaN)
  if (!/^\d{1,16}$/.test(header(call, 'upload-length') ?? '')) throw new HttpFailure(400, 'Upload-Length is necessary')
  if (length > FILE_MAX) throw new HttpFailure(413)
  const metadata = header(call, 'upload-metadata') ?? ''
  const onlyNew = header(call, 'if-none-match')?.trim() === '*'
  const time = uploadTime(call)
  const state: State = { name: nameIn(metadata), length, metadata, onlyNew, ...(time && { time }) }
  const { fs, caller, unbound } = call
  const { inode: dir } = await find(fs, caller, call.path)
  if (dir.type !== DIR) throw new HttpFailure(409, 'an upload is made in a directory')
  const { ino } = dir
  await checkTarget(call, ino, state)
  const id = randomBytes(12).toString('hex')
  const temporary = temporaryName(id)
  const { inode } = await fs.create(unbound, ino, temporary, { mode: fileMode(call.share) }, 'guarded')
  await fs.dav.patchProperties(
    unbound,
    { dir: ino, name: temporary },
    { set: new Map([[STATE, JSON.stringify(state)]]), remove: [], attributes: {} },
  )
  if (length === 0) await finish(call, { dir: ino, temporary, inode, state })
  await durable(fs)
  answer(call, 201, {
    'Tus-Resumable': VERSION,
    Location: `${hrefOf([call.share.name, ...call.path], true)}?upload=${id}`,
    'Upload-Expires': expiryOf(inode),
  })
}

export async function patchUpload(call: ExportCall): Promise<void> {
  needVersion(call)
  if (header(call, 'content-type')?.trim() !== 'application/offset+octet-stream') throw new HttpFailure(415)
  const upload = await uploadAt(call)
  const { fs, unbound } = call
  const { inode, state } = upload
  const { ino, size: offset } = inode
  if (header(call, 'upload-offset')?.trim() !== String(offset))
    throw new HttpFailure(409, `the upload is at ${offset}`, { headers: { 'Upload-Offset': String(offset) } })
  if (Number(header(call, 'content-length') ?? 0) > state.length - offset) throw new HttpFailure(413)
  let arrived = 0
  try {
    await pipeBody(call, (at, piece) => {
      if (offset + at + piece.length > state.length) throw new HttpFailure(413)
      arrived = at + piece.length
      const writing = fs.write(unbound, ino, offset + at, piece, false, true)
      return isPromise(writing) ? writing : undefined
    })
  } finally {
    await fs.commitFile(ino)
  }
  if (offset + arrived === state.length) await finish(call, upload)
  await durable(fs)
  answer(call, 204, { 'Tus-Resumable': VERSION, 'Upload-Offset': String(offset + arrived) })
}

export async function headUpload(call: ExportCall): Promise<void> {
  needVersion(call)
  const { inode, state } = await uploadAt(call)
  answer(call, 200, {
    'Tus-Resumable': VERSION,
    'Upload-Offset': String(inode.size),
    'Upload-Length': String(state.length),
    'Upload-Expires': expiryOf(inode),
    'Cache-Control': 'no-store',
    ...(state.metadata !== '' && { 'Upload-Metadata': state.metadata }),
  })
}

export async function removeUpload(call: ExportCall): Promise<void> {
  needVersion(call)
  const { dir, temporary } = await uploadAt(call)
  await call.fs.remove(call.unbound, dir, temporary)
  await durable(call.fs)
  answer(call, 204, { 'Tus-Resumable': VERSION })
}

function needVersion(call: Call): void {
  if (header(call, 'tus-resumable') !== VERSION)
    throw new HttpFailure(412, `tus ${VERSION} is spoken here`, { headers: { 'Tus-Version': VERSION } })
}

/** The file's name from Upload-Metadata: pairs of a key and a value in base64. */
function nameIn(metadata: string): string {
  if (metadata.length > MAX_METADATA_BYTES) throw new HttpFailure(413)
  for (const pair of metadata.split(',')) {
    const [key, value = ''] = pair.trim().split(' ')
    if (key !== 'filename') continue
    const name = decodeSegment(encodeURIComponent(Buffer.from(value, 'base64').toString('utf8')))
    if (name === '' || isTemporaryName(name)) break
    return name
  }
  throw new HttpFailure(400, 'Upload-Metadata: a filename is necessary')
}

async function uploadAt(call: ExportCall): Promise<Upload> {
  const id = uploadId(call)
  if (id === undefined) throw new HttpFailure(405, 'no upload', { headers: { Allow: 'GET, HEAD, PUT' } })
  const { fs, caller } = call
  const { inode: dir } = await find(fs, caller, call.path)
  if (dir.type !== DIR) throw new HttpFailure(404)
  const temporary = temporaryName(id)
  const inode = await child(fs, caller, dir.ino, temporary)
  const kept = inode && (await fs.dav.properties([inode.ino])).get(inode.ino)?.get(STATE)
  if (!inode || kept === undefined) throw new HttpFailure(404, 'there is no such upload')
  const { granted } = await fs.access(caller, inode.ino, W_OK)
  if (granted !== W_OK) throw new HttpFailure(403)
  return { dir: dir.ino, temporary, inode, state: JSON.parse(kept) as State }
}

/** What may be refused is refused before a byte is sent. */
async function checkTarget(
  { fs, caller }: ExportCall,
  dir: number,
  { name, onlyNew }: State,
): Promise<Inode | undefined> {
  const current = await child(fs, caller, dir, name)
  if (current && onlyNew) throw new HttpFailure(412)
  if (current && current.type !== REG) throw new HttpFailure(405, 'something else than a file has that name')
  await fs.dav.check(caller, { dir, name }, 'content')
  if (!current) return undefined
  const { granted } = await fs.access(caller, current.ino, W_OK)
  if (granted !== W_OK) throw new HttpFailure(403)
  return current
}

/** The upload is whole: it takes its name. When it may not (any more), it stays, and an empty PATCH tries again. */
async function finish(call: ExportCall, { dir, temporary, inode, state }: Upload): Promise<void> {
  const { fs, caller } = call
  const current = await checkTarget(call, dir, state)
  await adopt(call, inode, current, state.time, current && current.mode & 0o1777)
  await fs.commitFile(inode.ino)
  try {
    // what it is to become goes with its hidden name
    await fs.rename(caller, dir, temporary, dir, state.name, { noReplace: state.onlyNew, fresh: 'content' })
  } catch (error) {
    throw state.onlyNew && isFsError(error, 'EEXIST') ? new HttpFailure(412) : error
  }
}

function expiryOf({ ctimeS }: Inode): string {
  return formatHttpDate(ctimeS + STALE_TEMPORARY_MS / 1000)
}
