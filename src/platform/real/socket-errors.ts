/** What the system says when a connection cannot be made, in the words of the matrix. */
import { MatrixError } from '../../base/errors.ts'

/** The peer's system answers: there is no such process. */
const goneCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE'])
/** Nothing was learnt of the peer. */
const noRouteCodes = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'EHOSTDOWN', 'ENOTFOUND', 'EADDRNOTAVAIL'])

/** `explain` puts what is none of these into words. */
export function connectError(
  where: string,
  error: NodeJS.ErrnoException,
  explain: (error: NodeJS.ErrnoException) => string = ({ message }) => message,
): MatrixError {
  const code = error.code ?? ''
  if (code === 'ETIMEDOUT' || code === 'EAI_AGAIN')
    return new MatrixError('timeout', `${where}: ${error.message}`, { cause: error })
  if (goneCodes.has(code)) return new MatrixError('peer-gone', `${where}: ${error.message}`, { cause: error })
  if (noRouteCodes.has(code)) return new MatrixError('no-route', `${where}: ${error.message}`, { cause: error })
  return new MatrixError('protocol', `${where}: ${explain(error)}`, { cause: error })
}
