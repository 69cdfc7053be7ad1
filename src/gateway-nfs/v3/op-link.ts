/** LINK (RFC 1813 3.3.15): one more name for a file. */
import type { FileName, Inode } from '../../metadata/index.ts'
import { WIRE_STRING_MAX } from '../limits.ts'
import { putAfter, putChange, readHandle } from './attributes.ts'
import type { DirAnswer, Operation, Targets } from './operation.ts'

type Args = Targets & { readonly name: FileName }

export const link: Operation<Args, DirAnswer & { readonly inode: Inode | undefined }> = {
  name: 'LINK',
  effect: 'change',
  failure: ['after', 'change'],
  decode(from) {
    const object = readHandle(from)
    const other = readHandle(from)
    return { object, other, name: from.string(WIRE_STRING_MAX) }
  },
  run: (call, { name }) => call.fs.link(call.caller, call.ino, call.other, name, call.request),
  again: ({ object, other }) => ({ inode: object, before: undefined, dir: other }),
  encode(out, call, { inode, before, dir }) {
    putAfter(out, call.fs, inode)
    putChange(out, before, call.fs, dir)
  },
}
