/** From failures of the filesystem to errno: the one place where it is chosen. */
import { InvariantError } from '../base/assert.ts'
import { type FsErrorCode, isFsError } from '../base/errors.ts'
import { FuseFailure } from './operations/operation.ts'
import * as c from './wire/constants.ts'
import { MalformedRequest } from './wire/request.ts'

const errnos: Record<FsErrorCode, number> = {
  EPERM: c.EPERM,
  ENOENT: c.ENOENT,
  EIO: c.EIO,
  EAGAIN: c.EAGAIN,
  EACCES: c.EACCES,
  EEXIST: c.EEXIST,
  EXDEV: c.EXDEV,
  ENOTDIR: c.ENOTDIR,
  EISDIR: c.EISDIR,
  EINVAL: c.EINVAL,
  EFBIG: c.EFBIG,
  ENOSPC: c.ENOSPC,
  EROFS: c.EROFS,
  EMLINK: c.EMLINK,
  ENAMETOOLONG: c.ENAMETOOLONG,
  ENOTEMPTY: c.ENOTEMPTY,
  ESTALE: c.ESTALE,
  EBADCOOKIE: c.EINVAL,
  ELOOP: c.ELOOP,
  ENOTSUP: c.EOPNOTSUPP,
  EDEADLK: c.EDEADLK,
  ENOLCK: c.ENOLCK,
  EINTR: c.EINTR,
  EDOUBT: c.EIO,
}

/** The errno for whatever an operation threw; throws a broken invariant on: it stops the node. */
export function errnoOf(error: unknown): number {
  if (error instanceof FuseFailure) return error.errno
  if (isFsError(error)) return errnos[error.code]
  if (error instanceof MalformedRequest) return c.EPROTO
  if (error instanceof InvariantError) throw error
  return c.EIO
}
