/**
 * The NFS gateway of a node: NFS version 3 and its helpers (MOUNT) on one port, by TCP and by UDP. Its life: `listen`, then
 * connections and datagrams come and go, then `close`: nothing more is taken, what was taken is answered, the rest is cut after a grace time.
 */
import { randomInt } from 'node:crypto'
import type { Life } from '../base/life.ts'
import type { Export } from '../export/index.ts'
import type { MatrixFs } from '../metadata/index.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import { within } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { defaultLimits, type NfsLimits } from './limits.ts'
import { mountProgram } from './mount/program.ts'
import { Callbacks } from './nlm/callbacks.ts'
import { LockManager } from './nlm/lock-manager.ts'
import { nlmProgram } from './nlm/program.ts'
import { Monitor } from './nsm/monitor.ts'
import { nsmProgram } from './nsm/program.ts'
import { Hosts } from './portmap/hosts.ts'
import { type PortmapOptions, Portmapper } from './portmap/portmapper.ts'
import type { Service } from './portmap/services.ts'
import { PORTMAP_PORT } from './portmap/tables.ts'
import { BufferPool } from './rpc/buffer-pool.ts'
import { RpcCaller } from './rpc/caller.ts'
import { Client } from './rpc/client.ts'
import { type DatagramOptions, DatagramPort } from './rpc/datagrams.ts'
import { Programs } from './rpc/programs.ts'
import { ReplyCache } from './rpc/replies.ts'
import type { Program } from './rpc/session.ts'
import { type StreamOptions, StreamPort } from './rpc/streams.ts'
import type { Transport } from './rpc/transport.ts'
import { Nfs3Program } from './v3/program.ts'

export type NfsServerOptions = {
  /** What is served now. Give the same array while nothing changes: lookups are remembered by it. */
  readonly exports: () => readonly Export[]
  readonly clock: Clock
  readonly log: Log
  readonly limits?: Partial<NfsLimits>
  /** NFS itself by UDP, too; its helpers always are. Default false. */
  readonly udp?: boolean
  /** How clients find the port; default: they are told otherwise. */
  readonly portmap?: PortmapOptions
  /** The name of this machine, as its clients know it. */
  readonly hostName: string
  /** Of this node: its state number is made of it. */
  readonly life: Life
  /** Where clients have their port mappers; default 111. */
  readonly clientPortmapPort?: number
}

export type NfsStatistics = {
  readonly connections: number
  readonly inFlight: number
  /** By procedure, since the start. */
  readonly calls: Readonly<Record<string, number>>
  /** Repeated requests answered from the cache of replies. */
  readonly duplicates: number
  /** Calls of the helpers, by procedure. */
  readonly mount: Readonly<Record<string, number>>
  readonly nlm: Readonly<Record<string, number>>
  readonly nsm: Readonly<Record<string, number>>
  readonly locks: LockStatistics
  readonly portmap: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** Datagrams: taken, lost because too many were under way, refused because no export admits their sender. */
  readonly datagrams: { readonly calls: number; readonly lost: number; readonly refused: number }
}

/** What the lock manager has to do with, now and since the start. */
export type LockStatistics = {
  readonly waiting: number
  readonly shares: number
  /** Clients that have to be told of a restart; those that were; and restarts that clients told of. */
  readonly monitored: number
  readonly told: number
  readonly heard: number
  /** Calls to clients whose lock was granted, and those of them without an answer. */
  readonly grants: number
  readonly grantsUnanswered: number
}

const SWEEP_MS = 5_000
const CLOSE_GRACE_MS = 1_000
const FREE_PORT_TRIES = 8

export class NfsServer {
  readonly #options: NfsServerOptions
  readonly #log: Log
  readonly #replies = new ReplyCache()
  readonly #nfs: Nfs3Program
  readonly #streams: StreamPort
  readonly #datagrams: DatagramPort
  readonly #mount: ReturnType<typeof mountProgram>
  readonly #caller: RpcCaller
  readonly #filesystems: () => readonly MatrixFs[]
  readonly #monitor: Monitor
  readonly #callbacks: Callbacks
  readonly #locks: LockManager
  readonly #nlm: ReturnType<typeof nlmProgram>
  readonly #nsm: ReturnType<typeof nsmProgram>
  readonly #portmapper: Portmapper
  readonly #services: readonly Omit<Service, 'port'>[]
  #sweep: Timer | undefined

