/**
 * Programs as processes of the host, each the leader of a process group of its own, so that one that hangs is killed with all that it
 * has started, and nothing else is. What it writes is always read, so that none waits for a reader; the last of it is kept.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import type { Readable } from 'node:stream'
import { MatrixError } from '../../base/errors.ts'
import type { ProgramEnd, ProgramRun, Programs } from '../programs.ts'

/** Kept of what a program writes: the end, which has the reason; of a line in the mean. */
const LINE_BYTES = 400
const OUTPUT_LINES = 20
/** What a program has started may hold its output open for longer than it lives: so long it is waited for, ms. */
const OUTPUT_PATIENCE_MS = 100
/** One that hangs in the kernel is not gone by SIGKILL: it has been waited for long enough, ms. */
const KILL_PATIENCE_MS = 1_000

export const realPrograms: Programs = {
  run: (program) =>
    new Promise((resolve, reject) => {
      const failed = (error: unknown): void => {
        const code = (error as NodeJS.ErrnoException).code ?? String(error)
        reject(new MatrixError('not-found', `${program.path} cannot be started: ${code}`, { cause: error }))
      }
      let child: ChildProcess
      try {
        child = start(program)
      } catch (error) {
        return failed(error)
      }
      child.once('error', failed)
      child.once('spawn', () => resolve(ended(child, program)))
    }),
}

/** Whether there is something at `path` that may be run. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function start({ path, args, env }: ProgramRun): ChildProcess {
  return spawn(path, args, {
    cwd: '/',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: false,
    detached: true, // a group of its own
    windowsHide: true,
  })
}

function ended(child: ChildProcess, { timeoutMs, abort, outputLines = OUTPUT_LINES }: ProgramRun): Promise<ProgramEnd> {
  return new Promise((resolve) => {
    let text = ''
    const streams = [child.stdout, child.stderr] as Readable[]
    for (const stream of streams) {
      stream.setEncoding('utf8').on('data', (more: string) => {
        text = (text + more).slice(-LINE_BYTES * outputLines)
      })
    }
    let cut: 'timeout' | 'aborted' | undefined
    let last: NodeJS.Timeout | undefined
    const settle = (end: Omit<ProgramEnd, 'output'>): void => {
      clearTimeout(timer)
      clearTimeout(last)
      abort?.removeEventListener('abort', onAbort)
      for (const stream of streams) stream.destroy()
      child.unref()
      resolve({ ...end, output: text.trimEnd().split('\n').slice(-outputLines) })
    }
    const kill = (why: 'timeout' | 'aborted'): void => {
      if (cut || child.exitCode !== null || child.signalCode !== null) return
      cut = why
      killGroup(child.pid as number) // not waited for yet: the number is still its own
      last = setTimeout(() => settle({ how: why }), KILL_PATIENCE_MS)
    }
    const onAbort = (): void => kill('aborted')
    const timer = setTimeout(() => kill('timeout'), timeoutMs)
    abort?.addEventListener('abort', onAbort)
    const over = (code: number | null): void =>
      settle(cut ? { how: cut } : code === null ? { how: 'killed' } : { how: 'exited', code })
    child.once('exit', (code) => {
      clearTimeout(last)
      last = setTimeout(() => over(code), OUTPUT_PATIENCE_MS)
    })
    child.once('close', over)
    if (abort?.aborted) onAbort()
  })
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL')
  } catch {
    // it has ended in this moment
  }
}
