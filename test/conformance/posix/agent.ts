/**
 * A process of `agent.py`, which makes the system calls. Requests are answered in order and may be sent ahead. An agent that
 * says nothing for the time limit hangs in a call: it is killed, and every call that waits for it fails with Hung, which names
 * the call; whoever runs the suite goes on with a new agent. Nothing here waits for a process stuck in the kernel.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'

/** The errno that a call answered. */
export class CallError extends Error {
  readonly errno: string
  readonly what: string
  constructor(errno: string, what: string) {
    super(`${what}: ${errno}`)
    this.errno = errno
    this.what = what
  }
}

/** A call that was never answered. */
export class Hung extends Error {}

export type Request = {
  readonly call: string
  readonly args: readonly unknown[]
  /** Which directory of `enter` the call's paths are relative to; -1: none, paths are absolute. */
  readonly dir: number
  readonly uid?: number
  readonly gid?: number
  readonly groups?: readonly number[]
  readonly umask?: number
}

type Waiting = {
  readonly what: string
  readonly resolve: (value: unknown) => void
  readonly reject: (e: Error) => void
}
type Answer = { readonly id: number; readonly value?: unknown; readonly errno?: string; readonly bug?: string }

/** How long a call may take, ms: far above anything a loaded machine needs. */
export const CALL_LIMIT_MS = 20_000

export class Agent {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #waiting = new Map<number, Waiting>()
  readonly #limit: number
  #timer: NodeJS.Timeout | undefined
  #next = 1
  #rest = ''
  #errors = ''
  #dead: Error | undefined

  constructor(limit = CALL_LIMIT_MS) {
    this.#limit = limit
    this.#child = spawn('python3', [new URL('agent.py', import.meta.url).pathname], { stdio: 'pipe' })
    this.#child.on('error', (error) => {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      this.#fail(missing ? new Error('python3 is missing: apt-get install python3') : error)
    })
    this.#child.stdin.on('error', () => {})
    this.#child.stdout.setEncoding('latin1').on('data', (text: string) => this.#take(text))
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text
    })
    this.#child.on('exit', (code, signal) => {
      this.#fail(new Error(`agent.py ended with ${code ?? signal}\n${this.#errors}`))
    })
  }

  get dead(): boolean {
    return this.#dead !== undefined
  }

  /** The call's value; rejects with CallError, or with Hung. */
  call(request: Request, what: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#dead) return reject(this.#dead)
      const id = this.#next++
      this.#waiting.set(id, { what, resolve, reject })
      this.#timer ??= setTimeout(() => this.#hung(), this.#limit)
      this.#child.stdin.write(`${JSON.stringify({ id, ...request })}\n`)
    })
  }

  end(): void {
    this.#dead ??= new Error('the agent has been ended')
    clearTimeout(this.#timer)
    this.#child.stdin.end()
    this.#child.unref()
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) {
      const { id, value, errno, bug } = JSON.parse(line) as Answer
      const waiting = this.#waiting.get(id)!
      this.#waiting.delete(id)
      if (bug !== undefined) waiting.reject(new Error(`${waiting.what}: ${bug}`))
      else if (errno !== undefined) waiting.reject(new CallError(errno, waiting.what))
      else waiting.resolve(value)
    }
    clearTimeout(this.#timer)
    this.#timer = this.#waiting.size > 0 ? setTimeout(() => this.#hung(), this.#limit) : undefined
  }

  #hung(): void {
    const [first] = this.#waiting.values()
    this.#child.kill('SIGKILL')
    this.#child.unref()
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) stream.destroy()
    this.#fail(new Hung(`${first!.what} did not return within ${this.#limit / 1000} s`))
  }

  #fail(error: Error): void {
    this.#dead ??= error
    clearTimeout(this.#timer)
    for (const waiting of this.#waiting.values()) waiting.reject(this.#dead)
    this.#waiting.clear()
  }
}
