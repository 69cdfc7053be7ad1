/**
 * The NFS gateway of a node: MOUNT version 3 and NFS version 3 on one TCP port. Its life: `listen`, then connections come and
 * go, then `close`: no new ones, what was taken is answered, the rest is cut after a grace time.
 *
 * Beside its own address it serves those that come and go (`open`, `drain`, `closeAt`), on the same port.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { MatrixError } from '../base/errors.ts'
import { type Export, hears, LocalAddresses, plainAddress } from '../export/index.ts'
import { type Clock, type Timer, within } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { defaultLimits, type NfsLimits } from './limits.ts'
import { MountProgram } from './mount/program.ts'
import { BufferPool } from './rpc/buffer-pool.ts'
import { Client } from './rpc/client.ts'
import { Connection } from './rpc/connection.ts'
import { ReplyCache } from './rpc/replies.ts'
import { Nfs3Program } from './v3/program.ts'

export type NfsServerOptions = {
  /** What is served now. Give the same array while nothing changes: lookups are remembered by it. */
  readonly exports: () => readonly Export[]
  readonly clock: Clock
  readonly log: Log
  readonly limits?: Partial<NfsLimits>
}

export type NfsStatistics = {
  readonly connections: number
  readonly inFlight: number
  /** By procedure, since the start. */
  readonly calls: Readonly<Record<string, number>>
  /** Repeated requests answered from the cache of replies. */
  readonly duplicates: number
}

const SWEEP_MS = 5_000
const CLOSE_GRACE_MS = 1_000

export class NfsServer {
  readonly #options: NfsServerOptions
  readonly #limits: NfsLimits
  readonly #log: Log
  readonly #pool = new BufferPool()
  readonly #replies = new ReplyCache()
  readonly #nfs: Nfs3Program
  readonly #mount = new MountProgram()
  readonly #connections = new Set<Connection>()
  readonly #addresses = new LocalAddresses()
  /** Of connections to an address that is draining: accepted by the system, and not read from. */
  readonly #waiting = new Set<Socket>()
  /** Further listeners, by their address. */
  readonly #further = new Map<string, Server>()
  #server: Server | undefined
  #listening: { readonly host: string; readonly port: number } | undefined
  #sweep: Timer | undefined

  constructor(options: NfsServerOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#log = options.log.child({ gateway: 'nfs' })
    this.#nfs = new Nfs3Program({ clock: options.clock })
  }

  /** Rejects with MatrixError 'in-use' when the port is taken. Port 0: any free one. */
  async listen(host: string, port: number): Promise<{ readonly port: number }> {
    const server = await this.#listenAt(host, port)
    this.#server = server
    this.#sweep = this.#options.clock.every(SWEEP_MS, () => this.#sweepOnce())
    const address = server.address()
    const bound = typeof address === 'object' && address ? address.port : port
    this.#listening = { host, port: bound }
    this.#log.info({ host, port: bound }, 'nfs serves')
    return { port: bound }
  }

  async #listenAt(host: string, port: number): Promise<Server> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const code = error.code === 'EADDRINUSE' ? 'in-use' : 'config'
        reject(new MatrixError(code, `NFS cannot listen on ${host} port ${port}: ${error.message}`, { cause: error }))
      })
      server.listen({ host, port }, resolve)
    })
    server.on('error', (error) => this.#log.error({ error: error.message }, 'nfs listener failed'))
    return server
  }

  /** Serves at an address of this machine that has just come, too. Rejects as `listen`. */
  async open(address: string): Promise<void> {
    const own = this.#listening
    if (!own || !this.#server) throw new MatrixError('withdrawn', 'NFS is not served yet, or no more')
    this.#addresses.open(address)
    if (hears(own.host, address) || this.#further.has(address)) return
    this.#further.set(address, await this.#listenAt(address, own.port))
    this.#log.info({ host: address, port: own.port }, 'nfs serves')
  }

  /** Takes nothing new at an address; resolves once what was taken there is answered. */
  async drain(address: string): Promise<void> {
    this.#addresses.drain(address)
    await Promise.all(this.#at(address).map((connection) => connection.rest()))
  }

  /** Nothing is served at an address any more: its connections are reset, clients look for it elsewhere. */
  closeAt(address: string): void {
    this.#addresses.close(address)
    this.#further.get(address)?.close()
    this.#further.delete(address)
    for (const connection of this.#at(address)) connection.reset()
    for (const socket of this.#waiting) {
      if (plainAddress(socket.localAddress ?? '') === address) socket.resetAndDestroy()
    }
  }

  #at(address: string): Connection[] {
    return [...this.#connections].filter(({ localAddress }) => plainAddress(localAddress ?? '') === address)
  }

  async close(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    this.#sweep?.cancel()
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    this.#closeFurther()
    for (const connection of this.#connections) connection.end()
    if (this.#connections.size > 0) await within(this.#options.clock, closed, CLOSE_GRACE_MS)
    for (const connection of this.#connections) connection.destroy()
    await closed
  }

  /** Nothing is answered from now on: connections end without a word, and clients look for another node. */
  abandon(): void {
    this.#sweep?.cancel()
    this.#server?.close()
    this.#server = undefined
    this.#closeFurther()
    for (const connection of this.#connections) connection.destroy()
  }

  #closeFurther(): void {
    for (const server of this.#further.values()) server.close()
    this.#further.clear()
    for (const socket of this.#waiting) socket.destroy()
  }

  stats(): NfsStatistics {
    let inFlight = 0
    for (const connection of this.#connections) inFlight += connection.inFlight
    return { connections: this.#connections.size, inFlight, ...this.#nfs.stats() }
  }

  #accept(socket: Socket): void {
    const { remoteAddress: address, remotePort: port } = socket
    if (address === undefined || port === undefined) return void socket.destroy() // gone already
    const state = this.#addresses.stateOf(socket.localAddress)
    if (state === 'closed') return void socket.resetAndDestroy()
    if (state === 'draining') {
      // nobody reads from it, so nothing of it is taken
      this.#waiting.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#waiting.delete(socket))
      return
    }
    const log = this.#log.child({ client: `${address}:${port}` })
    if (this.#connections.size >= this.#limits.connections) {
      log.warn({ limit: this.#limits.connections }, 'nfs connection refused: there are too many')
      return void socket.destroy()
    }
    const replies = this.#replies.of(address, port)
    const connection = new Connection({
      socket,
      client: new Client({ address, port, exports: this.#options.exports, replies }),
      programs: [this.#nfs, this.#mount],
      pool: this.#pool,
      clock: this.#options.clock,
      log,
      limits: this.#limits,
      onClose: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
  }

  #sweepOnce(): void {
    const now = this.#options.clock.now()
    for (const connection of this.#connections) connection.checkSilence(now)
    this.#replies.expire(now, new Set([...this.#connections].map((each) => each.client.replies)))
  }
}
