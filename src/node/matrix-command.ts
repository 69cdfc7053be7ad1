/** The `matrix` command, run by this node in a process of its own: what takes memory and time that the node has not, or is done by way of its control socket. */
import { spawn } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { moduleBeside } from '../platform/index.ts'

/** Kept of what it writes, characters. */
const OUTPUT_MAX = 16 * 1024 * 1024
const SAID_MAX = 4_000

/**
 * Resolves once it has ended: `code` is null when it was killed, `output` is its standard output, `said` the last line of what it says otherwise. Rejects
 * when it cannot be started.
 */
export function runMatrix(
  args: readonly string[],
  { signal, onSaid }: { readonly signal?: AbortSignal; readonly onSaid?: (line: string) => void },
): Promise<{ readonly code: number | null; readonly output: string; readonly said: string }> {
  const entry = fileURLToPath(moduleBeside(import.meta.url, '../cli/main.ts'))
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [entry, ...args], { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] })
    const kill = (): void => void child.kill('SIGKILL')
    if (signal?.aborted) kill()
    signal?.addEventListener('abort', kill, { once: true })
    child.once('spawn', () => giveWay(child.pid as number))
    let [output, said] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (more: string) => {
      if (output.length < OUTPUT_MAX) output += more
    })
    child.stderr.setEncoding('utf8').on('data', (more: string) => {
      said = (said + more).slice(-SAID_MAX)
    })
    if (onSaid) createInterface({ input: child.stderr }).on('line', onSaid)
    child.once('error', reject)
    child.once('close', (code) => {
      signal?.removeEventListener('abort', kill)
      const last = said.trim().split('\n').at(-1) ?? ''
      resolve({ code, output, said: last === '' ? output.trim().slice(-SAID_MAX) : last })
    })
  })
}

/** Files are served first. */
function giveWay(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW)
  } catch {
    // it has ended in this moment
  }
}
