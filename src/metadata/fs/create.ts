/** CREATE of a regular file in its three ways (RFC 1813 3.3.8). */
import { FsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { EX } from '../../locking/index.ts'
import type { CachedInode } from '../cache/inode.ts'
import { DIR, type FileName, REG } from '../image/mutation.ts'
import { makeInode, needInsertable } from './make-inode.ts'
import { type Caller, type CreateAttributes, type Created, type CreateHow, W_OK, X_OK } from './matrix-fs.ts'
import { checkNewName } from './names.ts'
import type { Op } from './op.ts'
import { isOwner, need } from './permission.ts'
import { applyTruncate } from './truncate.ts'

/** `late`: durable, and its request done, only after the inode is cleaned. */
export type CreateResult = Created & { readonly late: boolean }

export function create(
  op: Op,
  caller: Caller,
  ino: Ino,
  name: FileName,
  attributes: CreateAttributes,
  how: CreateHow,
): CreateResult {
  const dir = op.directory(ino, EX)
  need(caller, dir, X_OK)
  checkNewName(name)
  const entry = op.entry(dir, name)
  if (entry) return existing(op, caller, dir, op.inode(entry.ino, EX), attributes, how)
  needInsertable(caller, dir)
  if (typeof how === 'string') return { ...makeInode(op, caller, dir, name, { type: REG, attributes }), late: false }
  const [s, ns] = timesOf(how.verifier)
  // The verifier is kept in the times until the client sets them; no size: the file is new to its maker only.
  const marked = { ...attributes, size: 0, atime: { s, ns: 0 }, mtime: { s: ns, ns: 0 } }
  return { ...makeInode(op, caller, dir, name, { type: REG, attributes: marked }), late: false }
}

function existing(
  op: Op,
  caller: Caller,
  dir: CachedInode,
  inode: CachedInode,
  attributes: CreateAttributes,
  how: CreateHow,
): CreateResult {
  const before = dir.before()
  if (how === 'guarded') throw new FsError('EEXIST')
  if (how === 'unchecked') {
    if (inode.type === DIR) throw new FsError('EISDIR')
    if (inode.type !== REG) throw new FsError('EEXIST')
    let late = false
    if (attributes.size !== undefined) {
      if (!isOwner(caller, inode)) need(caller, inode, W_OK)
      op.made = inode.ino
      late = applyTruncate(op, inode, attributes.size, caller.uid !== 0)
    }
    return { before, dir, inode, created: false, late }
  }
  const [s, ns] = timesOf(how.verifier)
  const same =
    inode.type === REG && inode.atimeS === s && inode.mtimeS === ns && inode.atimeNs === 0 && inode.mtimeNs === 0
  if (!same) throw new FsError('EEXIST')
  return { before, dir, inode, created: false, late: false }
}

/** The two halves of a verifier, as seconds. */
function timesOf(verifier: Buffer): readonly [number, number] {
  if (verifier.length !== 8) throw new FsError('EINVAL', 'a create verifier has 8 bytes')
  return [verifier.readUInt32BE(0), verifier.readUInt32BE(4)]
}
