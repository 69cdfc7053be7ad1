/**
 * A Redis of this node's own, for a matrix that has none configured. It listens on a socket in the node's state directory alone, which only its owner may
 * open, so nothing of it can be reached over a network.
 *
 *     STATE/redis/redis.sock   where it listens; no port
 *     STATE/redis/appendonlydir/…   what it has been told, so that a Redis that was killed has it again
 *
 * It gets its configuration by its standard input, so that the password is in no file and no command line. It ends with this node, also when that is killed
 * (setpriv --pdeathsig, where there is one); should an older one still hold the socket, it is ended by command. A Redis that ends by itself is
 * started again, with what it had.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, mkdirSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Redis } from 'ioredis'
import { MatrixError } from '../../base/errors.ts'
import type { Clock, Log, Timer } from '../../platform/index.ts'
import { sleep } from '../../platform/index.ts'
import { askOnce, type RedisPlace } from './redis-place.ts'

/** More than thousands of jobs with their logs take. */
const MEMORY = '256mb'
/** Longest path of a Unix socket, bytes (sun_path of Linux less its NUL). */
const PATH_MAX = 107
const START_LIMIT_MS = 10_000
const STOP_LIMIT_MS = 3_000
const LOOK_MS = 50
/** One that ends by itself is started again after this, and then after ever longer, ms. */
const AGAIN_MS = 500
const AGAIN_MOST_MS = 30_000

export type RedisProcessOptions = {
  readonly stateDir: string
  readonly password: string
  readonly clock: Clock
  readonly log: Log
}

export class RedisProcess {
  readonly place: RedisPlace
  readonly #options: RedisProcessOptions
  readonly #program: string
  readonly #folder: string
  readonly #socket: string
  #child: ChildProcess | undefined
  #again: Timer | undefined
  #failures = 0
  #stopped = false

  /** Throws MatrixError 'not-found' when there is no redis-server on this machine, 'config' when its socket cannot be made. */
  constructor(options: RedisProcessOptions) {
    const program = findProgram('redis-server')
    if (program === undefined)
      throw new MatrixError(
        'not-found',
        'jobs need a Redis: install redis-server on every node (Debian: apt install redis-server), or name one that runs by redis in [admin]',
      )
    this.#options = options
    this.#program = program
    this.#folder = join(options.stateDir, 'redis')
    this.#socket = join(this.#folder, 'redis.sock')
    if (Buffer.byteLength(this.#socket) > PATH_MAX)
      throw new MatrixError(
        'config',
        `jobs need a socket, and ${this.#socket} is longer than ${PATH_MAX} bytes: choose a shorter state_dir`,
      )
    this.place = {
      shown: `${this.#socket} (of this node's own)`,
      options: { path: this.#socket, password: options.password },
    }
  }

  /** Starts it, empty. Rejects with MatrixError 'timeout' when it does not come up. */
  async start(): Promise<void> {
    await this.#endOlder()
    rmSync(this.#folder, { recursive: true, force: true })
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    this.#spawn()
    for (const { clock } = this.#options, deadline = clock.now() + START_LIMIT_MS; !(await this.#answers()); ) {
      if (this.#stopped || clock.now() > deadline) {
        await this.stop()
        throw new MatrixError('timeout', `${this.#program} does not come up; the log of this node says what it told`)
      }
      await sleep(clock, LOOK_MS)
    }
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Ends it. Never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#again?.cancel()
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const { clock } = this.#options
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGTERM')
    const hurry = clock.after(STOP_LIMIT_MS, () => child.kill('SIGKILL'))
    await ended
    hurry.cancel()
  }

  #spawn(): void {
    const { log, clock } = this.#options
    const guard = findProgram('setpriv')
    const [program = '', ...args] =
      guard === undefined || process.platform !== 'linux'
        ? [this.#program, '-']
        : [guard, '--pdeathsig', 'KILL', this.#program, '-']
    const child = spawn(program, args, { cwd: this.#folder, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child = child
    let said = ''
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (more: string) => {
        said = (said + more).slice(-2_000)
      })
    child.stdin?.on('error', () => {})
    child.stdin?.end(this.#configuration())
    const startedAt = clock.now()
    let isOver = false
    const over = (why: string): void => {
      if (isOver) return
      isOver = true
      if (this.#stopped || this.#child !== child) return
      // one that has run for a while has not failed to start
      this.#failures = clock.now() - startedAt > AGAIN_MOST_MS ? 0 : this.#failures + 1
      const afterMs = Math.min(AGAIN_MOST_MS, AGAIN_MS * 2 ** (this.#failures - 1))
      log.warn({ why, said, afterMs }, 'the Redis of the jobs has ended: it is started again')
      this.#again = clock.after(afterMs, () => this.#spawn())
    }
    child.once('error', (error) => over(error.message))
    child.once('close', (code, signal) => over(signal ?? `exit ${code}`))
  }

  #configuration(): string {
    const { password } = this.#options
    const lines = [
      'port 0',
      `unixsocket ${JSON.stringify(this.#socket)}`,
      'unixsocketperm 700',
      `requirepass ${password}`,
      `dir ${JSON.stringify(this.#folder)}`,
      'daemonize no',
      'appendonly yes',
      'appendfsync everysec',
      'save ""',
      `maxmemory ${MEMORY}`,
      'maxmemory-policy noeviction',
    ]
    return `${lines.join('\n')}\n`
  }

  /** One of a former life of this node, which had to leave it behind. */
  async #endOlder(): Promise<void> {
    await this.#ask((client) => client.shutdown('NOSAVE')).catch(() => {})
  }

  async #answers(): Promise<boolean> {
    return this.#ask(async (client) => (await client.ping()) === 'PONG').catch(() => false)
  }

  #ask<T>(question: (client: Redis) => Promise<T>): Promise<T> {
    return askOnce({ ...this.place.options, commandTimeout: STOP_LIMIT_MS }, question)
  }
}

/** As a shell finds it, and where servers are that are not on everybody's path. */
function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/sbin', '/usr/local/bin']
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}
