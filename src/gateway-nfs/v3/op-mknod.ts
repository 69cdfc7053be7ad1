/** MKNOD (RFC 1813 3.3.11): devices, sockets and fifos; any other type is BADTYPE. */
import { type AttributeChanges, BLK, CHR, FIFO, type FileName, type FileType, SOCK } from '../../metadata/index.ts'
import { WIRE_STRING_MAX } from '../limits.ts'
import { XdrError, type XdrReader } from '../xdr/reader.ts'
import { readAttributesToSet, readHandle } from './attributes.ts'
import { NFS3ERR_BADTYPE } from './constants.ts'
import { type CreatedAnswer, createdAgain, putCreated } from './created.ts'
import type { Operation, Targets } from './operation.ts'
import { Nfs3Failure } from './status.ts'

type Node = {
  readonly type: FileType
  /** Undefined for a type that is not made by MKNOD. */
  readonly attributes: AttributeChanges | undefined
  readonly major: number
  readonly minor: number
}
type Args = Targets & Node & { readonly name: FileName }

function readNode(from: XdrReader): Node {
  const type = from.uint32()
  switch (type) {
    case CHR:
    case BLK:
      return { type, attributes: readAttributesToSet(from), major: from.uint32(), minor: from.uint32() }
    case SOCK:
    case FIFO:
      return { type, attributes: readAttributesToSet(from), major: 0, minor: 0 }
    default:
      if (type < 1 || type > 7) throw new XdrError('an object has an unknown type')
      return { type: type as FileType, attributes: undefined, major: 0, minor: 0 }
  }
}

export const mknod: Operation<Args, CreatedAnswer> = {
  name: 'MKNOD',
  effect: 'change',
  failure: ['change'],
  decode: (from) => ({ object: readHandle(from), name: from.string(WIRE_STRING_MAX), ...readNode(from) }),
  run(call, { name, type, attributes, major, minor }) {
    if (!attributes) throw new Nfs3Failure(NFS3ERR_BADTYPE)
    return call.fs.mknod(call.caller, call.ino, name, type, attributes, major, minor, call.request)
  },
  again: createdAgain,
  encode: putCreated,
}
