/** FSINFO (RFC 1813 3.3.19): what the server is able to do. */
import { BLOCK_SIZE, FILE_MAX } from '../../base/limits.ts'
import type { Inode } from '../../metadata/index.ts'
import { DIRECTORY_PREFERRED } from '../limits.ts'
import { putAfter, readHandle } from './attributes.ts'
import { FSF3_CANSETTIME, FSF3_HOMOGENEOUS, FSF3_LINK, FSF3_SYMLINK } from './constants.ts'
import { subject } from './filesystem-facts.ts'
import type { Operation, Targets } from './operation.ts'

export const fsinfo: Operation<Targets, Inode> = {
  name: 'FSINFO',
  effect: 'read',
  failure: ['after'],
  decode: (from) => ({ object: readHandle(from) }),
  run: subject,
  encode(out, call, inode) {
    putAfter(out, call.fs, inode)
    const { transferMax } = call
    for (const transfer of [transferMax, transferMax, BLOCK_SIZE]) out.uint32(transfer) // read: max, preferred, multiple
    for (const transfer of [transferMax, transferMax, BLOCK_SIZE]) out.uint32(transfer) // write
    out.uint32(Math.min(DIRECTORY_PREFERRED, transferMax))
    out.uint64(FILE_MAX)
    out.uint32(0) // times are kept to
    out.uint32(1) // one nanosecond
    out.uint32(FSF3_LINK | FSF3_SYMLINK | FSF3_HOMOGENEOUS | FSF3_CANSETTIME)
  },
}
