/**
 * A directory of a WebDAV server as a tree that is copied into: another matrix, reached by HTTP, or any server that keeps dead properties and takes PUT with Content-Range.
 *
 * Every answer of a matrix means that what it says is durable, so there is nothing to flush. Symbolic links, pipes and several names of one file do not exist there (ENOTSUP). What WebDAV has no
 * place for is kept in a dead property (posix-property.ts), which goes with a MOVE; the modification time is set as Windows does it, too, so that others see it to the second.
 *
 * The number of an object is made of its entity tag: any change by anybody gives it another one, and the replicator looks at the content again.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type CreationOptions, InodeFlags, type InodeLike } from '@zenfs/core'
import { MiB } from '../../base/units.ts'
import { AsyncFileSystem, type ErrorCode, failure } from '../../program-api/index.ts'
import type { Tree } from '../tree.ts'
import { type DavAnswer, DavClient, type DavRequest } from './dav-client.ts'
import type { DavPlace } from './dav-url.ts'
import { DAV, type DavResource, parseMultistatus, REPLICA } from './multistatus.ts'
import { formatPosix, parsePosix } from './posix-property.ts'

/** "dav " */
const TYPE = 0x64617620
const PERMISSIONS = 0o7777
const MULTI_STATUS = 207
const ZEROES = Buffer.alloc(1 * MiB)
const asked = `<propfind xmlns="${DAV}"><prop><resourcetype/><getetag/><getcontentlength/><getlastmodified/><posix xmlns="${REPLICA}"/></prop></propfind>`

const codes: Readonly<Record<number, ErrorCode>> = {
  401: 'EACCES',
  403: 'EACCES',
  404: 'ENOENT',
  405: 'EEXIST',
  409: 'ENOENT',
  412: 'EEXIST',
  413: 'EFBIG',
  423: 'EBUSY',
  501: 'ENOTSUP',
  503: 'ETIMEDOUT',
  507: 'ENOSPC',
}

export class DavTree extends AsyncFileSystem implements Tree {
  readonly #client: DavClient
  readonly #base: string
  /** Of files that have been made here and not got their name yet, bytes. */
  readonly #sizes = new Map<string, number>()

  constructor(place: DavPlace) {
    super(TYPE, 'dav')
    this.#client = new DavClient(place)
    this.#base = place.url.pathname
    this.attributes.set('no_atime')
    this.attributes.set('no_async_preload')
  }

  async stat(path: string): Promise<InodeLike> {
    const [resource] = await this.#find(path, 0)
    if (!resource) throw failure('ENOENT', `stat '${path}'`)
    return inodeOf(resource)
  }

