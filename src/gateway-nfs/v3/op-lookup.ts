/** LOOKUP (RFC 1813 3.3.3). */
import { lookupAbove } from '../../export/index.ts'
import type { FileName, Inode } from '../../metadata/index.ts'
import { WIRE_STRING_MAX } from '../limits.ts'
import { putAfter, putHandle, readHandle } from './attributes.ts'
import type { Operation, Targets } from './operation.ts'

type Args = Targets & { readonly name: FileName }
type Result = { readonly dir: Inode; readonly inode: Inode }

export const lookup: Operation<Args, Result> = {
  name: 'LOOKUP',
  effect: 'read',
  failure: ['after'],
  decode: (from) => ({ object: readHandle(from), name: from.string(WIRE_STRING_MAX) }),
  run({ exported, fs, caller, ino }, { name }) {
    if (name === '..' && exported.key) return lookupAbove(exported, caller, ino)
    return fs.lookup(caller, ino, name)
  },
  encode(out, call, { dir, inode }) {
    putHandle(out, call.exported, inode)
    putAfter(out, call.fs, inode)
    putAfter(out, call.fs, dir)
  },
}
