/** SETATTR (RFC 1813 3.3.2), with its guard: a ctime that the client believes to be current. */
import { isFsError } from '../../base/errors.ts'
import { isPromise } from '../../base/maybe-promise.ts'
import type { AttributeChanges, Before, Inode } from '../../metadata/index.ts'
import { putChange, readAttributesToSet, readHandle } from './attributes.ts'
import { NFS3ERR_FBIG, NFS3ERR_NOT_SYNC } from './constants.ts'
import type { Operation, Targets } from './operation.ts'
import { Nfs3Failure } from './status.ts'

type Answer = { readonly before: Before | undefined; readonly inode: Inode | undefined }
type Args = Targets & {
  readonly attributes: AttributeChanges
  readonly guardCtime: { readonly s: number; readonly ns: number } | undefined
}

/** Under a guard EAGAIN says that the ctime is another. */
function guarded(error: unknown): never {
  throw isFsError(error, 'EAGAIN') ? new Nfs3Failure(NFS3ERR_NOT_SYNC) : error
}

export const setattr: Operation<Args, Answer> = {
  name: 'SETATTR',
  effect: 'change',
  failure: ['change'],
  decode: (from) => ({
    object: readHandle(from),
    attributes: readAttributesToSet(from),
    guardCtime: from.bool() ? { s: from.uint32(), ns: from.uint32() } : undefined,
  }),
  run(call, { attributes, guardCtime }) {
    if (!Number.isSafeInteger(attributes.size ?? 0)) throw new Nfs3Failure(NFS3ERR_FBIG)
    if (!guardCtime) return call.fs.setattr(call.caller, call.ino, attributes, undefined, call.request)
    try {
      const changed = call.fs.setattr(call.caller, call.ino, attributes, guardCtime, call.request)
      return isPromise(changed) ? changed.catch(guarded) : changed
    } catch (error) {
      return guarded(error)
    }
  },
  again: ({ object }) => ({ before: undefined, inode: object }),
  encode: (out, call, { before, inode }) => putChange(out, before, call.fs, inode),
}
