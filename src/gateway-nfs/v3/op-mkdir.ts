/** MKDIR (RFC 1813 3.3.9). */
import type { AttributeChanges, FileName } from '../../metadata/index.ts'
import { WIRE_STRING_MAX } from '../limits.ts'
import { readAttributesToSet, readHandle } from './attributes.ts'
import { type CreatedAnswer, createdAgain, putCreated } from './created.ts'
import type { Operation, Targets } from './operation.ts'

type Args = Targets & { readonly name: FileName; readonly attributes: AttributeChanges }

export const mkdir: Operation<Args, CreatedAnswer> = {
  name: 'MKDIR',
  effect: 'change',
  failure: ['change'],
  decode: (from) => ({
    object: readHandle(from),
    name: from.string(WIRE_STRING_MAX),
    attributes: readAttributesToSet(from),
  }),
  run: (call, { name, attributes }) => call.fs.mkdir(call.caller, call.ino, name, attributes, call.request),
  again: createdAgain,
  encode: putCreated,
}
