/**
 * How long a node does not serve: clients that ask for one thing after another, and repeat what fails until it succeeds. NFS by handle,
 * so that a call needs nothing but its file.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { NfsClient, NfsStatusError } from '../../helpers/nfs-client.ts'
import { now } from '../checker/clock.ts'
import type { DemoNode } from '../demo.ts'
import type { Resources } from './resources.ts'

const CACHED_EVERY_MS = 20
const UNTOUCHED_EVERY_MS = 150
const RETRY_MS = 20
/** A connection that is not there by then is tried again, ms. */
const CONNECT_LIMIT_MS = 2_000

/** One client of one node, until it is closed. */
export class PersistentClient {
  readonly #node: DemoNode
  #client: NfsClient | undefined
  #closed = false

  constructor(node: DemoNode) {
    this.#node = node
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Resolves to the ms until `call` succeeded, however often it had to be made; undefined when this client was closed before. */
  async succeeds(call: (client: NfsClient) => Promise<unknown>): Promise<number | undefined> {
    const began = now()
    while (!this.#closed) {
      try {
        this.#client ??= await this.#connect()
        const client = this.#client
        const lost = client.closed.then(() => {
          throw new Error('the connection was closed')
        })
        lost.catch(() => {})
        await Promise.race([call(client), lost])
        return now() - began
      } catch (error) {
        if (!(error instanceof NfsStatusError)) this.#drop()
        await sleep(RETRY_MS)
      }
    }
    return undefined
  }

  close(): void {
    this.#closed = true
    this.#drop()
  }

  #drop(): void {
    this.#client?.socket.destroy()
    this.#client = undefined
  }

  async #connect(): Promise<NfsClient> {
    const { host, port } = this.#node.nfs
    const connecting = NfsClient.connect(port, { host })
    const late = sleep(CONNECT_LIMIT_MS, undefined, { ref: false }).then(() => {
      connecting.then((client) => client.close()).catch(() => {})
      throw new Error('no connection')
    })
    return Promise.race([connecting, late])
  }
}

/** A service that was asked for at `at` and took `ms`. */
type Asked = { readonly at: number; readonly ms: number }

/** Asks one node all the time, for what it has cached and, where there is a pool of it, for what nobody has. */
export class ServiceWatch {
  readonly node: string
  readonly #cached: Asked[] = []
  readonly #untouched: Asked[] = []
  readonly #hasUntouched: boolean
  readonly #clients: readonly PersistentClient[]

  constructor(node: DemoNode, resources: Resources) {
    this.node = node.name
    const [one, other] = [new PersistentClient(node), new PersistentClient(node)]
    this.#clients = [one, other]
    this.#hasUntouched = resources.hasUntouched
    const own = resources.own(node.name)
    void ask(one, this.#cached, CACHED_EVERY_MS, async (client) => {
      await client.write(own, 0, Buffer.from(`${now()}`))
      await client.read(own)
    })
    if (this.#hasUntouched)
      void ask(other, this.#untouched, UNTOUCHED_EVERY_MS, (client) => client.read(resources.untouched()))
  }

  /** Resolves once both kinds have been served since `since`. */
  async served(since: number): Promise<void> {
    const has = (asked: readonly Asked[]) => asked.some(({ at }) => at >= since)
    while (!(has(this.#cached) && (has(this.#untouched) || !this.#hasUntouched))) await sleep(RETRY_MS)
  }

  /** The longest that each kind of call took that ended between the times, ms. Calls that have not ended do not count. */
  worst(from: number, to: number): { readonly cached: number; readonly untouched: number } {
    const longest = (asked: readonly Asked[]) =>
      Math.max(0, ...asked.filter(({ at, ms }) => at + ms >= from && at <= to).map(({ ms }) => ms))
    return { cached: longest(this.#cached), untouched: longest(this.#untouched) }
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }
}

async function ask(
  client: PersistentClient,
  asked: Asked[],
  everyMs: number,
  call: (client: NfsClient) => Promise<unknown>,
): Promise<void> {
  while (!client.closed) {
    const at = now()
    const ms = await client.succeeds(call)
    if (ms !== undefined) asked.push({ at, ms })
    await sleep(everyMs)
  }
}

/** Keeps writing a node's held file at that node. */
export class Holder {
  readonly #client: PersistentClient

  constructor(node: DemoNode, resources: Resources) {
    this.#client = new PersistentClient(node)
    const held = resources.held(node.name)
    void ask(this.#client, [], 1, (client) => client.write(held, 0, Buffer.from(`${node.name} ${now()}`)))
  }

  close(): void {
    this.#client.close()
  }
}

/** Milliseconds from now until `node` has written the held file of `victim`; undefined when it was stopped before. */
export async function untilTakenOver(
  node: DemoNode,
  victim: string,
  resources: Resources,
  stopped: AbortSignal,
): Promise<number | undefined> {
  const client = new PersistentClient(node)
  stopped.addEventListener('abort', () => client.close(), { once: true })
  if (stopped.aborted) client.close()
  const data = Buffer.from(`taken over at ${node.name}`)
  try {
    return await client.succeeds((nfs) => nfs.write(resources.held(victim), 0, data))
  } finally {
    client.close()
  }
}
