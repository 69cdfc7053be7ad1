/**
 * Which clients have to be told when this node restarts, and what this node's state number is (X/Open XNFS 11).
 *
 * The record (`StatusStore`) is written before a client's first lock is answered, and outlives the process. The state number is odd while the node
 * is up and grows with every start; at a clean end it becomes even. After a start every client of the record is told (SM_NOTIFY), so that it
 * reclaims its locks, or asks again for those it waits for; it leaves the record once it has answered, and returns with its next lock.
 */
import type { Clock } from '../../platform/clock.ts'
import { sleep } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import {
  MONITORED_MAX,
  NOTIFY_FOR_MS,
  NOTIFY_LIMIT_MS,
  NOTIFY_PAUSE_FIRST_MS,
  NOTIFY_PAUSE_LONGEST_MS,
} from '../limits.ts'
import type { Host, Hosts } from '../portmap/hosts.ts'
import { CallError } from '../rpc/caller.ts'
import { NSM_NAME_MAX, NSM_PROGRAM, NSM_V1, nsmProcedures } from './tables.ts'

const NSM = { program: NSM_PROGRAM, version: NSM_V1 }
/** State numbers are signed, and grow. */
const STATE_MAX = 2 ** 31 - 1

/** A client that holds locks, or did. */
export type MonitoredHost = Host & { readonly name: string }

export type StatusRecord = { readonly state: number; readonly hosts: readonly MonitoredHost[] }

/** Where the record is kept. */
export interface StatusStore {
  /** Undefined: there never was one. Rejects when there is one that cannot be read. */
  load(): Promise<StatusRecord | undefined>
  /** Resolves once it would survive the death of this machine. */
  save(record: StatusRecord): Promise<void>
}

export type MonitorOptions = {
  readonly store: StatusStore
  readonly hosts: Hosts
  /** By which clients know this machine. */
  readonly hostName: string
  readonly clock: Clock
  readonly log: Log
}

type Entry = MonitoredHost & {
  /** Its own state number, as it last said with a lock or a notification; 0: not known. */
  theirState: number
  /** That it is in the record. */
  kept: Promise<void>
}

export class Monitor {
  readonly #options: MonitorOptions
  /** By address and name, in the order of their first locks. */
  readonly #watched = new Map<string, Entry>()
  /** Those of before the restart that have not been told yet. */
  readonly #untold = new Map<string, MonitoredHost>()
  /** Restarts of clients that were told here, and when. */
  readonly #heard = new Map<string, { readonly theirState: number; readonly at: number }>()
  #state = 1
  #saving: Promise<void> | undefined
  #again: Promise<void> | undefined
  #closed = false
  readonly counters = { told: 0, heard: 0 }

  constructor(options: MonitorOptions) {
    this.#options = options
  }

  get state(): number {
    return this.#state
  }

  get count(): number {
    return this.#watched.size
  }

