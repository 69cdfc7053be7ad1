/**
 * Which clients have to be told when this node restarts, and which have restarted (X/Open XNFS 11).
 *
 * A client is put into the record of its filesystem (`MatrixFs.clients`) before its first lock is answered, with the state number that it has then.
 * The record is durable, and what a node leaves behind another adopts.
 *
 * Locks outlive nodes, so nobody has to reclaim anything, and there is no grace period. Clients are told all the same: what they wait for at a
 * node that is gone they ask for again at once, not at their next poll; and a lock that they reclaim they have already. This node's state number
 * is made of its life: odd, greater in every life, and no other node's.
 *
 * A client that has restarted tells every node where it had locks, each of them for as long as it is not answered. One that hears it late must not
 * free locks of the new life, taken at another node meanwhile. Hence `isOldNews`: its record says, at whatever node, that it was in that state.
 */
import type { Life } from '../../base/life.ts'
import type { MatrixFs, WatchedClient } from '../../metadata/index.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import {
  HEARD_MAX,
  NOTIFY_AT_ONCE,
  NOTIFY_FOR_MS,
  NOTIFY_LIMIT_MS,
  NOTIFY_PAUSE_FIRST_MS,
  NOTIFY_PAUSE_LONGEST_MS,
} from '../limits.ts'
import { clientName } from '../nlm/identity.ts'
import type { Host, Hosts } from '../portmap/hosts.ts'
import { CallError } from '../rpc/caller.ts'
import { Pauses } from '../rpc/pauses.ts'
import { type MonitoredHost, recordedState, recordOf, watchedHost } from './record.ts'
import { NSM_NAME_MAX, NSM_PROGRAM, NSM_V1, nsmProcedures } from './tables.ts'

const NSM = { program: NSM_PROGRAM, version: NSM_V1 }
/** Slots have this many numbers. */
const SLOTS = 64
const STATE_BITS = 2 ** 31

export type MonitorOptions = {
  readonly hosts: Hosts
  /** By which clients know this machine. */
  readonly hostName: string
  readonly life: Life
  readonly clock: Clock
  readonly log: Log
}

type Entry = { readonly host: MonitoredHost; readonly kept: Promise<void> }

export class Monitor {
  readonly #options: MonitorOptions
  /** What this life has put into the records, by filesystem and client. */
  readonly #watched = new Map<MatrixFs, Map<string, Entry>>()
  /** Restarts that were told here, and when. */
  readonly #heard = new Map<string, { readonly state: number; readonly at: number }>()
  /** Who has to be told of this node's state, and until when that is tried. */
  readonly #untold = new Map<string, { readonly host: MonitoredHost; readonly until: number }>()
  #telling = false
  readonly #counters = { told: 0, heard: 0 }
  #state: number
  readonly #pauses: Pauses

  constructor(options: MonitorOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    const { slot, incarnation } = options.life
    this.#state = (2 * (incarnation * SLOTS + slot) + 1) % STATE_BITS
  }

  get state(): number {
    return this.#state
  }

