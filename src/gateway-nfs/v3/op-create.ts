/** CREATE (RFC 1813 3.3.8): unchecked, guarded, or exclusive by a verifier that survives a lost reply. */
import type { AttributeChanges, CreateHow, FileName } from '../../metadata/index.ts'
import { WIRE_STRING_MAX } from '../limits.ts'
import { XdrError, type XdrReader } from '../xdr/reader.ts'
import { readAttributesToSet, readHandle } from './attributes.ts'
import { EXCLUSIVE, GUARDED, NFS3ERR_FBIG, UNCHECKED, VERIFIER_BYTES } from './constants.ts'
import { type CreatedAnswer, createdAgain, putCreated } from './created.ts'
import type { Operation, Targets } from './operation.ts'
import { Nfs3Failure } from './status.ts'

type Args = Targets & { readonly name: FileName; readonly how: CreateHow; readonly attributes: AttributeChanges }

function readHow(from: XdrReader): Pick<Args, 'how' | 'attributes'> {
  const how = from.uint32()
  switch (how) {
    case UNCHECKED:
    case GUARDED:
      return { how: how === GUARDED ? 'guarded' : 'unchecked', attributes: readAttributesToSet(from) }
    case EXCLUSIVE:
      return { how: { verifier: Buffer.from(from.fixed(VERIFIER_BYTES)) }, attributes: {} }
    default:
      throw new XdrError('a file is created in an unknown way')
  }
}

export const create: Operation<Args, CreatedAnswer> = {
  name: 'CREATE',
  effect: 'change',
  failure: ['change'],
  decode: (from) => ({ object: readHandle(from), name: from.string(WIRE_STRING_MAX), ...readHow(from) }),
  run(call, { name, attributes, how }) {
    if (!Number.isSafeInteger(attributes.size ?? 0)) throw new Nfs3Failure(NFS3ERR_FBIG)
    return call.fs.create(call.caller, call.ino, name, attributes, how, call.request)
  },
  again: createdAgain,
  encode: putCreated,
}
