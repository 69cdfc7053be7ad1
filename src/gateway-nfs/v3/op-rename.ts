/** RENAME (RFC 1813 3.3.14). */
import type { FileName } from '../../metadata/index.ts'
import { WIRE_STRING_MAX } from '../limits.ts'
import { putChange, readHandle } from './attributes.ts'
import type { DirAnswer, Operation, Targets } from './operation.ts'

type Answer = { readonly from: DirAnswer; readonly to: DirAnswer }
type Args = Targets & { readonly fromName: FileName; readonly toName: FileName }

export const rename: Operation<Args, Answer> = {
  name: 'RENAME',
  effect: 'change',
  failure: ['change', 'change'],
  decode(from) {
    const object = readHandle(from)
    const fromName = from.string(WIRE_STRING_MAX)
    const other = readHandle(from)
    return { object, fromName, other, toName: from.string(WIRE_STRING_MAX) }
  },
  run: (call, { fromName, toName }) =>
    call.fs.rename(call.caller, call.ino, fromName, call.other, toName, { request: call.request }),
  again: ({ object, other }) => ({ from: { before: undefined, dir: object }, to: { before: undefined, dir: other } }),
  encode(out, call, { from, to }) {
    putChange(out, from.before, call.fs, from.dir)
    putChange(out, to.before, call.fs, to.dir)
  },
}
