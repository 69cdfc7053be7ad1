/**
 * A TCP port that serves RPC: its connections come and go, bounded in number, and are looked at for silence. Beside its own address it
 * serves those that come and go (`open`, `drain`, `closeAt`).
 */
import { createServer, type Server, type Socket } from 'node:net'
import { MatrixError } from '../../base/errors.ts'
import { hears, LocalAddresses, plainAddress } from '../../export/index.ts'
import { type Clock, within } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import type { NfsLimits } from '../limits.ts'
import type { BufferPool } from './buffer-pool.ts'
import type { Client } from './client.ts'
import { Connection } from './connection.ts'
import type { Programs } from './programs.ts'
import type { TlsOffer } from './tls.ts'

export type StreamOptions = {
  readonly programs: Programs
  /** Who is at the other end. */
  readonly client: (address: string, port: number, localAddress: string | undefined) => Client
  /** What has to be known of an address before anything is read from it; undefined when that is so already. Never rejects. */
  readonly meet?: (address: string) => Promise<void> | undefined
  readonly tls?: TlsOffer | undefined
  readonly pool: BufferPool
  readonly clock: Clock
  readonly log: Log
  readonly limits: NfsLimits
}

const CLOSE_GRACE_MS = 1_000

export class StreamPort {
  readonly #options: StreamOptions
  readonly #connections = new Set<Connection>()
  /** How many there are by client address; and those of which more were refused since they had none. */
  readonly #byAddress = new Map<string, number>()
  readonly #tooMany = new Set<string>()
  #refused = 0
  readonly #addresses = new LocalAddresses()
  /** Accepted by the system, and not read from: of an address that is draining, or of a client that is not known yet. */
  readonly #waiting = new Set<Socket>()
  /** Further listeners, by their address. */
  readonly #further = new Map<string, Server>()
  #server: Server | undefined
  #listening: { readonly host: string; readonly port: number } | undefined

  constructor(options: StreamOptions) {
    this.#options = options
  }

  get connections(): number {
    return this.#connections.size
  }

  /** Connections refused for a limit since the start. */
  get refused(): number {
    return this.#refused
  }

  get inFlight(): number {
    let inFlight = 0
    for (const connection of this.#connections) inFlight += connection.inFlight
    return inFlight
  }

  /** Those that are connected. */
  get clients(): readonly Client[] {
    return [...this.#connections].map(({ client }) => client)
  }

  /** The address that it is bound to; that of a host name is known only then. */
  get address(): string {
    const bound = this.#server?.address()
    return typeof bound === 'object' && bound ? bound.address : ''
  }

  /** Rejects with MatrixError 'in-use' when the port is taken. Port 0: any free one. */
  async listen(host: string, port: number): Promise<number> {
    const server = await this.#listenAt(host, port)
    this.#server = server
    const address = server.address()
    const bound = typeof address === 'object' && address ? address.port : port
    this.#listening = { host, port: bound }
    return bound
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
    server.on('error', (error) => this.#options.log.error({ error: error.message }, 'nfs listener failed'))
    return server
  }

  /** Serves at an address of this machine that has just come, too. Rejects as `listen`. */
  async open(address: string): Promise<void> {
    const own = this.#listening
    if (!own || !this.#server) throw new MatrixError('withdrawn', 'NFS is not served yet, or no more')
    this.#addresses.open(address)
    if (hears(own.host, address) || this.#further.has(address)) return
    this.#further.set(address, await this.#listenAt(address, own.port))
    this.#options.log.info({ host: address, port: own.port }, 'nfs serves')
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

  /** Takes nothing more; what was taken is answered, the rest is cut after a grace time. */
  async close(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    this.#closeFurther()
    for (const connection of this.#connections) connection.end()
    if (this.#connections.size > 0) await within(this.#options.clock, closed, CLOSE_GRACE_MS)
    for (const connection of this.#connections) connection.destroy()
    await closed
  }

  /** Connections end without a word. */
  abandon(): void {
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

  checkSilence(now: number): void {
    for (const connection of this.#connections) connection.checkSilence(now)
  }

  #keepWaiting(socket: Socket): void {
    this.#waiting.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#waiting.delete(socket))
  }

  #accept(socket: Socket, isMet = false): void {
    const { remoteAddress: address, remotePort: port, localAddress } = socket
    if (address === undefined || port === undefined) return void socket.destroy() // gone already
    const state = this.#addresses.stateOf(localAddress)
    if (state === 'closed') return void socket.resetAndDestroy()
    // nobody reads from it, so nothing of it is taken
    if (state === 'draining') return void this.#keepWaiting(socket)
    const { limits, programs, pool, clock, meet, tls } = this.#options
    const log = this.#options.log.child({ client: `${address}:${port}` })
    if (!this.#hasRoom(address, log)) return void socket.destroy()
    const known = isMet ? undefined : meet?.(address)
    if (known) {
      this.#keepWaiting(socket)
      void known.then(() => {
        if (!this.#waiting.delete(socket)) return
        if (this.#server) this.#accept(socket, true)
        else socket.destroy()
      })
      return
    }
    const connection = new Connection({
      ...{ socket, programs, pool, clock, log, limits, tls },
      client: this.#options.client(address, port, localAddress),
      onClose: () => {
        this.#connections.delete(connection)
        this.#count(address, -1)
      },
    })
    this.#connections.add(connection)
    this.#count(address, 1)
  }

  /** One connection more of this address is taken. */
  #hasRoom(address: string, log: Log): boolean {
    const { connections, connectionsPerAddress } = this.#options.limits
    if (this.#connections.size + this.#waiting.size >= connections) {
      log.warn({ limit: connections }, 'nfs connection refused: there are too many')
    } else if (this.#ofAddress(address) >= connectionsPerAddress) {
      // once: it may be tried without end
      if (!this.#tooMany.has(address))
        log.warn({ limit: connectionsPerAddress }, 'nfs connections refused: there are too many of this address')
      this.#tooMany.add(address)
    } else return true
    this.#refused++
    return false
  }

  #ofAddress(address: string): number {
    return this.#byAddress.get(address) ?? 0
  }

  #count(address: string, change: 1 | -1): void {
    const count = this.#ofAddress(address) + change
    if (count > 0) this.#byAddress.set(address, count)
    else {
      this.#byAddress.delete(address)
      this.#tooMany.delete(address)
    }
  }
}