  constructor(options: NfsServerOptions) {
    const { clock, exports } = options
    this.#options = options
    const log = options.log.child({ gateway: 'nfs' })
    this.#log = log
    this.#nfs = new Nfs3Program({ clock })
    this.#mount = mountProgram(clock)
    const caller = new RpcCaller({ clock, credential: { machine: options.hostName }, firstXid: randomInt(2 ** 32) })
    const hosts = new Hosts({
      ...{ caller, clock },
      ...(options.clientPortmapPort !== undefined && { portmapPort: options.clientPortmapPort }),
    })
    const { hostName, life } = options
    const monitor = new Monitor({ hosts, hostName, life, clock, log })
    const callbacks = new Callbacks({ hosts, clock })
    const filesystems = () => [...new Set(exports().map(({ fs }) => fs))]
    this.#filesystems = filesystems
    const manager = new LockManager({ callbacks, monitor, filesystems, clock, log })
    this.#nlm = nlmProgram({ manager, callbacks, clock, log })
    const simulateCrash = () => monitor.restart(filesystems())
    this.#nsm = nsmProgram({ monitor, manager, hosts, simulateCrash, clock, log })
    this.#caller = caller
    this.#monitor = monitor
    this.#callbacks = callbacks
    this.#locks = manager
    const helpers: readonly Program[] = [this.#mount, this.#nlm, this.#nsm]
    const pool = new BufferPool()
    const clientOf = (transport: Transport, address: string, port: number, localAddress: string | undefined) =>
      new Client({
        ...{ transport, address, port, localAddress, exports },
        replies: this.#replies.of(transport, address, port),
      })
    const streams: Omit<StreamOptions, 'programs'> = {
      ...{ pool, clock, log, limits: { ...defaultLimits, ...options.limits } },
      client: (address, port, local) => clientOf('tcp', address, port, local),
    }
    const datagrams: Omit<DatagramOptions, 'programs'> = {
      ...{ pool, log },
      client: ({ address, port }, local) => clientOf('udp', address, port, local),
    }
    const byUdp = options.udp ? [this.#nfs, ...helpers] : helpers
    this.#services = [
      ...[this.#nfs, ...helpers].map(({ number, version }) => ({
        program: number,
        version,
        transport: 'tcp' as const,
      })),
      ...byUdp.map(({ number, version }) => ({ program: number, version, transport: 'udp' as const })),
    ]
    this.#streams = new StreamPort({ ...streams, programs: new Programs([this.#nfs, ...helpers]) })
    this.#datagrams = new DatagramPort({ ...datagrams, programs: new Programs(byUdp) })
    this.#portmapper = new Portmapper({
      ...(options.portmap ?? { mode: 'off', port: PORTMAP_PORT }),
      ...{ streams, datagrams, clock, log, caller },
    })
  }

  /** Rejects with MatrixError 'in-use' when the port is taken. Port 0: any free one, the same for TCP and UDP. */
  async listen(
    host: string,
    port: number,
  ): Promise<{ readonly port: number; readonly portmapPort: number | undefined }> {
    const bound = await listenOnBoth(this.#streams, this.#datagrams, host, port)
    this.#sweep = this.#options.clock.every(SWEEP_MS, () => this.#sweepOnce())
    this.#log.info({ host, port: bound }, 'nfs serves')
    const services = this.#services.map((each) => ({ ...each, port: bound }))
    try {
      await this.#portmapper.start(this.#streams.address, services)
    } catch (error) {
      await this.close()
      throw error
    }
    this.#monitor.start(this.#filesystems())
    return { port: bound, portmapPort: this.#portmapper.port }
  }

  async close(): Promise<void> {
    this.#sweep?.cancel()
    await this.#portmapper.close()
    await Promise.all([this.#streams.close(), within(this.#options.clock, this.#datagrams.end(), CLOSE_GRACE_MS)])
    this.#datagrams.destroy()
    this.#locks.close()
    this.#monitor.close()
    this.#caller.close()
  }

  /** Nothing is answered from now on: connections end without a word, and clients look for another node. */
  abandon(): void {
    this.#sweep?.cancel()
    this.#monitor.close()
    this.#locks.close()
    this.#portmapper.abandon()
    this.#streams.abandon()
    this.#datagrams.destroy()
    this.#caller.close()
  }

  stats(): NfsStatistics {
    return {
      connections: this.#streams.connections,
      inFlight: this.#streams.inFlight + this.#datagrams.inFlight,
      ...this.#nfs.stats(),
      mount: this.#mount.calls,
      nlm: this.#nlm.calls,
      nsm: this.#nsm.calls,
      locks: {
        ...this.#locks.counters,
        ...this.#monitor.counters,
        grants: this.#callbacks.counters.sent,
        grantsUnanswered: this.#callbacks.counters.failed,
      },
      portmap: this.#portmapper.calls,
      datagrams: { ...this.#datagrams.counters },
    }
  }

  #sweepOnce(): void {
    const now = this.#options.clock.now()
    this.#streams.checkSilence(now)
    this.#portmapper.checkSilence(now)
    this.#replies.expire(now, new Set(this.#streams.replies))
  }
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
