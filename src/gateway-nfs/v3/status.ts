/** From failures of the filesystem to nfsstat3: the one place where it is chosen (RFC 1813 2.6). */

import { InvariantError } from '../../base/assert.ts'
import { type FsErrorCode, isFsError, isMatrixError, type MatrixErrorCode } from '../../base/errors.ts'
import * as c from './constants.ts'

/** 'unknown': nobody can say whether it was done, so nothing is answered. */
const fsStatus: Record<FsErrorCode, number | 'unknown'> = {
  EPERM: c.NFS3ERR_PERM,
  ENOENT: c.NFS3ERR_NOENT,
  EIO: c.NFS3ERR_IO,
  EAGAIN: c.NFS3ERR_JUKEBOX,
  EACCES: c.NFS3ERR_ACCES,
  EEXIST: c.NFS3ERR_EXIST,
  EXDEV: c.NFS3ERR_XDEV,
  ENOTDIR: c.NFS3ERR_NOTDIR,
  EISDIR: c.NFS3ERR_ISDIR,
  EINVAL: c.NFS3ERR_INVAL,
  EFBIG: c.NFS3ERR_FBIG,
  ENOSPC: c.NFS3ERR_NOSPC,
  EROFS: c.NFS3ERR_ROFS,
  EMLINK: c.NFS3ERR_MLINK,
  ENAMETOOLONG: c.NFS3ERR_NAMETOOLONG,
  ENOTEMPTY: c.NFS3ERR_NOTEMPTY,
  ESTALE: c.NFS3ERR_STALE,
  EBADCOOKIE: c.NFS3ERR_BAD_COOKIE,
  ELOOP: c.NFS3ERR_INVAL,
  ENOTSUP: c.NFS3ERR_NOTSUPP,
  EDEADLK: c.NFS3ERR_SERVERFAULT,
  ENOLCK: c.NFS3ERR_SERVERFAULT,
  EINTR: c.NFS3ERR_JUKEBOX,
  EDOUBT: 'unknown',
}

/** Failures of the matrix that a client may meet; those not named here are none of its business: SERVERFAULT. */
const matrixStatus: Partial<Record<MatrixErrorCode, number | 'unknown'>> = {
  withdrawn: 'unknown',
  fenced: 'unknown',
  'view-changed': c.NFS3ERR_JUKEBOX,
  'peer-gone': c.NFS3ERR_JUKEBOX,
  timeout: c.NFS3ERR_JUKEBOX,
  'lun-io': c.NFS3ERR_IO,
  'lun-reserved': c.NFS3ERR_IO,
  'no-space': c.NFS3ERR_NOSPC,
  'journal-full': c.NFS3ERR_NOSPC,
}

/** A failure that the gateway itself finds. */
export class Nfs3Failure extends Error {
  override readonly name = 'Nfs3Failure'
  readonly status: number
  constructor(status: number) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(`nfsstat3 ${status}`)
    Error.stackTraceLimit = limit
    this.status = status
  }
}

/** The status for whatever a verb threw; 'unknown' when only silence is honest; throws a broken invariant on. */
export function statusOf(error: unknown): number | 'unknown' {
  if (error instanceof Nfs3Failure) return error.status
  if (isFsError(error)) return fsStatus[error.code]
  if (isMatrixError(error)) return matrixStatus[error.code] ?? c.NFS3ERR_SERVERFAULT
  if (error instanceof InvariantError) throw error
  return c.NFS3ERR_SERVERFAULT
}
