/** From failures to nlm4_stats: the one place where it is chosen. */
import { InvariantError } from '../../base/assert.ts'
import { type FsErrorCode, isFsError, isMatrixError, type MatrixErrorCode } from '../../base/errors.ts'
import { NoAnswer } from '../rpc/table-program.ts'
import * as n from './tables.ts'

/** A failure that the lock manager itself finds. */
export class Nlm4Failure extends Error {
  override readonly name = 'Nlm4Failure'
  readonly status: number
  constructor(status: number) {
    super(`nlm4_stats ${status}`)
    this.status = status
  }
}

/** Those that are not here are FAILED. DENIED_GRACE_PERIOD has a client ask again some seconds later. */
const fsStatus: Partial<Record<FsErrorCode, number>> = {
  EAGAIN: n.NLM4_DENIED_GRACE_PERIOD,
  EDEADLK: n.NLM4_DEADLCK,
  ENOLCK: n.NLM4_DENIED_NOLOCKS,
  EROFS: n.NLM4_ROFS,
  ESTALE: n.NLM4_STALE_FH,
  EFBIG: n.NLM4_FBIG,
}

const matrixStatus: Partial<Record<MatrixErrorCode, number>> = {
  'view-changed': n.NLM4_DENIED_GRACE_PERIOD,
  'peer-gone': n.NLM4_DENIED_GRACE_PERIOD,
  timeout: n.NLM4_DENIED_GRACE_PERIOD,
}

/** Throws NoAnswer where only silence is honest, and a broken invariant on. */
export function nlmStatusOf(error: unknown, report: (error: unknown) => void): number {
  if (error instanceof InvariantError || error instanceof NoAnswer) throw error
  if (error instanceof Nlm4Failure) return error.status
  if (isFsError(error)) {
    if (error.code === 'EDOUBT') throw new NoAnswer('the node cannot say what became of a lock')
    return fsStatus[error.code] ?? n.NLM4_FAILED
  }
  if (isMatrixError(error)) {
    if (error.code === 'withdrawn' || error.code === 'fenced') throw new NoAnswer(error.message)
    const status = matrixStatus[error.code]
    if (status !== undefined) return status
  }
  report(error)
  return n.NLM4_FAILED
}
