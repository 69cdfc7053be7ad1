/** `matrix target` as a process of its own, for tests that hold up their own, or kill it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TargetRequest } from '../../src/san/index.ts'

const main = new URL('../../src/cli/main.ts', import.meta.url).pathname
const READY_MS = 30_000

export type TargetProcessOptions = {
  /** The first port of as many as there are portals. */
  readonly basePort: number
  readonly portals?: number
  readonly luns?: number
  readonly lunBytes?: number
  /** Further lines of each LUN in the configuration. */
  readonly lunConfig?: string
}

export class TargetProcess {
  static readonly iqn = 'iqn.2026-11.net.matrixfs.test:process'
  readonly dir = mkdtempSync(join(tmpdir(), 'matrixfs-target-process-'))
  readonly config = join(this.dir, 'target.toml')
  readonly #options: TargetProcessOptions
  #child: ChildProcess | undefined

  constructor(options: TargetProcessOptions) {
    this.#options = options
    const { basePort, portals = 1, luns = 1, lunBytes = 64 * 2 ** 20, lunConfig = '' } = options
    const addresses = Array.from({ length: portals }, (_, i) => `"127.0.0.1:${basePort + i}"`)
    const units = Array.from(
      { length: luns },
      (_, i) => `[[luns]]\nnumber = ${i + 1}\npath = "luns/lun${i + 1}.img"\nsize = ${lunBytes}\n${lunConfig}\n`,
    )
    writeFileSync(this.config, `name = "${TargetProcess.iqn}"\nportals = [${addresses.join(', ')}]\n${units.join('')}`)
  }

  /** `portal`: from 1. */
  url(lun: number, portal = 1): string {
    return `iscsi://127.0.0.1:${this.#options.basePort + portal - 1}/${TargetProcess.iqn}/${lun}`
  }

  image(lun: number): string {
    return join(this.dir, `luns/lun${lun}.img`)
  }

  /** Resolves with what it has said once it is ready. */
  async start(): Promise<string> {
    const child = spawn(process.execPath, [main, 'target', 'run', '--config', this.config], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    let text = ''
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`the target is not ready:\n${text}`)), READY_MS)
      const settle = (error?: Error): void => {
        clearTimeout(limit)
        if (error) reject(error)
        else resolve()
      }
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
          if (/^target ready$/m.test(text)) settle()
        })
      child.once('exit', (code) => settle(new Error(`the target has ended with ${code}:\n${text}`)))
    })
    // a script that has ended does not wait for it
    for (const each of [child, child.stdout, child.stderr]) (each as { unref?(): void }).unref?.()
    return text
  }

  /** The exit code. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return null
    child.ref()
    const gone = new Promise<number | null>((resolve) => child.once('exit', resolve))
    child.kill(signal)
    return gone
  }

  /** What `matrix target ask` says. */
  ask(request: TargetRequest | string): Promise<{ readonly status: number | null; readonly text: string }> {
    const text = typeof request === 'string' ? request : JSON.stringify(request)
    return matrixTarget('ask', '--config', this.config, text)
  }

  /** As `dispose`, when the process ends. */
  abandon(): void {
    this.#child?.kill('SIGKILL')
    rmSync(this.dir, { recursive: true, force: true })
  }

  async dispose(): Promise<void> {
    await this.end('SIGKILL')
    rmSync(this.dir, { recursive: true, force: true })
  }
}

/** `matrix target …`, without holding up this process. */
export async function matrixTarget(
  ...args: string[]
): Promise<{ readonly status: number | null; readonly text: string }> {
  const child = spawn(process.execPath, [main, 'target', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { status, text }
}
