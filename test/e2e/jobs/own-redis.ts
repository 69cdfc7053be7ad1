/** A Redis of a test's own, on a port of loopback: killed, and started again with what it had. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { askOnce } from '../../../src/admin/jobs/redis-place.ts'
import { requireProgram } from '../../helpers/program.ts'

const UP_LIMIT_MS = 15_000

export class OwnRedis {
  readonly port: number
  readonly #dir = mkdtempSync(join(tmpdir(), 'matrixfs-redis-'))
  readonly #options: readonly string[]
  #child: ChildProcess | undefined

  /** `options`: of redis-server, such as `--maxmemory 1mb`. */
  constructor(port: number, options: readonly string[] = []) {
    requireProgram('redis-server', 'redis-server')
    this.port = port
    this.#options = options
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    const place = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.#dir]
    const args = [...place, '--appendonly', 'yes', '--save', '', ...this.#options]
    this.#child = spawn('redis-server', args, { stdio: 'ignore' })
    for (const deadline = performance.now() + UP_LIMIT_MS; ; await sleep(50)) {
      if (await this.ask((client) => client.ping()).catch(() => false)) return
      if (performance.now() > deadline) throw new Error(`redis-server does not come up on port ${this.port}`)
    }
  }

  ask<T>(question: (client: Redis) => Promise<T>): Promise<T> {
    return askOnce({ port: this.port, host: '127.0.0.1' }, question)
  }

  /** SIGKILL; resolves once it is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGKILL')
    await ended
  }

  async dispose(): Promise<void> {
    await this.kill()
    rmSync(this.#dir, { recursive: true, force: true })
  }
}
