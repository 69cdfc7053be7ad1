/**
 * The NFS gateway of a node: MOUNT version 3 and NFS version 3 on one TCP port. Its life: `listen`, then connections come and
 * go, then `close`: no new ones, what was taken is answered, the rest is cut after a grace time.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { MatrixError } from '../base/errors.ts'
import type { Export, HostNames, UserGroups } from '../export/index.ts'
import { type Clock, type Timer, within } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { defaultLimits, type NfsLimits } from './limits.ts'
import { MountProgram } from './mount/program.ts'
import { BufferPool } from './rpc/buffer-pool.ts'
import { Client } from './rpc/client.ts'
import { Connection } from './rpc/connection.ts'
import { ReplyCache } from './rpc/replies.ts'
import type { TlsOffer } from './rpc/tls.ts'
import { Nfs3Program } from './v3/program.ts'

export type NfsServerOptions = {
  /** What is served now. Give the same array while nothing changes: lookups are remembered by it. */
  readonly exports: () => readonly Export[]
  readonly clock: Clock
  readonly log: Log
  readonly limits?: Partial<NfsLimits>
  /** Where names of hosts are looked up that exports admit. */
  readonly hosts?: HostNames
  /** Where users' groups are looked up, instead of believing their clients. */
  readonly groups?: UserGroups
  /** TLS is offered. */
  readonly tls?: TlsOffer | undefined
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
  /** Accepted ones whose names are looked up. */
  readonly #looking = new Set<Socket>()
  #server: Server | undefined
  #sweep: Timer | undefined

  constructor(options: NfsServerOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#log = options.log.child({ gateway: 'nfs' })
    this.#nfs = new Nfs3Program({ clock: options.clock })
  }

  /** Rejects with MatrixError 'in-use' when the port is taken. Port 0: any free one. */
  async listen(host: string, port: number): Promise<{ readonly port: number }> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const code = error.code === 'EADDRINUSE' ? 'in-use' : 'config'
        reject(new MatrixError(code, `NFS cannot listen on ${host} port ${port}: ${error.message}`, { cause: error }))
      })
      server.listen({ host, port }, resolve)
    })
    server.on('error', (error) => this.#log.error({ error: error.message }, 'nfs listener failed'))
    this.#server = server
    this.#sweep = this.#options.clock.every(SWEEP_MS, () => this.#sweepOnce())
    const address = server.address()
    const bound = typeof address === 'object' && address ? address.port : port
    this.#log.info({ host, port: bound }, 'nfs serves')
    return { port: bound }
  }

  async close(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    this.#sweep?.cancel()
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of this.#looking) socket.destroy()
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
    for (const socket of this.#looking) socket.destroy()
    for (const connection of this.#connections) connection.destroy()
  }

  /** Looks up what these exports have to know of the clients that are connected, before they become the ones that count. */
  async learnNames(exports: readonly Export[]): Promise<void> {
    const { hosts } = this.#options
    const patterns = hostPatterns(exports)
    if (!hosts || patterns.length === 0) return
    const addresses = new Set([...this.#connections].map(({ client }) => client.address))
    await Promise.all([...addresses].map((address) => hosts.learn(address, patterns)))
  }

  stats(): NfsStatistics {
    let inFlight = 0
    for (const connection of this.#connections) inFlight += connection.inFlight
    return { connections: this.#connections.size, inFlight, ...this.#nfs.stats() }
  }

  #accept(socket: Socket, namesKnown = false): void {
    const { remoteAddress: address, remotePort: port } = socket
    if (address === undefined || port === undefined) return void socket.destroy() // gone already
    const log = this.#log.child({ client: `${address}:${port}` })
    if (this.#connections.size + this.#looking.size >= this.#limits.connections) {
      log.warn({ limit: this.#limits.connections }, 'nfs connection refused: there are too many')
      return void socket.destroy()
    }
    const { exports, hosts, groups } = this.#options
    const patterns = hostPatterns(exports())
    if (patterns.length > 0 && hosts && !namesKnown) {
      // nothing is read from it until its names are known
      this.#looking.add(socket)
      socket.on('error', () => socket.destroy())
      void hosts.learn(address, patterns).then(() => {
        this.#looking.delete(socket)
        if (this.#server && !socket.destroyed) this.#accept(socket, true)
        else socket.destroy()
      })
      return
    }
    const replies = this.#replies.of(address, port)
    const connection = new Connection({
      socket,
      client: new Client({ address, port, exports, replies, hosts, groups }),
      programs: [this.#nfs, this.#mount],
      pool: this.#pool,
      clock: this.#options.clock,
      log,
      limits: this.#limits,
      tls: this.#options.tls,
      onClose: () => this.#connections.delete(connection),
    })
    this.#connections.add(connection)
  }

  #sweepOnce(): void {
    const now = this.#options.clock.now()
    for (const connection of this.#connections) connection.checkSilence(now)
    void this.learnNames(this.#options.exports())
    this.#replies.expire(now, new Set([...this.#connections].map((each) => each.client.replies)))
  }
}

/** By which these exports know clients. */
function hostPatterns(exports: readonly Export[]): readonly string[] {
  return exports.flatMap(({ hosts }) => hosts)
}
