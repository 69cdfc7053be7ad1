/** Debian programs that tests drive: found, or a failure that says what to install; run with a time limit. */
import { spawn, spawnSync } from 'node:child_process'

/** Throws unless `name` can be run. */
export function requireProgram(name: string, debianPackage: string): void {
  if (spawnSync('which', [name]).status !== 0) throw new Error(`${name} is missing: apt-get install ${debianPackage}`)
}

export type Outcome = { readonly status: number | null; readonly output: string }
export type ProgramOptions = { readonly cwd?: string; readonly env?: Record<string, string>; readonly limitMs?: number }

/** Standard output and error in one. */
export function runProgram(name: string, args: readonly string[], options: ProgramOptions = {}): Promise<Outcome> {
  const { cwd, env = {}, limitMs = 60_000 } = options
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
    child.stdout.on('data', (chunk) => void (output += chunk))
    child.stderr.on('data', (chunk) => void (output += chunk))
    child.on('error', reject)
    child.on('close', (status) => {
      clearTimeout(timer)
      resolve({ status, output })
    })
  })
}
