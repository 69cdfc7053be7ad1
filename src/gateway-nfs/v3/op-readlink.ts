/** READLINK (RFC 1813 3.3.5). */
import type { Inode } from '../../metadata/index.ts'
import { AFTER_BYTES, putAfter, readHandle } from './attributes.ts'
import { checkGeneration, type Operation, type Targets } from './operation.ts'

type Result = { readonly inode: Inode; readonly target: string }

export const readlink: Operation<Targets, Result> = {
  name: 'READLINK',
  effect: 'read',
  failure: ['after'],
  decode: (from) => ({ object: readHandle(from) }),
  run: (call) => call.fs.readlink(call.caller, call.ino),
  resultBytes: ({ target }) => 4 + AFTER_BYTES + 8 + target.length,
  encode(out, call, { inode, target }, args) {
    checkGeneration(inode, args.object)
    putAfter(out, call.fs, inode)
    out.string(target)
  },
}
