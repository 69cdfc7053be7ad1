/**
 * A directory, or some of what is in it, as one ZIP file that is made while it is sent: nothing is kept but the place in the tree, one
 * piece of a file and the central directory.
 *
 * 1. A file is in the archive in one version. One that changes while it is read is begun again; its earlier attempt is in the stream and in no
 *    directory (zip-writer.ts). After MAX_TRIES it is left out.
 * 2. What is left out (not readable, kept changing, vanished) is named in a text file at the end: an archive never lacks something in silence.
 * 3. Links are links in the archive when they point within it. Others would mean something else wherever it is unpacked: they are left out and named.
 * 4. When the filesystem fails, the connection is cut: a half archive does not pass for a whole one.
 */
import { FsError, isFsError } from '../../base/errors.ts'
import { isPromise } from '../../base/maybe-promise.ts'
import { DIR, type Inode, LNK, R_OK, REG } from '../../metadata/index.ts'
import type { ExportCall } from '../call.ts'
import { contentTypeOf } from '../content-types.ts'
import { attachment } from '../disposition.ts'
import { HttpFailure } from '../failure.ts'
import { copyOut, FileChanged, type Piece, readPiece, type Version, versionOf } from '../file-pieces.ts'
import { MAX_ZIP_DIRECTORY_BYTES, MAX_ZIP_REMARKS, PIECE_BYTES } from '../limits.ts'
import { type Member, members } from '../members.ts'
import { send } from '../outlet.ts'
import { displayName, isWithin } from '../paths.ts'
import { child, type Found } from '../resolve.ts'
import { memberName } from './member-name.ts'
import { MAX_NAME_BYTES, type MemberHead } from './records.ts'
import { type Part, ZipWriter } from './zip-writer.ts'

const MAX_TRIES = 3
const REMARKS_NAME = 'NOT IN THIS ARCHIVE.txt'
const S_IFDIR = 0o040_000
const S_IFREG = 0o100_000
const S_IFLNK = 0o120_000

/** `only`: paths below the directory; undefined means all of it. */
export async function sendFolder(
  call: ExportCall,
  place: Found,
  only: readonly (readonly string[])[] | undefined,
): Promise<void> {
  const { res } = call
  const title = call.path.at(-1) ?? call.share.name
  const starts = only && (await selected(call, place, only))
  call.ctx.respond = false
  res.writeHead(200, {
    'Content-Type': 'application/zip',
    'Content-Disposition': attachment(`${displayName(title)}.zip`),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  })
  if (call.req.method === 'HEAD') return void res.end()
  const archive = new FolderArchive(call, title)
  await archive.addDirectory(place.inode, [])
  if (starts) for (const start of starts) await archive.addTree(start)
  else await archive.addBelow(place.inode.ino, [])
  await archive.end()
  res.end()
}

/** What was chosen, without what lies in other directories that were. Fails before anything is sent when something of it is not there. */
async function selected(
  call: ExportCall,
  place: Found,
  only: readonly (readonly string[])[],
): Promise<readonly Member[]> {
  const outermost = only.filter(
    (path, i) => !only.some((other, j) => i !== j && isWithin(path, other) && (path.length > other.length || j < i)),
  )
  const found: Member[] = []
  for (const path of outermost) {
    let at: Inode | undefined = place.inode
    let dir = place.inode.ino
    for (const name of path) {
      if (at?.type !== DIR) throw new HttpFailure(404)
      dir = at.ino
      at = await child(call.fs, call.caller, dir, name)
    }
    if (!at || path.length === 0) throw new HttpFailure(404)
    found.push({ dir, ino: at.ino, type: at.type, path })
  }
  return found
}

class FolderArchive {
  readonly #call: ExportCall
  readonly #zip: ZipWriter
  readonly #title: string
  readonly #remarks: string[] = []
  #leftOut = 0
  #full = false

  constructor(call: ExportCall, title: string) {
    this.#call = call
    this.#title = memberName(title)
    this.#zip = new ZipWriter((chunk, done) => send(call.res, chunk, done))
  }

  async addTree(start: Member): Promise<void> {
    const name = await this.#nameOf(start, [])
    await this.#add(start, name)
    if (start.type === DIR) await this.addBelow(start.ino, start.path, name)
  }

