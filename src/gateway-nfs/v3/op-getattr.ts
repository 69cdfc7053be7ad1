/** GETATTR (RFC 1813 3.3.1). */
import type { Inode } from '../../metadata/index.ts'
import { putAttributes, readHandle } from './attributes.ts'
import { checkGeneration, type Operation, type Targets } from './operation.ts'

export const getattr: Operation<Targets, Inode> = {
  name: 'GETATTR',
  effect: 'read',
  failure: [],
  decode: (from) => ({ object: readHandle(from) }),
  run: (call) => call.fs.getattr(call.ino),
  encode(out, call, inode, args) {
    checkGeneration(inode, args.object)
    putAttributes(out, call.fs, inode)
  },
}
