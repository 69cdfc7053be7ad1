/**
 * The run file of a matrixd: a small JSON file that it keeps current (`--run-file`), so that whoever started it knows which
 * process it is and whether it serves. Replaced as a whole, so a reader never sees half of it. It stays behind when the process
 * dies; the process identity in it tells a dead process from another one that got its pid.
 *
 *     starting ──▶ ready ──▶ stopping ──▶ stopped
 *         └──────────┴── fenced, lease lost, withdrawn ──▶ halted: to be started again
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import * as v from 'valibot'
import { MatrixError } from '../src/base/errors.ts'
import type { ProcessIdentity } from '../src/platform/files.ts'

const runSchema = v.object({
  process: v.object({ bootId: v.string(), pid: v.number(), startTime: v.number() }),
  state: v.picklist(['starting', 'ready', 'stopping', 'stopped', 'halted']),
})

export type RunState = v.InferOutput<typeof runSchema>['state']
export type Run = { readonly process: ProcessIdentity; readonly state: RunState }

export function writeRunFile(path: string, run: Run): void {
  mkdirSync(dirname(path), { recursive: true })
  replaceFile(path, `${JSON.stringify(run)}\n`)
}

/** Undefined when there is none; throws MatrixError 'config' when it is not one of ours. */
export function readRunFile(path: string): Run | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), runSchema), text)
  if (result.success) return result.output
  throw new MatrixError('config', `${path} is not a run file; remove it when no matrixd uses it`)
}

/** Writes beside it and renames: readers see the old or the new content. */
export function replaceFile(path: string, content: string, mode = 0o644): void {
  const beside = `${path}.${process.pid}.new`
  writeFileSync(beside, content, { mode })
  renameSync(beside, path)
}
