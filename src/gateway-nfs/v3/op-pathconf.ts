/** PATHCONF (RFC 1813 3.3.20). */
import { LINK_MAX, NAME_MAX } from '../../base/limits.ts'
import type { Inode } from '../../metadata/index.ts'
import { putAfter, readHandle } from './attributes.ts'
import { subject } from './filesystem-facts.ts'
import type { Operation, Targets } from './operation.ts'

export const pathconf: Operation<Targets, Inode> = {
  name: 'PATHCONF',
  effect: 'read',
  failure: ['after'],
  decode: (from) => ({ object: readHandle(from) }),
  run: subject,
  encode(out, call, inode) {
    putAfter(out, call.fs, inode)
    out.uint32(LINK_MAX)
    out.uint32(NAME_MAX)
    out.bool(true) // no_trunc: a long name is an error
    out.bool(true) // chown_restricted
    out.bool(false) // case_insensitive
    out.bool(true) // case_preserving
  },
}
