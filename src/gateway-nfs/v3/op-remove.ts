/** REMOVE (RFC 1813 3.3.12): takes away the name of a file, device or link. */
import type { FileName } from '../../metadata/index.ts'
import { WIRE_STRING_MAX } from '../limits.ts'
import { putChange, readHandle } from './attributes.ts'
import type { DirAnswer, Operation, Targets } from './operation.ts'

type Args = Targets & { readonly name: FileName }

export const remove: Operation<Args, DirAnswer> = {
  name: 'REMOVE',
  effect: 'change',
  failure: ['change'],
  decode: (from) => ({ object: readHandle(from), name: from.string(WIRE_STRING_MAX) }),
  run: (call, { name }) => call.fs.remove(call.caller, call.ino, name, call.request),
  again: ({ object }) => ({ before: undefined, dir: object }),
  encode: (out, call, { before, dir }) => putChange(out, before, call.fs, dir),
}
