/**
 * A plain GET of a small file that this node has at hand, answered in the turn of the event loop that brought it: no promise and no Koa.
 *
 * It is a short cut and nothing else: it says word for word what methods/get.ts would say. So it declines, and the request goes the usual way, as soon as anything
 * might make a difference: a path that is more than names, a symbolic link, a lock or content that is not here yet, a failure of whatever kind. What it has asked the
 * filesystem by then are reads, and these do no harm twice.
 */
import { InvariantError } from '../../base/assert.ts'
import { KiB } from '../../base/units.ts'
import { R_OK, REG } from '../../metadata/index.ts'
import { contentTypeOf, isCompressible } from '../content-types.ts'
import { fileHeaders } from '../file-headers.ts'
import { versionOf } from '../file-pieces.ts'
import type { HttpExport } from '../http-export.ts'
import type { Answer } from './answer.ts'
import { now, placeAtHand } from './at-hand.ts'
import type { PlainGet } from './plain-request.ts'

/** Up to so much is copied to go out in one write with its header, bytes. */
const MAX_BYTES = 15 * KiB

/** `exports`: those that anybody may read. Throws InvariantError. */
export function quickGet({ target, mayPack }: PlainGet, exports: readonly HttpExport[]): Answer | undefined {
  try {
    const { share, dir, name } = placeAtHand(target, exports)
    const type = contentTypeOf(name)
    if (mayPack && isCompressible(type)) return undefined
    const { fs, caller } = share
    const { inode } = now(fs.lookup(caller, dir, name))
    if (inode.type !== REG || inode.size === 0 || inode.size > MAX_BYTES) return undefined
    if (now(fs.access(caller, inode.ino, R_OK)).granted !== R_OK) return undefined
    const version = versionOf(inode)
    const { pieces, length } = now(fs.read(caller, inode.ino, 0, version.size, true))
    if (length !== version.size) return undefined
    const headers = fileHeaders(share, { version, type, isPacked: false })
    headers['Content-Type'] = type
    headers['Content-Length'] = String(length)
    if (isCompressible(type)) headers.Vary = 'Accept-Encoding'
    return { status: 200, headers, body: pieces }
  } catch (error) {
    if (error instanceof InvariantError) throw error
    return undefined
  }
}
