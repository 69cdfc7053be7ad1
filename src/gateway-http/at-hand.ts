/**
 * A plain GET of a small file that this node has at hand is answered in the turn of the event loop that brought it: no promise, no Koa, and one write.
 *
 * It is a short cut and nothing else: it says word for word what methods/get.ts would say. So it declines, and the request goes the usual way, as soon as anything
 * might make a difference: a header that it does not know to make none, somebody who signs in, a path that is more than names, a symbolic link, a lock or
 * content that is not here yet, a failure of whatever kind. What it has asked the filesystem by then are reads, and these do no harm twice.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { InvariantError } from '../base/assert.ts'
import { type Ino, ROOT_INO } from '../base/ids.ts'
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts'
import { KiB } from '../base/units.ts'
import { type Inode, R_OK, REG } from '../metadata/index.ts'
import { contentTypeOf, isCompressible } from './content-types.ts'
import { fileHeaders } from './file-headers.ts'
import { versionOf } from './file-pieces.ts'
import type { HttpExport } from './http-export.ts'
import { parseTarget } from './paths.ts'
import { isTemporaryName } from './temporaries.ts'

/** Up to so much goes out as one string with its header, bytes: what the kernel takes from Node without a buffer in between is 16 KiB. */
const MAX_BYTES = 15 * KiB

/** Headers of a request that do not change the answer to a GET of a file. Those of `Connection` are the HTTP server's own matter. */
const indifferent = new Set([
  ...['accept', 'accept-charset', 'accept-language', 'cache-control', 'connection', 'dnt', 'from', 'host', 'pragma'],
  ...['priority', 'referer', 'sec-ch-ua', 'sec-ch-ua-mobile', 'sec-ch-ua-platform', 'sec-fetch-dest', 'sec-fetch-mode'],
  ...['sec-fetch-site', 'sec-fetch-user', 'sec-gpc', 'te', 'upgrade-insecure-requests', 'user-agent'],
])

/** Thrown by nobody but `now`: what was asked for takes longer than this turn. */
const LATER = Symbol('later')

/** True: the request has been answered. `exports`: those that anybody may read. */
export function answerAtHand(req: IncomingMessage, res: ServerResponse, exports: () => readonly HttpExport[]): boolean {
  if (req.method !== 'GET' || req.httpVersionMinor !== 1) return false
  try {
    const found = lookUp(req, exports)
    if (!found) return false
    const { share, inode, type } = found
    const { fs, caller } = share
    if (now(fs.access(caller, inode.ino, R_OK)).granted !== R_OK) return false
    const version = versionOf(inode)
    const { pieces, length } = now(fs.read(caller, inode.ino, 0, version.size, true))
    if (length !== version.size) return false
    // every byte of a file is a character of latin1
    const body = (pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)).toString('latin1')
    const headers = fileHeaders(share, { version, type, isPacked: false })
    headers['Content-Type'] = type
    headers['Content-Length'] = String(length)
    if (isCompressible(type)) headers.Vary = 'Accept-Encoding'
    res.writeHead(200, headers).end(body, 'latin1')
    return true
  } catch (error) {
    if (error instanceof InvariantError) throw error
    return false
  }
}

type FoundFile = { readonly share: HttpExport; readonly inode: Inode; readonly type: string }

/** The regular, small file that is asked for. */
function lookUp(req: IncomingMessage, exports: () => readonly HttpExport[]): FoundFile | undefined {
  const { segments, trailingSlash } = parseTarget(req.url as string)
  if (segments.length < 2 || trailingSlash) return undefined
  const type = contentTypeOf(segments.at(-1) as string)
  const isPackable = isCompressible(type)
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    const name = (req.rawHeaders[i] as string).toLowerCase()
    if (!indifferent.has(name) && (isPackable || name !== 'accept-encoding')) return undefined
  }
  const share = exports().find(({ name }) => name === segments[0])
  if (!share) return undefined
  let ino: Ino = ROOT_INO
  let inode: Inode | undefined
  for (let i = 1; i < segments.length; i++) {
    const name = segments[i] as string
    if (isTemporaryName(name)) return undefined
    inode = now(share.fs.lookup(share.caller, ino, name)).inode
    ino = inode.ino
  }
  if (inode?.type !== REG || inode.size === 0 || inode.size > MAX_BYTES) return undefined
  return { share, inode, type }
}

function now<T>(answer: MaybePromise<T>): T {
  if (!isPromise(answer)) return answer
  answer.catch(() => undefined) // whoever goes the usual way meets it again
  throw LATER
}