  /** Begins a new state, and tells those who have to know of it. Resolves with them once the state is kept. */
  async start(): Promise<readonly MonitoredHost[]> {
    const before = await this.#options.store.load()
    this.#state = nextOdd(before?.state ?? 0)
    for (const host of before?.hosts ?? []) this.#untold.set(keyOf(host.address, host.name), host)
    await this.#save()
    const hosts = [...this.#untold.values()]
    for (const host of hosts) void this.#tell(host)
    return hosts
  }

  /** As if this node had restarted: SM_SIMU_CRASH. */
  async restart(): Promise<readonly MonitoredHost[]> {
    this.#state = nextOdd(this.#state)
    const hosts = [...this.#watched.values()]
    for (const host of hosts) this.#untold.set(keyOf(host.address, host.name), host)
    this.#watched.clear()
    await this.#save()
    for (const host of hosts) void this.#tell(host)
    return hosts
  }

  /** Names under which hosts at this address hold locks. */
  namesAt(address: string): readonly string[] {
    return [...this.#watched.values()].filter((each) => each.address === address).map(({ name }) => name)
  }

  /** Resolves once the host is sure to be told of a restart. */
  watch(host: Host, name: string, theirState: number): Promise<void> {
    const key = keyOf(host.address, name)
    const known = this.#watched.get(key)
    if (known) {
      if (theirState !== 0) known.theirState = theirState
      if (isSameWay(known, host)) return known.kept
    } else if (this.#watched.size >= MONITORED_MAX) this.#dropOldest()
    // in the table before it is written, so that it is
    const entry = { ...host, name, theirState: theirState || (known?.theirState ?? 0), kept: Promise.resolve() }
    this.#watched.set(key, entry)
    const kept = this.#save().catch((error) => {
      if (this.#watched.get(key) === entry) this.#watched.delete(key)
      throw error
    })
    entry.kept = kept
    return kept
  }

  /** The host holds nothing any more. */
  async forget(address: string, name: string): Promise<void> {
    const key = keyOf(address, name)
    this.#options.hosts.forget(address)
    const wasKnown = this.#watched.delete(key)
    const wasUntold = this.#untold.delete(key)
    if (wasKnown || wasUntold) await this.#save()
  }

  /**
   * A host says that it has restarted, and has this state number now. False when that is old news: its locks are those of its new life, and
   * notifications are sent more than once.
   */
  heard(address: string, name: string, theirState: number): boolean {
    this.counters.heard++
    const key = keyOf(address, name)
    const last = this.#heard.get(key)
    if (last && last.theirState === theirState && this.#options.clock.now() - last.at < NOTIFY_FOR_MS) return false
    return this.#watched.get(key)?.theirState !== theirState
  }

  /** What followed from that is done. */
  settled(address: string, name: string, theirState: number): void {
    const key = keyOf(address, name)
    this.#heard.delete(key)
    this.#heard.set(key, { theirState, at: this.#options.clock.now() })
    if (this.#heard.size <= MONITORED_MAX) return
    const [oldest] = this.#heard.keys()
    if (oldest !== undefined) this.#heard.delete(oldest)
  }

  /** A clean end: the state number is even from here on. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#state = this.#state + 1
    await this.#save()
  }

  /** Nobody is told any more, and nothing is written. */
  abandon(): void {
    this.#closed = true
  }

  #dropOldest(): void {
    for (const [key, { address, name }] of this.#watched) {
      this.#options.log.warn(
        { address, name, limit: MONITORED_MAX },
        'too many nfs clients with locks: one will not be told of a restart',
      )
      this.#watched.delete(key)
      return
    }
  }

  /** Writes what is true now, or has it written by the one who writes next. */
  #save(): Promise<void> {
    if (!this.#saving) {
      this.#saving = this.#write().finally(() => (this.#saving = undefined))
      return this.#saving
    }
    this.#again ??= this.#saving
      .catch(() => {})
      .then(() => {
        this.#again = undefined
        return this.#save()
      })
    return this.#again
  }

  #write(): Promise<void> {
    const hosts = [...this.#watched.values(), ...this.#untold.values()]
    return this.#options.store.save({
      state: this.#state,
      hosts: hosts.map(({ address, transport, localAddress, name }) => ({ address, transport, localAddress, name })),
    })
  }

  async #tell(host: MonitoredHost): Promise<void> {
    const { clock, hosts, log, hostName } = this.#options
    const { address, name } = host
    const key = keyOf(address, name)
    const until = clock.now() + NOTIFY_FOR_MS
    for (let pauseMs = NOTIFY_PAUSE_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, NOTIFY_PAUSE_LONGEST_MS)) {
      if (this.#closed || this.#untold.get(key) !== host) return
      const news = { name: hostName.slice(0, NSM_NAME_MAX), state: this.#state }
      const options = { limitMs: NOTIFY_LIMIT_MS, argumentBytes: 2 * NSM_NAME_MAX }
      try {
        await hosts.call(host, NSM, nsmProcedures.NOTIFY, news, options)
        this.counters.told++
        break
      } catch (error) {
        if (!(error instanceof CallError)) throw error
        log.debug({ address, name, error: error.message }, 'an nfs client was not reached to be told of the restart')
      }
      if (clock.now() > until) {
        log.warn({ address, name }, 'an nfs client was never reached to be told of the restart: its locks may be lost')
        break
      }
      await sleep(clock, pauseMs)
    }
    if (this.#closed || this.#untold.get(key) !== host) return
    this.#untold.delete(key)
    await this.#save().catch((error) => log.warn({ error: String(error) }, 'the record of nfs clients was not written'))
  }
}

function keyOf(address: string, name: string): string {
  return `${address}/${name}`
}

function isSameWay(one: Host, other: Host): boolean {
  return one.transport === other.transport && one.localAddress === other.localAddress
}

function nextOdd(state: number): number {
  const next = state + (state % 2 === 0 ? 1 : 2)
  return next > STATE_MAX ? 1 : next
}
