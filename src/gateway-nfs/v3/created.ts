/** The result that CREATE, MKDIR, SYMLINK and MKNOD share: the new object's handle and attributes, and the directory's change. */
import type { Created } from '../../metadata/index.ts'
import type { XdrWriter } from '../xdr/writer.ts'
import { putAfter, putChange, putHandle } from './attributes.ts'
import type { Call } from './operation.ts'

export function putCreated(out: XdrWriter, call: Call, { inode, before, dir }: Created): void {
  out.uint32(1)
  putHandle(out, call.exported, inode)
  putAfter(out, call.fs, inode)
  putChange(out, before, call.fs, dir)
}
