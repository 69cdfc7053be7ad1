/** READDIR (RFC 1813 3.3.16): as many entries as fit into the bytes that the client asks for. */
import type { DirListing } from '../../metadata/index.ts'
import { READDIR_ENTRIES_MAX, TRANSFER_MAX } from '../limits.ts'
import { AFTER_BYTES, putAfter, readHandle } from './attributes.ts'
import { NFS3ERR_BAD_COOKIE, NFS3ERR_TOOSMALL } from './constants.ts'
import { type CookieVerifier, checkCookie, entryBytes, putEntry, putVerifier, readVerifier } from './directory.ts'
import { checkGeneration, type Operation, type Targets } from './operation.ts'
import { Nfs3Failure } from './status.ts'

type Args = Targets & {
  readonly cookie: number
  readonly verifier: CookieVerifier
  /** Most bytes of the READDIR3resok. */
  readonly count: number
}

/** READDIR3resok without entries: directory's attributes, verifier, end of list, eof. */
const EMPTY_BYTES = AFTER_BYTES + 8 + 8
/** A short name's entry: more are asked of the filesystem than will fit, but not many more. */
const LIKELY_ENTRY_BYTES = 36

export const readdir: Operation<Args, DirListing> = {
  name: 'READDIR',
  effect: 'read',
  failure: ['after'],
  decode: (from) => ({
    object: readHandle(from),
    cookie: from.uint64(),
    verifier: readVerifier(from),
    count: Math.min(from.uint32(), TRANSFER_MAX),
  }),
  run(call, { cookie, count }) {
    if (!Number.isSafeInteger(cookie)) throw new Nfs3Failure(NFS3ERR_BAD_COOKIE)
    const limit = Math.min(Math.ceil(count / LIKELY_ENTRY_BYTES) + 1, READDIR_ENTRIES_MAX)
    return call.fs.readdir(call.caller, call.ino, cookie, limit)
  },
  expectedBytes: ({ count }) => count,
  resultBytes: (_, { count }) => 4 + Math.max(count, EMPTY_BYTES),
  encode(out, call, { dir, entries, eof }, { object, cookie, verifier, count }) {
    checkGeneration(dir, object)
    checkCookie(dir, cookie, verifier)
    let room = Math.min(count, call.transferMax) - EMPTY_BYTES
    const first = entries[0]
    if (room < 0 || (first && entryBytes(first) > room)) throw new Nfs3Failure(NFS3ERR_TOOSMALL)
    putAfter(out, call.fs, dir)
    putVerifier(out, dir)
    let fitted = 0
    for (const entry of entries) {
      room -= entryBytes(entry)
      if (room < 0) break
      putEntry(out, entry)
      fitted++
    }
    out.bool(false)
    out.bool(eof && fitted === entries.length)
  },
}
