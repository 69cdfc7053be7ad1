/**
 * A process of NFS clients on the client's machine: each works on a file of its own through one address, as long as it is told to, and
 * goes on whatever becomes of its connection, as a hard mount does. It answers over IPC.
 *
 * A value is a number that grows; written stable, so that what was answered must be there ever after, whoever serves.
 */
import { NfsClient, NfsStatusError } from '../../helpers/nfs-client.ts'

export type WorkerRequest = { readonly id: number; readonly kind: 'stall' | 'end' }
export type WorkerAnswer = {
  readonly id: number
  /** Longest time without an answer for one of the clients since it was asked last, ms. */
  readonly worstMs: number
  readonly operations: number
  readonly connections: number
  /** Answers that say something went wrong, and answers that cannot be. */
  readonly errors: readonly string[]
  readonly lost: readonly string[]
}

const CLIENTS = 4
const REST_MS = 2
/** A connection that does not come about within this time is tried anew: by then the system has tried twice more, after 1 s and 3 s. */
const CONNECT_MS = 3500
/** An answer that has not come within this time is asked for over another connection. */
const ANSWER_MS = 5000

const [host, port, path] = process.argv.slice(2) as [string, string, string]
const errors: string[] = []
const lost: string[] = []
let operations = 0
let connections = 0
let ending = false
let worstMs = 0

class Worker {
  readonly #name: string
  #client: NfsClient | undefined
  #file: Buffer | undefined
  #acknowledged = 0
  #answeredAt = performance.now()

  constructor(name: string) {
    this.#name = name
  }

  async work(): Promise<void> {
    while (!ending) {
      await this.#step()
      this.#answered()
      await new Promise((resolve) => setTimeout(resolve, REST_MS))
    }
    const found = await this.#read()
    if (found !== this.#acknowledged)
      lost.push(`${this.#name}: ${found} at the end, ${this.#acknowledged} was answered`)
    await this.#client?.close()
  }

  /** Also while it still waits. */
  note(): void {
    worstMs = Math.max(worstMs, performance.now() - this.#answeredAt)
  }

  #answered(): void {
    this.note()
    this.#answeredAt = performance.now()
    operations++
  }

  async #step(): Promise<void> {
    const next = this.#acknowledged + 1
    await this.#ask(async (client, file) => client.write(file, 0, value(next)))
    this.#acknowledged = next
    if (next % 8 !== 0) return
    const found = await this.#read()
    if (found !== next) lost.push(`${this.#name}: read ${found} after ${next} was answered`)
  }

  #read(): Promise<number> {
    return this.#ask(async (client, file) => Number((await client.read(file, 0, 16)).toString()))
  }

  /** Until there is an answer. */
  async #ask<T>(call: (client: NfsClient, file: Buffer) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const client = (this.#client ??= await this.#connect())
        return await soon(call(client, await this.#open(client)))
      } catch (error) {
        if (error instanceof NfsStatusError) errors.push(`${this.#name}: ${error.message}`)
        const failed = this.#client
        this.#client = undefined
        await failed?.close()
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }

  async #connect(): Promise<NfsClient> {
    const client = await late(NfsClient.connect(Number(port), { host }), CONNECT_MS, (each) => void each.close())
    connections++
    return client
  }

  async #open(client: NfsClient): Promise<Buffer> {
    this.#file ??= await client.create(await client.mount(path), this.#name)
    return this.#file
  }
}

function value(number: number): Buffer {
  return Buffer.from(`${number}`.padStart(16))
}

function soon<T>(work: Promise<T>): Promise<T> {
  return late(work, ANSWER_MS)
}

/** Rejects when it takes too long; what comes of it later is given to `tooLate`. */
function late<T>(work: Promise<T>, limitMs: number, tooLate: (value: T) => void = () => {}): Promise<T> {
  return new Promise((resolve, reject) => {
    let isOver = false
    const timer = setTimeout(() => {
      isOver = true
      reject(new Error(`no answer within ${limitMs} ms`))
    }, limitMs)
    work.then(
      (value) => {
        clearTimeout(timer)
        if (isOver) tooLate(value)
        else resolve(value)
      },
      (error) => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}

const workers = Array.from({ length: CLIENTS }, (_, index) => new Worker(`file-${index}`))
const all = Promise.all(workers.map((worker) => worker.work()))
process.on('message', async ({ id, kind }: WorkerRequest) => {
  if (kind === 'end') {
    ending = true
    await all
  } else for (const worker of workers) worker.note()
  process.send?.({ id, worstMs, operations, connections, errors, lost } satisfies WorkerAnswer)
  worstMs = 0
  if (kind === 'end') process.disconnect()
})