  async readdir(path: string): Promise<string[]> {
    return (await this.#find(path, 1)).slice(1).map(({ href }) => nameOf(href))
  }

  /** A file is never cut: whoever copies begins with an empty one. */
  async touch(path: string, { mode, uid, gid, size, mtimeMs }: Partial<InodeLike>): Promise<void> {
    if (size !== undefined) await this.#fill(path, size)
    if (mode === undefined && uid === undefined && gid === undefined && mtimeMs === undefined) return
    const [resource] = await this.#find(path, 0)
    if (!resource) throw failure('ENOENT', `touch '${path}'`)
    const now = inodeOf(resource)
    const shownS = mtimeMs === undefined ? resource.modifiedS : Math.floor(mtimeMs / 1000)
    const wanted = {
      mode: (now.mode & constants.S_IFMT) | ((mode ?? now.mode) & PERMISSIONS),
      ...{ uid: uid ?? now.uid, gid: gid ?? now.gid, mtimeMs: mtimeMs ?? now.mtimeMs, shownS },
    }
    const time = mtimeMs === undefined ? '' : windowsTime(shownS)
    const set = await this.#patch(path, `<posix xmlns="${REPLICA}">${formatPosix(wanted)}</posix>${time}`)
    if (mtimeMs === undefined || set.modifiedS === shownS) return
    // a server that shows the time of the upload: what is kept is good as long as it does
    await this.#patch(path, `<posix xmlns="${REPLICA}">${formatPosix({ ...wanted, shownS: set.modifiedS })}</posix>`)
  }

  /** EEXIST when there is anything by that name. */
  async createFile(path: string, { mode }: CreationOptions): Promise<InodeLike> {
    const format = mode & constants.S_IFMT
    if (format === constants.S_IFDIR) return this.mkdir(path, { mode })
    if (format !== 0 && format !== constants.S_IFREG) throw failure('ENOTSUP', `mknod '${path}'`)
    await this.#must({ method: 'PUT', path, headers: { 'If-None-Match': '*' } })
    this.#sizes.set(path, 0)
    return this.stat(path)
  }

  async mkdir(path: string, _: Pick<CreationOptions, 'mode'>): Promise<InodeLike> {
    await this.#must({ method: 'MKCOL', path: `${path}/` })
    return this.stat(path)
  }

  async symlink(_target: string, path: string): Promise<void> {
    throw failure('ENOTSUP', `symlink '${path}'`)
  }

  async link(_target: string, path: string): Promise<void> {
    throw failure('ENOTSUP', `link '${path}'`)
  }

  async unlink(path: string): Promise<void> {
    this.#sizes.delete(path)
    await this.#must({ method: 'DELETE', path })
  }

  /** DELETE takes everything in a directory with it: it has to be empty, and still be so as its entity tag was then. */
  async rmdir(path: string): Promise<void> {
    const [own, ...inside] = await this.#find(path, 1)
    if (!own) throw failure('ENOENT', `rmdir '${path}'`)
    if (inside.length > 0) throw failure('ENOTEMPTY', `rmdir '${path}'`)
    const { status } = await this.#client.ask({
      ...{ method: 'DELETE', path },
      ...(own.etag !== '' && { headers: { 'If-Match': own.etag } }),
    })
    if (status === 412) throw failure('ENOTEMPTY', `rmdir '${path}'`)
    check(status, `rmdir '${path}'`)
  }

  async rename(from: string, to: string): Promise<void> {
    for (const path of [from, to]) this.#sizes.delete(path)
    const { href } = this.#client.urlOf(to)
    await this.#must({ method: 'MOVE', path: from, headers: { Destination: href, Overwrite: 'T' } })
  }

  async read(path: string, buffer: Uint8Array, start: number, end: number): Promise<void> {
    const into = buffer.subarray(0, Math.max(0, end - start))
    if (into.length === 0) return
    const answer = await this.#client.ask({
      ...{ method: 'GET', path, headers: { Range: `bytes=${start}-${end - 1}` } },
    })
    // beyond the end of the file it reads as zeroes
    if (answer.status !== 416) check(answer.status, `read '${path}'`)
    const bytes = answer.status === 206 ? answer.body : answer.body.subarray(answer.status === 200 ? start : Infinity)
    into.fill(0)
    into.set(bytes.subarray(0, into.length))
  }

  async write(path: string, buffer: Uint8Array, offset: number): Promise<void> {
    if (buffer.length === 0) return
    await this.#fill(path, offset)
    await this.#put(path, buffer, offset)
  }

  async #put(path: string, bytes: Uint8Array, offset: number): Promise<void> {
    const end = offset + bytes.length
    const range = `bytes ${offset}-${end - 1}/*`
    await this.#must({ method: 'PUT', path, headers: { 'Content-Range': range }, body: bytes })
    const known = this.#sizes.get(path)
    if (known !== undefined) this.#sizes.set(path, Math.max(known, end))
  }

  /** Up to there: a part may begin at the end of a file, and not behind it, so there are no holes. */
  async #fill(path: string, end: number): Promise<void> {
    const now = this.#sizes.get(path) ?? (await this.stat(path)).size
    for (let offset = now; offset < end; offset += ZEROES.length)
      await this.#put(path, ZEROES.subarray(0, end - offset), offset)
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {
    this.#client.close()
  }

  /** Sets properties; gives the resource as it is then. */
  async #patch(path: string, properties: string): Promise<DavResource> {
    const body = `<propertyupdate xmlns="${DAV}"><set><prop>${properties}</prop></set></propertyupdate>`
    const answer = await this.#must({ method: 'PROPPATCH', path, headers: { 'Content-Type': 'text/xml' }, body })
    const refused =
      answer.status === MULTI_STATUS ? parseMultistatus(answer.body).flatMap(({ refusals }) => refusals) : []
    if (refused.length > 0)
      throw failure(codes[refused[0] as number] ?? 'EIO', `the server keeps no properties of '${path}'`)
    const [resource] = await this.#find(path, 0)
    if (!resource) throw failure('ENOENT', `touch '${path}'`)
    return resource
  }

  /** The object itself, and with depth 1 what is in it. */
  async #find(path: string, depth: 0 | 1): Promise<DavResource[]> {
    const headers = { Depth: depth, 'Content-Type': 'text/xml' }
    const answer = await this.#must({ method: 'PROPFIND', path, headers, body: asked })
    if (answer.status !== MULTI_STATUS) throw failure('ENOTSUP', `the server speaks no WebDAV at '${path}'`)
    const all = parseMultistatus(answer.body)
    const own = decoded(this.#base + path)
      .replaceAll(/\/+/g, '/')
      .replace(/\/$/, '')
    const isOwn = ({ href }: DavResource) => decoded(pathOf(href)).replace(/\/$/, '') === own
    return [...all.filter(isOwn), ...all.filter((each) => !isOwn(each))]
  }

  async #must(request: DavRequest): Promise<DavAnswer> {
    const answer = await this.#client.ask(request)
    check(answer.status, `${request.method} '${request.path}'`)
    return answer
  }
}

