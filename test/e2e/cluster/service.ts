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

export type WorstKind = 'cached' | 'untouched' | 'orphaned'

/** A service that was asked for at `at` and took `ms`. */
type Asked = { readonly at: number; readonly ms: number }

/** Asks one node all the time, for what it has cached and, where there is a pool of it, for what nobody has, by the node where that was made. */
export class ServiceWatch {
  readonly node: string
  readonly #cached: Asked[] = []
  readonly #untouched: ReadonlyMap<string, Asked[]>
  readonly #clients: readonly PersistentClient[]

  constructor(node: DemoNode, resources: Resources) {
    this.node = node.name
    const one = new PersistentClient(node)
    this.#untouched = new Map(resources.makers.map((maker) => [maker, []]))
    const others = [...this.#untouched].map(([maker, asked]) => {
      const client = new PersistentClient(node)
      void ask(client, asked, UNTOUCHED_EVERY_MS, (nfs) => nfs.read(resources.untouched(maker)))
      return client
    })
    this.#clients = [one, ...others]
    const own = resources.own(node.name)
    void ask(one, this.#cached, CACHED_EVERY_MS, async (client) => {
      await client.write(own, 0, Buffer.from(`${now()}`))
      await client.read(own)
    })
  }

  /** Resolves once all kinds have been served since `since`. */
  async served(since: number): Promise<void> {
    const has = (asked: readonly Asked[]) => asked.some(({ at }) => at >= since)
    while (![this.#cached, ...this.#untouched.values()].every(has)) await sleep(RETRY_MS)
  }

  /**
   * The longest that each kind of call took that ended between the times, ms. Calls that have not ended do not count. `orphaned`: of what
   * nobody has cached, the files that were made at one of the `lost`.
   */
  worst(from: number, to: number, lost: readonly string[]): Readonly<Record<WorstKind, number>> {
    const longest = (asked: readonly Asked[]) =>
      Math.max(0, ...asked.filter(({ at, ms }) => at + ms >= from && at <= to).map(({ ms }) => ms))
    const made = (byLost: boolean) =>
      [...this.#untouched].filter(([maker]) => lost.includes(maker) === byLost).flatMap(([, asked]) => asked)
    return { cached: longest(this.#cached), untouched: longest(made(false)), orphaned: longest(made(true)) }
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