  /** Everything below `dir`, whose own name in the archive is `at`. */
  async addBelow(dir: number, path: readonly string[], at: readonly string[] = []): Promise<void> {
    // The names in the archive of the directories down to where the walk stands.
    const names: string[] = [...at]
    const walk = members(this.#call, dir, path, (refused, error) => this.#refuse(refused, error))
    for await (const member of walk) {
      if (this.#full) return
      names.length = at.length + (member.path.length - path.length) - 1
      const name = await this.#nameOf(member, names)
      if (member.type === DIR) names.push(name.at(-1) as string)
      await this.#add(member, name)
    }
  }

  async addDirectory(inode: Inode, name: readonly string[]): Promise<void> {
    await this.#zip.addWhole(this.#head(inode, name, S_IFDIR), Buffer.alloc(0), false)
  }

  async end(): Promise<void> {
    if (this.#leftOut > 0) {
      const more = this.#leftOut - this.#remarks.length
      const text = `Not everything of "${displayName(this.#title)}" is in this archive:\r\n\r\n${this.#remarks.join('\r\n')}\r\n${
        more > 0 ? `… and ${more} more\r\n` : ''
      }`
      const head = {
        name: Buffer.from(REMARKS_NAME),
        mode: S_IFREG | 0o644,
        mtimeS: Math.floor(this.#call.workshop.clock.wall() / 1000),
      }
      await this.#zip.addWhole(head, Buffer.from(text), false)
    }
    await this.#zip.end()
  }

  async #add(member: Member, name: readonly string[]): Promise<void> {
    if (this.#zip.centralBytes > MAX_ZIP_DIRECTORY_BYTES) {
      this.#full = true
      this.#leaveOut(
        member.path,
        `an archive holds no more than ${this.#zip.count} members; this and what follows is missing`,
      )
      return
    }
    try {
      if (this.#nameBytes(name).length >= MAX_NAME_BYTES) throw new FsError('ENAMETOOLONG')
      if (member.type === REG) await this.#addFile(member, name)
      else if (member.type === DIR) await this.addDirectory(await this.#call.fs.getattr(member.ino), name)
      else if (member.type === LNK) await this.#addLink(member, name)
    } catch (error) {
      if (!(error instanceof FileChanged) && !isFsError(error, 'EACCES', 'EPERM', 'ESTALE', 'ENOENT', 'ENAMETOOLONG'))
        throw error
      this.#refuse(member.path, error)
    }
  }

  async #addFile(member: Member, name: readonly string[]): Promise<void> {
    const { fs, caller } = this.#call
    const access = fs.access(caller, member.ino, R_OK)
    const { granted } = isPromise(access) ? await access : access
    if (granted !== R_OK) throw new FsError('EACCES')
    const opening = fs.open(member.ino)
    if (isPromise(opening)) await opening
    try {
      for (let tries = 1; ; tries++) {
        try {
          return await this.#addVersion(member.ino, name)
        } catch (error) {
          if (!(error instanceof FileChanged) || tries === MAX_TRIES) throw error
        }
      }
    } finally {
      fs.close(member.ino)
    }
  }

  async #addVersion(ino: number, name: readonly string[]): Promise<void> {
    const call = this.#call
    const reading = call.fs.read(call.caller, ino, 0, PIECE_BYTES, true)
    const result = isPromise(reading) ? await reading : reading
    const head = this.#head(result.inode, name, S_IFREG)
    const version = versionOf(result.inode)
    const compress = isCompressible(name.at(-1) as string)
    if (result.length >= version.size) {
      await this.#zip.addWhole(head, Buffer.concat(result.pieces, result.length), compress)
      return
    }
    await this.#zip.addStream(head, pieces(call, ino, version, copyOut(call, result)), version.size, compress)
  }

  async #addLink(member: Member, name: readonly string[]): Promise<void> {
    const { inode, target } = await this.#call.fs.readlink(this.#call.caller, member.ino)
    const ups = /^(?:\.\.\/)*/.exec(target)?.[0].length as number
    const rest = target.slice(ups)
    const isWithinArchive = ups / 3 < name.length && !rest.startsWith('/') && !/(?:^|\/)\.\.(?:\/|$)/.test(rest)
    if (!isWithinArchive) return this.#leaveOut(member.path, 'a link that points elsewhere')
    await this.#zip.addWhole(this.#head(inode, name, S_IFLNK), Buffer.from(target, 'latin1'), false)
  }

  #head(inode: Inode, name: readonly string[], type: number): MemberHead {
    const bytes = this.#nameBytes(name)
    return {
      name: type === S_IFDIR ? Buffer.concat([bytes, Buffer.from('/')]) : bytes,
      mode: type | (inode.mode & 0o777),
      mtimeS: inode.mtimeS,
    }
  }

  #nameBytes(name: readonly string[]): Buffer {
    return Buffer.from([this.#title, ...name].join('/'), 'latin1')
  }

  /** In the archive a member has its own name, or one that is legal there and nobody beside it has. */
  async #nameOf({ dir, path }: Member, above: readonly string[]): Promise<readonly string[]> {
    const own = path.at(-1) as string
    let name = memberName(own)
    if (name !== own) while (await child(this.#call.fs, this.#call.caller, dir, name)) name += '_'
    return above.length === 0 && path.length > 1 ? [...path.slice(0, -1).map(memberName), name] : [...above, name]
  }

  #refuse(path: readonly string[], error: unknown): void {
    const why =
      error instanceof FileChanged
        ? 'it kept changing while it was read'
        : isFsError(error, 'ENOENT', 'ESTALE')
          ? 'it was removed meanwhile'
          : isFsError(error, 'ENAMETOOLONG') || error instanceof HttpFailure
            ? 'it lies too deep'
            : 'no permission to read it'
    this.#leaveOut(path, why)
  }

  #leaveOut(path: readonly string[], why: string): void {
    this.#leftOut++
    if (this.#remarks.length < MAX_ZIP_REMARKS) this.#remarks.push(`${path.map(displayName).join('/')}: ${why}`)
  }
}

/** The file in pieces, the first of which is already there. Throws FileChanged. */
async function* pieces(call: ExportCall, ino: number, version: Version, first: Piece): AsyncGenerator<Part> {
  const part = ({ piece, length }: Piece): Part => ({
    bytes: piece.subarray(0, length),
    free: () => call.workshop.pieces.give(piece),
  })
  yield part(first)
  for (let offset = first.length; offset < version.size; ) {
    const next = await readPiece(call, ino, version, offset, version.size - 1)
    offset += next.length
    yield part(next)
  }
}

/** Pictures, films, archives and what nobody knows gain nothing from deflate. */
function isCompressible(name: string): boolean {
  const type = contentTypeOf(name)
  return /^text\/|^application\/(?:json|xml|toml|yaml|rtf|wasm)$|^image\/(?:svg\+xml|bmp)$/.test(type)
}
