/**
 * The one table of expected failures. Three kinds of failure exist: a bug (`assert`), an expected failure (`FsError` for
 * what a filesystem caller may meet, `MatrixError` for what an operator may meet) and doubt (`EDOUBT`: "may have been
 * applied", never turned into success or failure on the way up). Protocol status is chosen only in a gateway.
 */
export const fsErrorMessages = {
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  EIO: 'input/output error',
  EAGAIN: 'try again later',
  EACCES: 'permission denied',
  EEXIST: 'file exists',
  EXDEV: 'other filesystem',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  EINVAL: 'invalid argument',
  EFBIG: 'file too large',
  ENOSPC: 'no space left on the LUNs',
  EROFS: 'read-only filesystem',
  EMLINK: 'too many links',
  ENAMETOOLONG: 'name too long',
  ENOTEMPTY: 'directory not empty',
  ESTALE: 'stale file handle',
  EBADCOOKIE: 'stale directory cookie',
  ELOOP: 'too many symbolic links',
  ENOTSUP: 'not supported',
  ELOCKED: 'locked over WebDAV',
  EDEADLK: 'waiting for this lock would never end',
  ENOLCK: 'no more locks',
  EINTR: 'interrupted',
  EDOUBT: 'the operation may or may not have been applied',
} as const

export type FsErrorCode = keyof typeof fsErrorMessages

/** An expected failure of a filesystem operation. Cheap: carries no stack, since ENOENT is an ordinary answer. */
export class FsError extends Error {
  override readonly name = 'FsError'
  readonly code: FsErrorCode
  constructor(code: FsErrorCode, detail?: string) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(detail ? `${fsErrorMessages[code]}: ${detail}` : fsErrorMessages[code])
    Error.stackTraceLimit = limit
    this.code = code
  }
}

/** Codes an operator or a higher floor reacts to differently; anything else is told apart by its message. */
export type MatrixErrorCode =
  | 'config' // a wrong or unknown key, or a value out of range
  | 'lun-unlabelled' // nothing of ours on the LUN
  | 'lun-foreign' // labelled, but for another matrix, or it holds something else
  | 'lun-damaged' // ours, but both copies of a structure fail their checksum, or it is truncated
  | 'lun-too-small'
  | 'lun-io' // the device reported an error
  | 'lun-reserved' // another initiator has reserved it at the device
  | 'lun-refused' // a member does not reach a LUN that was to be added
  | 'format-version' // written by a newer matrixfs
  | 'fenced' // this node has been fenced, or its lease is over: nothing may be written
  | 'fence-failed' // no fence agent could make sure of a victim: its locks stay where they are
  | 'node-in-use' // another live process has this node's name
  | 'journal-damaged' // an invalid frame is followed by a valid later one
  | 'journal-full' // no checkpoint could free journal space
  | 'checkpoint-damaged'
  | 'image-damaged' // this node's local image cannot be used: it is built anew at the next start
  | 'view-changed' // the view under which a request was sent has ended: ask again under the next one
  | 'peer-gone' // the connection to the peer is closed, or nobody listens at its address
  | 'no-route' // the network does not lead to the peer, which may live
  | 'timeout'
  | 'withdrawn' // this node has withdrawn from the filesystem
  | 'not-found'
  | 'exists'
  | 'in-use' // port, file, slot
  | 'protocol' // malformed message
  | 'no-space'
  | 'query' // a question to an image that is none, or that only a change would answer
  | 'busy' // as much is under way as there may be: ask again in a moment

/** An expected failure that an operator sees: the message says what was found, what was expected and what to do next. */
export class MatrixError extends Error {
  override readonly name = 'MatrixError'
  readonly code: MatrixErrorCode
  constructor(code: MatrixErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** True when `error` is a `MatrixError` of one of `codes`. */
export function isMatrixError(error: unknown, ...codes: MatrixErrorCode[]): error is MatrixError {
  return error instanceof MatrixError && (codes.length === 0 || codes.includes(error.code))
}

/** True when `error` is an `FsError` of one of `codes` (any, when none is named). */
export function isFsError(error: unknown, ...codes: FsErrorCode[]): error is FsError {
  return error instanceof FsError && (codes.length === 0 || codes.includes(error.code))
}
