/**
 * The NFS gateway of a node: NFS version 3 and its helpers (programs.ts) on one port, by TCP and by UDP. Its life: `listen`, then
 * connections and datagrams come and go, then `close`: nothing more is taken, what was taken is answered, the rest is cut after a grace time.
 *
 * Beside its own address it serves those that come and go (`open`, `drain`, `closeAt`), on the same port.
 */
import type { Export, HostNames, UserGroups } from '../export/index.ts'
import { type Clock, type Timer, within } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { defaultLimits, type NfsLimits } from './limits.ts'
import { type PortmapOptions, Portmapper } from './portmap/portmapper.ts'
import type { Service } from './portmap/services.ts'
import { PORTMAP_PORT } from './portmap/tables.ts'
import { NfsPrograms, type ProgramStatistics, type ProgramsOptions } from './programs.ts'
import { BufferPool } from './rpc/buffer-pool.ts'
import { Client } from './rpc/client.ts'
import { type DatagramOptions, DatagramPort } from './rpc/datagrams.ts'
import { Programs } from './rpc/programs.ts'
import { ReplyCache } from './rpc/replies.ts'
import type { Program } from './rpc/session.ts'
import { type StreamOptions, StreamPort } from './rpc/streams.ts'
import type { TlsOffer } from './rpc/tls.ts'
import type { Transport } from './rpc/transport.ts'

export type NfsServerOptions = ProgramsOptions & {
  readonly limits?: Partial<NfsLimits>
  /** NFS itself by UDP, too; its helpers always are. Default false. */
  readonly udp?: boolean
  /** How clients find the port; default: they are told otherwise. */
  readonly portmap?: PortmapOptions
  /** Where names of hosts are looked up that exports admit. */
  readonly hosts?: HostNames
  /** Where users' groups are looked up, instead of believing their clients. */
  readonly groups?: UserGroups
  /** TLS is offered. */
  readonly tls?: TlsOffer | undefined
}

export type NfsStatistics = ProgramStatistics & {
  readonly connections: number
  /** For a limit, since the start. */
  readonly connectionsRefused: number
  readonly inFlight: number
  readonly portmap: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** Datagrams: taken, lost because too many were under way, refused because no export admits their sender. */
  readonly datagrams: { readonly calls: number; readonly lost: number; readonly refused: number }
}

const SWEEP_MS = 5_000
const CLOSE_GRACE_MS = 1_000
const FREE_PORT_TRIES = 8

export class NfsServer {
  readonly #clock: Clock
  readonly #log: Log
  readonly #replies = new ReplyCache()
  readonly #programs: NfsPrograms
  readonly #streams: StreamPort
  readonly #datagrams: DatagramPort
  readonly #portmapper: Portmapper
  readonly #services: readonly Omit<Service, 'port'>[]
  readonly #exports: () => readonly Export[]
  readonly #hosts: HostNames | undefined
  #sweep: Timer | undefined

