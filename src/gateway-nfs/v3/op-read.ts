/** READ (RFC 1813 3.3.6). The data is copied from the cache into the reply in the verb's own turn: the cache may change after. */
import type { ReadResult } from '../../metadata/index.ts'
import { TRANSFER_MAX } from '../limits.ts'
import { AFTER_BYTES, putAfter, readHandle } from './attributes.ts'
import { NFS3ERR_INVAL } from './constants.ts'
import { checkGeneration, type Operation, type Targets } from './operation.ts'
import { Nfs3Failure } from './status.ts'

type Args = Targets & { readonly offset: number; readonly count: number }

export const read: Operation<Args, ReadResult> = {
  name: 'READ',
  effect: 'read',
  failure: ['after'],
  decode: (from) => ({ object: readHandle(from), offset: from.uint64(), count: from.uint32() }),
  run(call, { offset, count }) {
    if (!Number.isSafeInteger(offset + TRANSFER_MAX)) throw new Nfs3Failure(NFS3ERR_INVAL)
    return call.fs.read(call.caller, call.ino, offset, Math.min(count, call.transferMax))
  },
  expectedBytes: ({ count }) => Math.min(count, TRANSFER_MAX),
  resultBytes: ({ length }) => 4 + AFTER_BYTES + 16 + length,
  encode(out, call, { inode, pieces, length, eof }, args) {
    checkGeneration(inode, args.object)
    putAfter(out, call.fs, inode)
    out.uint32(length)
    out.bool(eof)
    out.uint32(length)
    let left = length
    for (const piece of pieces) {
      const bytes = piece.length <= left ? piece : piece.subarray(0, left)
      out.bytes.set(bytes, out.at)
      out.at += bytes.length
      left -= bytes.length
    }
    out.pad()
  },
}
