/** The command `matrix` within this process, for tests that call it often: all of it but the start of a process. */
import { run } from '../../src/cli/main.ts'

export type CommandEnd = { readonly status: number; readonly stdout: string; readonly stderr: string }

/** One at a time: what it says is taken from this process's own streams meanwhile. */
export async function matrixCommand(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CommandEnd> {
  const said = { stdout: '', stderr: '' }
  const before = { stdout: process.stdout.write, stderr: process.stderr.write, env: { ...process.env } }
  for (const stream of ['stdout', 'stderr'] as const)
    process[stream].write = (text: string | Uint8Array) => {
      said[stream] += text
      return true
    }
  Object.assign(process.env, env)
  try {
    return { status: await run(words), ...said }
  } finally {
    process.exitCode = undefined
    process.stdout.write = before.stdout
    process.stderr.write = before.stderr
    process.env = before.env
  }
}