function check(status: number, doing: string): void {
  if (status < 200 || status >= 300) throw failure(codes[status] ?? 'EIO', `${doing} was answered with ${status}`)
}

function inodeOf({ isCollection, etag, length, modifiedS, replica }: DavResource): InodeLike {
  const posix = parsePosix(replica)
  const format = isCollection ? constants.S_IFDIR : constants.S_IFREG
  const permissions = (posix?.mode ?? (isCollection ? 0o755 : 0o644)) & PERMISSIONS
  const mtimeMs = posix?.shownS === modifiedS ? posix.mtimeMs : modifiedS * 1000
  return {
    ...{ ino: numberOf(etag), mode: format | permissions, nlink: 1, uid: posix?.uid ?? 0, gid: posix?.gid ?? 0 },
    ...{ size: isCollection ? 0 : length, rdev: 0, data: 0, flags: InodeFlags.DAX },
    ...{ mtimeMs, ctimeMs: modifiedS * 1000, atimeMs: mtimeMs, birthtimeMs: mtimeMs },
  }
}

/** 48 bits of it. */
function numberOf(etag: string): number {
  return createHash('sha256').update(etag).digest().readUIntBE(0, 6)
}

function windowsTime(seconds: number): string {
  const date = new Date(seconds * 1000).toUTCString()
  return `<Win32LastModifiedTime xmlns="urn:schemas-microsoft-com:">${date}</Win32LastModifiedTime>`
}

function pathOf(href: string): string {
  return URL.canParse(href) ? new URL(href).pathname : href
}

function nameOf(href: string): string {
  return decoded(pathOf(href)).replace(/\/$/, '').split('/').at(-1) as string
}

/** What is not UTF-8 comes with U+FFFD, and leads nowhere. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return Buffer.from(
      path.replaceAll(/%([0-9a-f]{2})/gi, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16))),
      'latin1',
    ).toString()
  }
}