  get counters(): { readonly monitored: number; readonly told: number; readonly heard: number } {
    let monitored = 0
    for (const clients of this.#watched.values()) monitored += clients.size
    return { monitored, ...this.#counters }
  }

  /** Tells the clients of former lives, and those that a node which is gone leaves to this one. */
  start(filesystems: readonly MatrixFs[]): void {
    void this.#tell(filesystems.flatMap(({ clients }) => clients.list()))
    for (const { clients } of filesystems) clients.clientsAdopted((adopted) => void this.#tell(adopted))
  }

  /** SM_SIMU_CRASH: tells all clients as if this node had restarted. */
  restart(filesystems: readonly MatrixFs[]): void {
    this.#state = (this.#state + 2 * SLOTS) % STATE_BITS
    void this.#tell(filesystems.flatMap(({ clients }) => clients.list()))
  }

  /** Resolves once the record says that the host has locks, and in which state. Rejects with what the record rejects with. */
  watch(fs: MatrixFs, host: MonitoredHost): Promise<void> {
    let clients = this.#watched.get(fs)
    if (!clients) this.#watched.set(fs, (clients = new Map()))
    const client = clientName(host.address, host.name)
    const known = clients.get(client)
    if (known && isSame(known.host, host)) return known.kept
    const state = host.state || (known?.host.state ?? 0)
    const entry: Entry = { host: { ...host, state }, kept: fs.clients.put(recordOf({ ...host, state })) }
    clients.set(client, entry)
    entry.kept.catch(() => {
      if (clients.get(client) === entry) clients.delete(client)
    })
    return entry.kept
  }

  /** Names under which hosts at this address have locks. */
  namesAt(address: string, filesystems: readonly MatrixFs[]): readonly string[] {
    const known = filesystems.flatMap(({ clients }) => clients.everywhere())
    return known.flatMap((each) => {
      const host = each.address === address ? watchedHost(each) : undefined
      return host ? [host.name] : []
    })
  }

  /** The host holds nothing any more. */
  async forget(fs: MatrixFs, client: string): Promise<void> {
    this.#watched.get(fs)?.delete(client)
    await fs.clients.remove(client)
  }

  /** A host has restarted: true when that was told here before. It is told more than once. */
  wasHeard(address: string, name: string, state: number): boolean {
    this.#counters.heard++
    const last = this.#heard.get(clientName(address, name))
    return last !== undefined && last.state === state && this.#options.clock.now() - last.at < NOTIFY_FOR_MS
  }

  /** What followed from it is done. */
  settled(address: string, name: string, state: number): void {
    this.#options.hosts.forget(address)
    const client = clientName(address, name)
    this.#heard.delete(client)
    this.#heard.set(client, { state, at: this.#options.clock.now() })
    if (this.#heard.size <= HEARD_MAX) return
    const [oldest] = this.#heard.keys()
    if (oldest !== undefined) this.#heard.delete(oldest)
  }

  /** Nobody is told any more. */
  close(): void {
    this.#pauses.close()
  }

  /** A few at a time, round by round, until all have answered or the time is over. */
  async #tell(clients: readonly WatchedClient[]): Promise<void> {
    const { clock, log } = this.#options
    const until = clock.now() + NOTIFY_FOR_MS
    for (const each of clients) {
      const host = watchedHost(each)
      if (host) this.#untold.set(each.name, { host, until })
    }
    if (this.#telling) return
    this.#telling = true
    for (let pauseMs = NOTIFY_PAUSE_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, NOTIFY_PAUSE_LONGEST_MS)) {
      const queue = [...this.#untold]
      const worker = async () => {
        for (let next = queue.pop(); next && !this.#pauses.isClosed; next = queue.pop()) {
          const [client, untold] = next
          const { address, name } = untold.host
          const isTold = await this.#tellOne(untold.host)
          if (this.#untold.get(client) !== untold) continue // it has to be told of something newer
          if (isTold) this.#untold.delete(client)
          else if (clock.now() > untold.until) {
            this.#untold.delete(client)
            log.info({ address, name }, 'an nfs client was not reached to be told of a restart')
          }
        }
      }
      await Promise.all(Array.from({ length: NOTIFY_AT_ONCE }, worker))
      if (this.#untold.size === 0 || this.#pauses.isClosed) break
      await this.#pauses.pause(pauseMs)
    }
    this.#telling = false
  }

  async #tellOne(host: MonitoredHost): Promise<boolean> {
    const { hosts, hostName, log } = this.#options
    const news = { name: hostName.slice(0, NSM_NAME_MAX), state: this.#state }
    try {
      await hosts.call(host, NSM, nsmProcedures.NOTIFY, news, {
        limitMs: NOTIFY_LIMIT_MS,
        argumentBytes: 2 * NSM_NAME_MAX,
      })
      this.#counters.told++
      return true
    } catch (error) {
      if (!(error instanceof CallError)) throw error
      log.debug(
        { address: host.address, name: host.name, error: error.message },
        'an nfs client did not hear of a restart',
      )
      return false
    }
  }
}

/** True when a record says that the client has locks in this state: news of it are old. */
export function isOldNews(fs: MatrixFs, client: string, state: number): boolean {
  return fs.clients.everywhere().some((each) => each.name === client && each.state === recordedState(state))
}

function isSame(one: MonitoredHost, other: MonitoredHost): boolean {
  return isSameWay(one, other) && (other.state === 0 || one.state === other.state)
}

function isSameWay(one: Host, other: Host): boolean {
  return one.transport === other.transport && one.localAddress === other.localAddress
}
