/** A TCP port that serves RPC: its connections come and go, bounded in number, and are looked at for silence. */
import { createServer, type Server, type Socket } from 'node:net'
import { MatrixError } from '../../base/errors.ts'
import { type Clock, within } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import type { NfsLimits } from '../limits.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { Client } from './client.ts'
import { Connection } from './connection.ts'
import type { Programs } from './programs.ts'
import type { ClientReplies } from './replies.ts'

export type StreamOptions = {
  readonly programs: Programs
  /** Who is at the other end. */
  readonly client: (address: string, port: number, localAddress: string | undefined) => Client
  readonly pool: BufferPool
  readonly clock: Clock
  readonly log: Log
  readonly limits: NfsLimits
}

const CLOSE_GRACE_MS = 1_000

export class StreamPort {
  readonly #options: StreamOptions
  readonly #connections = new Set<Connection>()
  readonly #perAddress = new Map<string, number>()
  #server: Server | undefined

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get connections(): number {
    return this.#connections.size
  }

  get inFlight(): number {
    let inFlight = 0
    for (const connection of this.#connections) inFlight += connection.inFlight
    return inFlight
  }

  /** Where the replies of those that are connected are remembered. */
  get replies(): readonly ClientReplies[] {
    return [...this.#connections].map((each) => each.client.replies)
  }

  /** The address that it is bound to; that of a host name is known only then. */
  get address(): string {
    const bound = this.#server?.address()
    return typeof bound === 'object' && bound ? bound.address : ''
  }

  /** Rejects with MatrixError 'in-use' when the port is taken. Port 0: any free one. */
  async listen(host: string, port: number): Promise<number> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const code = error.code === 'EADDRINUSE' ? 'in-use' : 'config'
        reject(new MatrixError(code, `NFS cannot listen on ${host} port ${port}: ${error.message}`, { cause: error }))
      })
      server.listen({ host, port }, resolve)
    })
    server.on('error', (error) => this.#options.log.error({ error: error.message }, 'nfs listener failed'))
    this.#server = server
    const address = server.address()
    return typeof address === 'object' && address ? address.port : port
  }

  /** Takes nothing more; what was taken is answered, the rest is cut after a grace time. */
  async close(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const connection of this.#connections) connection.end()
    if (this.#connections.size > 0) await within(this.#options.clock, closed, CLOSE_GRACE_MS)
    for (const connection of this.#connections) connection.destroy()
    await closed
  }

  /** Connections end without a word. */
  abandon(): void {
    this.#server?.close()
    this.#server = undefined
    for (const connection of this.#connections) connection.destroy()
  }

  checkSilence(now: number): void {
    for (const connection of this.#connections) connection.checkSilence(now)
  }

  #accept(socket: Socket): void {
    const { remoteAddress: address, remotePort: port, localAddress } = socket
    if (address === undefined || port === undefined) return void socket.destroy() // gone already
    const { limits, programs, pool, clock } = this.#options
    const log = this.#options.log.child({ client: `${address}:${port}` })
    if (this.#connections.size >= limits.connections) {
      log.warn({ limit: limits.connections }, 'nfs connection refused: there are too many')
      return void socket.destroy()
    }
    const ofAddress = (this.#perAddress.get(address) ?? 0) + 1
    if (ofAddress > limits.connectionsPerAddress) {
      log.warn({ limit: limits.connectionsPerAddress }, 'nfs connection refused: there are too many of this address')
      return void socket.destroy()
    }
    this.#perAddress.set(address, ofAddress)
    const connection = new Connection({
      ...{ socket, programs, pool, clock, log, limits },
      client: this.#options.client(address, port, localAddress),
      onClose: () => this.#closed(connection),
    })
    this.#connections.add(connection)
  }

  #closed(connection: Connection): void {
    this.#connections.delete(connection)
    const { address } = connection.client
    const left = (this.#perAddress.get(address) ?? 1) - 1
    if (left > 0) this.#perAddress.set(address, left)
    else this.#perAddress.delete(address)
  }
}