  constructor(options: NfsServerOptions) {
    const { clock, exports } = options
    const log = options.log.child({ gateway: 'nfs' })
    this.#clock = clock
    this.#exports = exports
    this.#hosts = options.hosts
    this.#log = log
    const programs = new NfsPrograms({ ...options, log })
    this.#programs = programs
    const pool = new BufferPool()
    const clientOf = (transport: Transport, address: string, port: number, localAddress: string | undefined) =>
      new Client({
        ...{ transport, address, port, localAddress, exports, hosts: options.hosts, groups: options.groups },
        replies: this.#replies.of(transport, address, port),
      })
    const meet = (address: string) => {
      const patterns = hostPatterns(exports())
      return patterns.length > 0 ? options.hosts?.learn(address, patterns) : undefined
    }
    const streams: Omit<StreamOptions, 'programs'> = {
      ...{ pool, clock, log, limits: { ...defaultLimits, ...options.limits } },
      client: (address, port, local) => clientOf('tcp', address, port, local),
      meet,
      tls: options.tls,
    }
    const datagrams: Omit<DatagramOptions, 'programs'> = {
      ...{ pool, log },
      client: ({ address, port }, local) => clientOf('udp', address, port, local),
      meet,
    }
    const byTcp = [programs.nfs, ...programs.helpers]
    const byUdp = options.udp ? byTcp : programs.helpers
    this.#services = [...servicesOf(byTcp, 'tcp'), ...servicesOf(byUdp, 'udp')]
    this.#streams = new StreamPort({ ...streams, programs: new Programs(byTcp) })
    this.#datagrams = new DatagramPort({ ...datagrams, programs: new Programs(byUdp) })
    this.#portmapper = new Portmapper({
      ...(options.portmap ?? { mode: 'off', port: PORTMAP_PORT }),
      ...{ streams, datagrams, clock, log, caller: programs.caller },
    })
  }

  /** Rejects with MatrixError 'in-use' when the port is taken. Port 0: any free one, the same for TCP and UDP. */
  async listen(
    host: string,
    port: number,
  ): Promise<{ readonly port: number; readonly portmapPort: number | undefined }> {
    const bound = await listenOnBoth(this.#streams, this.#datagrams, host, port)
    this.#sweep = this.#clock.every(SWEEP_MS, () => this.#sweepOnce())
    this.#log.info({ host, port: bound }, 'nfs serves')
    const services = this.#services.map((each) => ({ ...each, port: bound }))
    try {
      await this.#portmapper.start(this.#streams.address, services)
    } catch (error) {
      await this.close()
      throw error
    }
    this.#programs.start()
    return { port: bound, portmapPort: this.#portmapper.port }
  }

  /** Serves at an address of this machine that has just come, too. Rejects with MatrixError as `listen`. */
  async open(address: string): Promise<void> {
    for (const port of this.#ports) await port.open(address)
  }

  /** Takes nothing new at an address; resolves once what was taken there is answered. */
  async drain(address: string): Promise<void> {
    await Promise.all(this.#ports.map((port) => port.drain(address)))
  }

  /** Nothing is served at an address any more: its connections are reset, clients look for it elsewhere. */
  closeAt(address: string): void {
    for (const port of this.#ports) port.closeAt(address)
  }

  get #ports() {
    return [this.#streams, this.#datagrams, this.#portmapper]
  }

  async close(): Promise<void> {
    this.#sweep?.cancel()
    await this.#portmapper.close()
    await Promise.all([this.#streams.close(), within(this.#clock, this.#datagrams.end(), CLOSE_GRACE_MS)])
    this.#datagrams.destroy()
    this.#programs.close()
  }

  /** Nothing is answered from now on: connections end without a word, and clients look for another node. */
  abandon(): void {
    this.#sweep?.cancel()
    this.#portmapper.abandon()
    this.#streams.abandon()
    this.#datagrams.destroy()
    this.#programs.close()
  }

  /** Looks up what these exports have to know of the clients that are connected, before they become the ones that count. */
  async learnNames(exports: readonly Export[]): Promise<void> {
    const hosts = this.#hosts
    const patterns = hostPatterns(exports)
    if (!hosts || patterns.length === 0) return
    const addresses = new Set(this.#streams.clients.map(({ address }) => address))
    await Promise.all([...addresses].map((address) => hosts.learn(address, patterns)))
  }

  stats(): NfsStatistics {
    return {
      connections: this.#streams.connections,
      connectionsRefused: this.#streams.refused,
      inFlight: this.#streams.inFlight + this.#datagrams.inFlight,
      ...this.#programs.stats(),
      portmap: this.#portmapper.calls,
      datagrams: { ...this.#datagrams.counters },
    }
  }

  #sweepOnce(): void {
    const now = this.#clock.now()
    this.#streams.checkSilence(now)
    this.#portmapper.checkSilence(now)
    void this.learnNames(this.#exports())
    this.#replies.expire(now, new Set(this.#streams.clients.map(({ replies }) => replies)))
  }
}

function servicesOf(list: readonly Program[], transport: Transport): Omit<Service, 'port'>[] {
  return list.map(({ number, version }) => ({ program: number, version, transport }))
}

/** By TCP and UDP on one port; a free one (0) may be taken for UDP, and then it is another. */
async function listenOnBoth(streams: StreamPort, datagrams: DatagramPort, host: string, port: number): Promise<number> {
  for (let tries = 1; ; tries++) {
    const bound = await streams.listen(host, port)
    try {
      return await datagrams.listen(host, bound)
    } catch (error) {
      await streams.close()
      if (port !== 0 || tries === FREE_PORT_TRIES) throw error
    }
  }
}

/** By which these exports know clients. */
function hostPatterns(exports: readonly Export[]): readonly string[] {
  return exports.flatMap(({ hosts }) => hosts)
}
