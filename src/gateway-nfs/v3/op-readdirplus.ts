/** READDIRPLUS (RFC 1813 3.3.17): entries with attributes and handles, within the two limits that the client gives. */
import type { DirListingPlus } from '../../metadata/index.ts'
import { READDIRPLUS_ENTRIES_MAX, TRANSFER_MAX } from '../limits.ts'
import { AFTER_BYTES, HANDLE_FIELD_BYTES, putAfter, putHandle, readHandle } from './attributes.ts'
import { NFS3ERR_BAD_COOKIE, NFS3ERR_TOOSMALL } from './constants.ts'
import {
  type CookieVerifier,
  checkCookie,
  entryBytes,
  nameBytes,
  putEntry,
  putVerifier,
  readVerifier,
} from './directory.ts'
import { checkGeneration, type Operation, type Targets } from './operation.ts'
import { Nfs3Failure } from './status.ts'

type Args = Targets & {
  readonly cookie: number
  readonly verifier: CookieVerifier
  /** dircount: most bytes of names, fileids and cookies. A hint: the first entry is sent whatever it says. */
  readonly nameBytes: number
  /** maxcount: most bytes of the READDIRPLUS3resok. */
  readonly replyBytes: number
}

const EMPTY_BYTES = AFTER_BYTES + 8 + 8
const PLUS_BYTES = AFTER_BYTES + 4 + HANDLE_FIELD_BYTES
const LIKELY_NAME_BYTES = 32

export const readdirplus: Operation<Args, DirListingPlus> = {
  name: 'READDIRPLUS',
  effect: 'read',
  failure: ['after'],
  decode: (from) => ({
    object: readHandle(from),
    cookie: from.uint64(),
    verifier: readVerifier(from),
    nameBytes: from.uint32(),
    replyBytes: Math.min(from.uint32(), TRANSFER_MAX),
  }),
  run(call, { cookie, nameBytes, replyBytes }) {
    if (!Number.isSafeInteger(cookie)) throw new Nfs3Failure(NFS3ERR_BAD_COOKIE)
    const byNames = Math.ceil(nameBytes / LIKELY_NAME_BYTES)
    const byReply = Math.ceil(replyBytes / (LIKELY_NAME_BYTES + PLUS_BYTES))
    const limit = Math.min(Math.max(1, Math.min(byNames, byReply)) + 1, READDIRPLUS_ENTRIES_MAX)
    return call.fs.readdirplus(call.caller, call.ino, cookie, limit)
  },
  expectedBytes: ({ replyBytes }) => replyBytes,
  resultBytes: (_, { replyBytes }) => 4 + Math.max(replyBytes, EMPTY_BYTES),
  encode(out, call, { dir, entries, eof }, { object, cookie, verifier, nameBytes: names, replyBytes }) {
    checkGeneration(dir, object)
    checkCookie(dir, cookie, verifier)
    let room = Math.min(replyBytes, call.transferMax) - EMPTY_BYTES
    let nameRoom = names
    const first = entries[0]
    if (room < 0 || (first && entryBytes(first) + PLUS_BYTES > room)) throw new Nfs3Failure(NFS3ERR_TOOSMALL)
    putAfter(out, call.fs, dir)
    putVerifier(out, dir)
    let fitted = 0
    for (const entry of entries) {
      room -= entryBytes(entry) + PLUS_BYTES
      nameRoom -= nameBytes(entry)
      if (room < 0 || (nameRoom < 0 && fitted > 0)) break
      putEntry(out, entry)
      putAfter(out, call.fs, entry.inode)
      if (entry.inode) {
        out.uint32(1)
        putHandle(out, call.exported, entry.inode)
      } else out.uint32(0)
      fitted++
    }
    out.bool(false)
    out.bool(eof && fitted === entries.length)
  },
}
