/** SYMLINK (RFC 1813 3.3.10). */
import type { AttributeChanges, FileName } from '../../metadata/index.ts'
import { WIRE_STRING_MAX } from '../limits.ts'
import { readAttributesToSet, readHandle } from './attributes.ts'
import { type CreatedAnswer, createdAgain, putCreated } from './created.ts'
import type { Operation, Targets } from './operation.ts'

type Args = Targets & { readonly name: FileName; readonly attributes: AttributeChanges; readonly target: string }

export const symlink: Operation<Args, CreatedAnswer> = {
  name: 'SYMLINK',
  effect: 'change',
  failure: ['change'],
  decode: (from) => ({
    object: readHandle(from),
    name: from.string(WIRE_STRING_MAX),
    attributes: readAttributesToSet(from),
    target: from.string(WIRE_STRING_MAX),
  }),
  run: (call, { name, target, attributes }) =>
    call.fs.symlink(call.caller, call.ino, name, target, attributes, call.request),
  again: createdAgain,
  encode: putCreated,
}
