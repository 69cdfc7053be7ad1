/** What a call of a program fails with: an error as `node:fs` throws it, with `code` and `errno`. */
import { constants } from 'node:os'
import { getSystemErrorMessage } from 'node:util'

/** A name of POSIX for an error, such as ENOENT. */
export type ErrorCode = keyof typeof constants.errno & string

/**
 * @param doing the call, as in "ENOENT: no such file or directory, open '/home/a'"; @zenfs/core puts its own there
 */
export function failure(code: ErrorCode, doing: string, cause?: unknown): NodeJS.ErrnoException {
  const number = -constants.errno[code]
  const error: NodeJS.ErrnoException = new Error(`${code}: ${getSystemErrorMessage(number)}, ${doing}`, { cause })
  error.code = code
  error.errno = number
  return error
}

/** The code of whatever was thrown; undefined when it has none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
