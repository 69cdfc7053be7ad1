/** The result that CREATE, MKDIR, SYMLINK and MKNOD share: the new object's handle and attributes, and the directory's change. */
import type { Inode } from '../../metadata/index.ts'
import type { XdrWriter } from '../xdr/writer.ts'
import { putAfter, putChange, putHandle } from './attributes.ts'
import type { Call, DirAnswer, Inodes } from './operation.ts'

export type CreatedAnswer = DirAnswer & { readonly inode: Inode | undefined }

export function putCreated(out: XdrWriter, call: Call, { inode, before, dir }: CreatedAnswer): void {
  out.uint32(inode ? 1 : 0)
  if (inode) putHandle(out, call.exported, inode)
  putAfter(out, call.fs, inode)
  putChange(out, before, call.fs, dir)
}

export function createdAgain({ object, made }: Inodes): CreatedAnswer {
  return { before: undefined, dir: object, inode: made }
}
