/**
 * What a request may fail with, and its HTTP status. Status is chosen here and in the methods, formatted in one place
 * (`HttpGateway`): the filesystem knows nothing of HTTP.
 */
import { STATUS_CODES } from 'node:http'
import { type FsErrorCode, fsErrorMessages, isFsError, isMatrixError } from '../base/errors.ts'
import { LoginRefusal } from '../export/index.ts'
import { LockedError } from '../metadata/index.ts'
import { RETRY_AFTER_S } from './limits.ts'

/** A request that ends with `status`. Cheap, like FsError: carries no stack. */
export class HttpFailure extends Error {
  override readonly name = 'HttpFailure'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The DAV: element of the body that says which precondition failed (RFC 4918 16). */
  readonly condition: string | undefined
  /** The resources that the precondition is about. */
  readonly hrefs: readonly string[]

  constructor(
    status: number,
    detail?: string,
    options: { headers?: Readonly<Record<string, string>>; condition?: string; hrefs?: readonly string[] } = {},
  ) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(detail ?? STATUS_CODES[status] ?? `status ${status}`)
    Error.stackTraceLimit = limit
    this.status = status
    this.headers = options.headers ?? {}
    this.condition = options.condition
    this.hrefs = options.hrefs ?? []
  }
}

/** Where a method knows better (a missing parent of PUT is 409, not 404) it throws its own HttpFailure. */
export const statusOf: Readonly<Record<FsErrorCode, number>> = {
  EPERM: 403,
  ENOENT: 404,
  EIO: 500,
  EAGAIN: 503,
  EACCES: 403,
  EEXIST: 405,
  EXDEV: 502,
  ENOTDIR: 404,
  EISDIR: 405,
  EINVAL: 400,
  EFBIG: 413,
  ENOSPC: 507,
  EROFS: 403,
  EMLINK: 507,
  ENAMETOOLONG: 400,
  ENOTEMPTY: 409,
  ESTALE: 404,
  EBADCOOKIE: 503,
  ELOOP: 404,
  ENOTSUP: 501,
  ELOCKED: 423,
  EDEADLK: 500,
  ENOLCK: 500,
  EINTR: 503,
  EDOUBT: 500,
}

/** The failure as HTTP says it; undefined for a bug, which nobody may turn into an answer and go on. */
export function toHttpFailure(error: unknown): HttpFailure | undefined {
  if (error instanceof HttpFailure) return error
  if (error instanceof LoginRefusal) return new HttpFailure(error.status, error.message, { headers: error.headers })
  if (error instanceof LockedError) {
    const { condition, locks } = error
    return new HttpFailure(423, undefined, { condition, hrefs: locks.map(({ root }) => root) })
  }
  if (isFsError(error)) {
    const status = statusOf[error.code]
    return new HttpFailure(status, fsErrorMessages[error.code], {
      headers: status === 503 ? { 'Retry-After': String(RETRY_AFTER_S) } : {},
    })
  }
  // The node has lost its right to the filesystem, or something under it failed: another node may serve the next request.
  if (isMatrixError(error)) {
    return new HttpFailure(error.code === 'no-space' ? 507 : 503, 'the filesystem is not available at this node', {
      headers: { 'Retry-After': String(RETRY_AFTER_S), Connection: 'close' },
    })
  }
  return undefined
}
