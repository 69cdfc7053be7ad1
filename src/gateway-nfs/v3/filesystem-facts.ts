/** What FSSTAT, FSINFO and PATHCONF share: they are asked about any object, and answer about its filesystem. */
import type { MaybePromise } from '../../base/maybe-promise.ts'
import { isPromise } from '../../base/maybe-promise.ts'
import type { Inode } from '../../metadata/index.ts'
import { type Call, checkGeneration, type Targets } from './operation.ts'

/** The object asked about, which must be there. */
export function subject(call: Call, args: Targets): MaybePromise<Inode> {
  const checked = (inode: Inode) => {
    checkGeneration(inode, args.object)
    return inode
  }
  const inode = call.fs.getattr(call.ino)
  return isPromise(inode) ? inode.then(checked) : checked(inode)
}
