/** COMMIT (RFC 1813 3.3.21): always the whole file, whatever range is asked for. */
import type { Changed } from '../../metadata/index.ts'
import { putChange, readHandle } from './attributes.ts'
import type { Operation, Targets } from './operation.ts'

export const commit: Operation<Targets, Changed> = {
  name: 'COMMIT',
  effect: 'data',
  failure: ['change'],
  decode(from) {
    const object = readHandle(from)
    from.uint64()
    from.uint32()
    return { object }
  },
  run: (call) => call.fs.commitFile(call.ino),
  encode(out, call, { before, inode }) {
    putChange(out, before, call.fs, inode)
    out.fixed(call.fs.writeVerifier)
  },
}
