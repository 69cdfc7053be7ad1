/** The file that a lock is of: from a handle to a filesystem and an inode, and whether the caller may lock it. */

import type { Ino } from '../../base/ids.ts'
import { decodeHandle, type Handle } from '../../export/index.ts'
import { type MatrixFs, R_OK, REG, W_OK } from '../../metadata/index.ts'
import type { CallContext } from '../rpc/table-program.ts'
import { Nlm4Failure } from './status.ts'
import { NLM4_FAILED, NLM4_ROFS, NLM4_STALE_FH } from './tables.ts'

export type LockedFile = { readonly fs: MatrixFs; readonly ino: Ino }

/** 'look' is what TEST does: whoever may lock it in any way may. */
export type Purpose = 'shared' | 'exclusive' | 'look'

function parse(bytes: Buffer): Handle {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const handle = decodeHandle(view, 0, bytes.length)
  if (!handle) throw new Nlm4Failure(NLM4_STALE_FH)
  return handle
}

/**
 * Shared locks are for who may read, exclusive ones for who may write; the owner may do both whatever the mode, as it may
 * have it open (RFC 1813 4.4). Only regular files have bytes to lock. Rejects with Nlm4Failure or what the filesystem says.
 */
export async function fileToLock(
  { session, credentials }: CallContext,
  bytes: Buffer,
  purpose: Purpose,
): Promise<LockedFile> {
  const handle = parse(bytes)
  const { client } = session
  const exported = client.exportOf(handle)
  if (typeof exported === 'string') throw new Nlm4Failure(NLM4_STALE_FH)
  const caller = client.callerOf(exported, credentials)
  if (purpose === 'exclusive' && exported.access === 'ro') throw new Nlm4Failure(NLM4_ROFS)
  const { fs } = exported
  const wanted = purpose === 'shared' ? R_OK : purpose === 'exclusive' ? W_OK : R_OK | W_OK
  const { inode, granted } = await fs.access(caller, handle.ino, wanted)
  if (inode.generation !== handle.generation) throw new Nlm4Failure(NLM4_STALE_FH)
  if (inode.type !== REG || (granted === 0 && caller.uid !== inode.uid)) throw new Nlm4Failure(NLM4_FAILED)
  return { fs, ino: handle.ino }
}

/** To give something back nobody needs any right, and the file may be gone. Throws Nlm4Failure. */
export function fileToFree({ session }: CallContext, bytes: Buffer): LockedFile {
  const { fsid, ino } = parse(bytes)
  const exported = session.client.exports.find((each) => each.fs.fsid === fsid)
  if (!exported) throw new Nlm4Failure(NLM4_STALE_FH)
  return { fs: exported.fs, ino }
}
