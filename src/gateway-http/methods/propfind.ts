/**
 * PROPFIND (RFC 4918 9.1): one resource, a directory with its members, or a whole tree.
 *
 * Depth 0 and 1 are streamed batch by batch at the client's pace: a directory of a million entries needs no more memory than a
 * small one. Depth infinity is put together first, up to MAX_INFINITE_ENTRIES, since only then is it known whether it must be refused.
 */
import { isFsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { ROOT_INO } from '../../base/ids.ts'
import { isPromise } from '../../base/maybe-promise.ts'
import type { Inode, InodeVersion, ListingSeal } from '../../metadata/index.ts'
import { asOfNow, DIR, isVersion, LNK, REG, versionOfInode } from '../../metadata/index.ts'
import type { Call, ExportCall } from '../call.ts'
import { setText, streamText } from '../compression.ts'
import { depthOf } from '../depth.ts'
import { HttpFailure } from '../failure.ts'
import { LISTING_BATCH, MAX_INFINITE_ENTRIES, MAX_RENDERED_ENTRIES, MAX_TREE_DEPTH, MAX_XML_BYTES } from '../limits.ts'
import type { Outlet } from '../outlet.ts'
import { encodeSegment, hrefOf } from '../paths.ts'
import { compile, type Details, detailsFor, type Renderer, statisticsFor } from '../properties.ts'
import type { RenderedListing } from '../rendered-entries.ts'
import { readBody } from '../request-body.ts'
import { type Found, find } from '../resolve.ts'
import { isTemporaryName, sweep } from '../temporaries.ts'
import { multistatusEnd, multistatusStart, response, XML_TYPE } from '../xml/multistatus.ts'
import { parsePropfind } from '../xml/propfind-body.ts'

/** A directory to list: its inode number and the segments of its URL. */
type Directory = { readonly ino: Ino; readonly url: readonly string[] }
/** `parts`: of the answer, in order. As bytes: one string of all of them would be put together twice before it is sent. */
type Batch = {
  readonly parts: readonly Buffer[]
  readonly count: number
  readonly directories: readonly Directory[]
  /** What it was made from, when it was made from these inodes alone. */
  readonly seal: ListingSeal | undefined
}

export async function propfind(call: ExportCall): Promise<void> {
  const depth = depthOf(call, 'infinity')
  const renderer = compile(parsePropfind(await readBody(call, MAX_XML_BYTES)))
  const { dir, inode } = await find(call.fs, call.caller, call.path)
  const isDir = inode.type === DIR
  if (!isDir && inode.type !== REG) throw new HttpFailure(403, 'devices, sockets and pipes are not served')
  if (!isDir && call.target.trailingSlash) throw new HttpFailure(404, 'a file, not a directory')
  const url = [call.share.name, ...call.path]
  const own = { ino: inode.ino, url }
  const first = response(hrefOf(url, isDir), await renderOne(call, renderer, url.at(-1) as string, dir, inode))
  if (!isDir || depth === '0') return reply(call, multistatusStart + first + multistatusEnd)
  if (depth === 'infinity') return wholeTree(call, renderer, own, first)
  await stream(call, renderer, own, first)
}

/** PROPFIND of the gateway's own root: the exports. */
export async function propfindRoot(call: Call): Promise<void> {
  const depth = depthOf(call, 'infinity')
  const renderer = compile(parsePropfind(await readBody(call, MAX_XML_BYTES)))
  if (depth === 'infinity') throw tooDeep()
  let text = ''
  for (const { name, fs } of call.workshop.exports()) {
    const inode = await fs.getattr(ROOT_INO)
    const statistics = await statisticsFor(renderer, fs)
    // The root itself is nowhere on the LUNs: it borrows the attributes of the first export.
    if (text === '') text = response('/', renderer.render({ name: '', inode, statistics }))
    if (depth === '1') text += response(hrefOf([name], true), renderer.render({ name, inode, statistics }))
  }
  await reply(call, multistatusStart + text + multistatusEnd)
}

async function renderOne(call: ExportCall, renderer: Renderer, name: string, dir: Ino, inode: Inode): Promise<string> {
  const statistics = await statisticsFor(renderer, call.fs)
  const asking = detailsFor(renderer, call.fs, dir, [inode.ino])
  const shown = isPromise(asking) ? asOfNow(inode) : inode
  return renderer.render({ name, ...resourceOf(call, shown, await asking), statistics })
}

function resourceOf(call: Call, inode: Inode, { locks, dead }: Details) {
  const { ino } = inode
  return { inode, locks: locks?.get(ino), dead: dead?.get(ino), wallMs: call.workshop.clock.wall() }
}

function reply(call: Call, text: string | Buffer): Promise<void> {
  call.ctx.status = 207
  call.ctx.set('Content-Type', XML_TYPE)
  return setText(call, text)
}

async function stream(call: ExportCall, renderer: Renderer, directory: Directory, first: string): Promise<void> {
  let before: Buffer[] = [Buffer.from(multistatusStart + first)]
  let outlet: Outlet | undefined
  const rendered = call.workshop.listings.at(`${hrefOf(directory.url, true)} ${renderer.key}`)
  const whole = await rendered.whole(call.fs, call.caller, directory.ino)
  if (whole) {
    // as it lies there: a copy of it is what costs most
    outlet = streamText(call, 207, { 'Content-Type': XML_TYPE })
    await outlet.write(multistatusStart + first)
    await outlet.write(whole)
    outlet.end(multistatusEnd)
    return
  }
  const sealing = new Sealing()
  for await (const batch of batches(call, renderer, directory, rendered)) {
    // Only once the first batch is there: until then a failure still gets its own status.
    outlet ??= streamText(call, 207, { 'Content-Type': XML_TYPE })
    await outlet.write(Buffer.concat([...before, ...batch.parts]))
    before = []
    sealing.add(batch)
  }
  const { seal, parts } = sealing
  if (seal) rendered.keep(parts, seal)
  if (outlet) outlet.end(multistatusEnd)
  else await reply(call, multistatusStart + first + multistatusEnd)
}

/** Puts a listing together again that is answered batch by batch, as long as it can be kept. */
class Sealing {
  parts: Buffer[] = []
  #dir: InodeVersion | undefined
  readonly #members: InodeVersion[] = []
  #isBroken = false

  add({ parts, seal }: Batch): void {
    if (this.#isBroken) return
    this.#dir ??= seal?.dir
    // between two batches a directory may change
    if (
      seal &&
      this.#dir &&
      isVersion(this.#dir, seal.dir.inode) &&
      this.#members.length + seal.members.length <= MAX_RENDERED_ENTRIES
    ) {
      this.parts.push(...parts)
      this.#members.push(...seal.members)
      return
    }
    this.#isBroken = true
    this.parts = []
  }

  get seal(): ListingSeal | undefined {
    return this.#isBroken || !this.#dir ? undefined : { dir: this.#dir, members: this.#members }
  }
}

async function wholeTree(call: ExportCall, renderer: Renderer, root: Directory, first: string): Promise<void> {
  const parts: Buffer[] = [Buffer.from(multistatusStart + first)]
  const waiting: Directory[] = [root]
  let count = 1
  for (let directory = waiting.pop(); directory; directory = waiting.pop()) {
    if (directory.url.length > MAX_TREE_DEPTH) throw tooDeep()
    try {
      for await (const batch of batches(call, renderer, directory)) {
        count += batch.count
        if (count > MAX_INFINITE_ENTRIES) throw tooDeep()
        parts.push(...batch.parts)
        waiting.push(...batch.directories)
      }
    } catch (error) {
      // A directory that vanished, or that the caller may not list, is shown without its members.
      if (directory === root || !isFsError(error, 'ESTALE', 'ENOENT', 'EACCES', 'EPERM')) throw error
    }
  }
  parts.push(Buffer.from(multistatusEnd))
  await reply(call, Buffer.concat(parts))
}

function tooDeep(): HttpFailure {
  return new HttpFailure(403, 'ask with Depth 1', { condition: 'propfind-finite-depth' })
}

/** `rendered`: entries as they were shown before. */
async function* batches(
  call: ExportCall,
  renderer: Renderer,
  { ino, url }: Directory,
  rendered?: RenderedListing,
): AsyncGenerator<Batch> {
  const { fs, caller } = call
  const base = hrefOf(url, true)
  const statistics = await statisticsFor(renderer, fs)
  let cookie = 0
  for (;;) {
    const listing = fs.readdirplus(caller, ino, cookie, LISTING_BATCH)
    const listed = isPromise(listing) ? await listing : listing
    let { entries } = listed
    const { eof } = listed
    // of a listing that was waited for the directory may be another by now
    const dirThen = isPromise(listing) ? undefined : versionOfInode(listed.dir)
    const members = entries.flatMap(({ name, inode }) => (name === '.' || name === '..' || !inode ? [] : [inode.ino]))
    const asking = detailsFor(renderer, fs, ino, members)
    if (isPromise(asking)) entries = asOfNow(entries)
    const details = isPromise(asking) ? await asking : asking
    const parts: Buffer[] = []
    let count = 0
    const directories: Directory[] = []
    const links: string[] = []
    const versions: InodeVersion[] = []
    let isPlain = details.locks === undefined && details.dead === undefined && !statistics
    const wallMs = call.workshop.clock.wall()
    // Everything of the batch is rendered before anything is awaited: inodes go on changing.
    for (const { name, inode } of entries) {
      if (name === '.' || name === '..' || !inode) continue
      if (inode.type === LNK) links.push(name)
      else if (isTemporaryName(name)) {
        sweep(call, ino, name, inode)
        // the next listing looks at it again
        isPlain = false
      } else if (inode.type === REG || inode.type === DIR) {
        const isDir = inode.type === DIR
        const locks = details.locks?.get(inode.ino)
        const dead = details.dead?.get(inode.ino)
        const render = () =>
          response(
            `${base}${encodeSegment(name)}${isDir ? '/' : ''}`,
            renderer.render({ name, inode, locks, dead, wallMs, statistics }),
          )
        const isReusable = !locks?.length && !dead?.size && !statistics
        const version = versionOfInode(inode)
        versions.push(version)
        parts.push(isReusable && rendered ? rendered.entry(name, version, render) : Buffer.from(render()))
        count++
        if (isDir) directories.push({ ino: inode.ino, url: [...url, name] })
      }
    }
    const last = entries.at(-1)
    if (last) cookie = last.cookie
    if (links.length > 0) isPlain = false
    for (const name of links) {
      const target = await linkTarget(call, [...url.slice(1), name])
      if (!target) continue
      const href = `${base}${encodeSegment(name)}${target.inode.type === DIR ? '/' : ''}`
      parts.push(Buffer.from(response(href, await renderOne(call, renderer, name, target.dir, target.inode))))
      count++
      // Not walked into: trees with links upwards would have no end.
    }
    const seal = isPlain && dirThen ? { dir: dirThen, members: versions } : undefined
    if (count > 0) yield { parts, count, directories, seal }
    if (eof || !last) return
  }
}

/** What a link shows as; nothing when it dangles, leads out, or to what is not served. */
async function linkTarget({ fs, caller }: ExportCall, path: readonly string[]): Promise<Found | undefined> {
  try {
    const found = await find(fs, caller, path)
    return found.inode.type === REG || found.inode.type === DIR ? found : undefined
  } catch (error) {
    if (error instanceof HttpFailure || isFsError(error)) return undefined
    throw error
  }
}
