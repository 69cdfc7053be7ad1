/** ACCESS (RFC 1813 3.3.4): six bits of the protocol from the three of POSIX, by kind of object. */
import { DIR, type Inode, R_OK, W_OK, X_OK } from '../../metadata/index.ts'
import { putAfter, readHandle } from './attributes.ts'
import * as c from './constants.ts'
import { checkGeneration, type Operation, type Targets } from './operation.ts'

type Args = Targets & { readonly access: number }
type Result = { readonly inode: Inode; readonly granted: number }

/** Each protocol bit with what it needs; entries are changed and removed by who may write and search a directory. */
const DIRECTORY_RIGHTS = [
  [c.ACCESS3_READ, R_OK],
  [c.ACCESS3_LOOKUP, X_OK],
  [c.ACCESS3_MODIFY, W_OK | X_OK],
  [c.ACCESS3_EXTEND, W_OK | X_OK],
  [c.ACCESS3_DELETE, W_OK | X_OK],
] as const
/** DELETE of a file is its directory's business (RFC 1813 3.3.4). */
const FILE_RIGHTS = [
  [c.ACCESS3_READ, R_OK],
  [c.ACCESS3_MODIFY, W_OK],
  [c.ACCESS3_EXTEND, W_OK],
  [c.ACCESS3_EXECUTE, X_OK],
] as const

const CHANGING = c.ACCESS3_MODIFY | c.ACCESS3_EXTEND | c.ACCESS3_DELETE

export const access: Operation<Args, Result> = {
  name: 'ACCESS',
  effect: 'read',
  failure: ['after'],
  decode: (from) => ({ object: readHandle(from), access: from.uint32() }),
  run: (call) => call.fs.access(call.caller, call.ino, R_OK | W_OK | X_OK),
  encode(out, call, { inode, granted }, args) {
    checkGeneration(inode, args.object)
    let bits = 0
    for (const [bit, needs] of inode.type === DIR ? DIRECTORY_RIGHTS : FILE_RIGHTS) {
      if ((granted & needs) === needs) bits |= bit
    }
    if (call.exported.access === 'ro') bits &= ~CHANGING
    putAfter(out, call.fs, inode)
    out.uint32(bits & args.access)
  },
}
