/** WRITE (RFC 1813 3.3.7). DATA_SYNC is served as FILE_SYNC: the inode goes with the data in any case. */
import type { Changed } from '../../metadata/index.ts'
import { TRANSFER_MAX } from '../limits.ts'
import { XdrError } from '../xdr/reader.ts'
import { putChange, readHandle } from './attributes.ts'
import { FILE_SYNC, NFS3ERR_FBIG, NFS3ERR_INVAL, UNSTABLE } from './constants.ts'
import type { Operation, Targets } from './operation.ts'
import { Nfs3Failure } from './status.ts'

type Args = Targets & {
  readonly offset: number
  readonly count: number
  readonly stable: number
  /** A view on the record: valid only until `run` returns. */
  readonly data: Buffer
}

export const write: Operation<Args, Changed> = {
  name: 'WRITE',
  effect: 'data',
  failure: ['change'],
  decode(from) {
    const object = readHandle(from)
    const offset = from.uint64()
    const count = from.uint32()
    const stable = from.uint32()
    if (stable > FILE_SYNC) throw new XdrError('a write is stable in an unknown way')
    return { object, offset, count, stable, data: from.opaque(TRANSFER_MAX) }
  },
  run(call, { offset, count, stable, data }) {
    if (count !== data.length) throw new Nfs3Failure(NFS3ERR_INVAL)
    if (!Number.isSafeInteger(offset + count)) throw new Nfs3Failure(NFS3ERR_FBIG)
    return call.fs.write(call.caller, call.ino, offset, data, stable !== UNSTABLE)
  },
  encode(out, call, { before, inode }, args) {
    putChange(out, before, call.fs, inode)
    out.uint32(args.count)
    out.uint32(args.stable === UNSTABLE ? UNSTABLE : FILE_SYNC)
    out.fixed(call.fs.writeVerifier)
  },
}
