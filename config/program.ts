/** What the programs `matrix` and `matrixd` have in common towards their users: version, exit codes, how an error is shown. */
import { existsSync, readFileSync } from 'node:fs'
import { isFsError, isMatrixError } from '../src/base/errors.ts'

export const exitCodes = {
  ok: 0,
  /** It did not work; the last line on standard error says why. */
  failed: 1,
  /** `matrix fs check` found something wrong. */
  damaged: 4,
  /** Unknown command or option (EX_USAGE). */
  usage: 64,
  /** The node was fenced, lost its lease or cannot trust its image: to be started again (EX_TEMPFAIL). */
  halted: 75,
  /** A bug: the program stopped because it could not trust its own state (EX_SOFTWARE). */
  bug: 70,
  /** The configuration file is wrong (EX_CONFIG). */
  config: 78,
} as const

/** From package.json, wherever this file was built to. */
export function programVersion(): string {
  // config/ here, dist/config/ once built.
  for (const place of ['../package.json', '../../package.json']) {
    const file = new URL(place, import.meta.url)
    if (!existsSync(file)) continue
    const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string }
    if (name === 'matrixfs' && version) return version
  }
  return 'unknown'
}

/** Expected failures show their message, as do the system's refusals (EACCES, ENOSPC); bugs show their stack. */
export function showError(program: string, error: unknown): string {
  if (isExpected(error)) return `${program}: ${error.message}`
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return `${program}: this is a bug, please report it with the following lines\n${stack}`
}

export function exitCodeOf(error: unknown): number {
  if (isMatrixError(error, 'config')) return exitCodes.config
  return isExpected(error) ? exitCodes.failed : exitCodes.bug
}

function isExpected(error: unknown): error is Error {
  return isMatrixError(error) || isFsError(error) || (error instanceof Error && 'syscall' in error && 'code' in error)
}
