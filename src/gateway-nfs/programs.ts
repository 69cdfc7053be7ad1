/**
 * What the gateway serves, wired together: NFS version 3 and its helpers, which share the locks, the record of clients that have them, and the calls
 * that this node makes to clients. Knows nothing of ports: server.ts gives it calls.
 */
import { randomInt } from 'node:crypto'
import type { Life } from '../base/life.ts'
import type { Export } from '../export/index.ts'
import type { MatrixFs } from '../metadata/index.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { mountProgram } from './mount/program.ts'
import { Callbacks } from './nlm/callbacks.ts'
import { LockManager } from './nlm/lock-manager.ts'
import { nlmProgram } from './nlm/program.ts'
import { Monitor } from './nsm/monitor.ts'
import { nsmProgram } from './nsm/program.ts'
import { Hosts } from './portmap/hosts.ts'
import { RpcCaller } from './rpc/caller.ts'
import type { Program } from './rpc/session.ts'
import { Nfs3Program } from './v3/program.ts'

export type ProgramsOptions = {
  /** What is served now. Give the same array while nothing changes: lookups are remembered by it. */
  readonly exports: () => readonly Export[]
  readonly clock: Clock
  readonly log: Log
  /** The name of this machine, as its clients know it. */
  readonly hostName: string
  /** Of this node: its state number is made of it. */
  readonly life: Life
  /** Where clients have their port mappers; default 111. */
  readonly clientPortmapPort?: number
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

/** Calls by procedure, and more, since the start. */
export type ProgramStatistics = {
  readonly calls: Readonly<Record<string, number>>
  /** Repeated requests answered from the cache of replies. */
  readonly duplicates: number
  readonly mount: Readonly<Record<string, number>>
  readonly nlm: Readonly<Record<string, number>>
  readonly nsm: Readonly<Record<string, number>>
  readonly locks: LockStatistics
}

export class NfsPrograms {
  /** By which this node calls others. */
  readonly caller: RpcCaller
  readonly nfs: Nfs3Program
  /** All others, which every client of NFS uses, too. */
  readonly helpers: readonly Program[]
  readonly #filesystems: () => readonly MatrixFs[]
  readonly #monitor: Monitor
  readonly #callbacks: Callbacks
  readonly #locks: LockManager
  readonly #mount: ReturnType<typeof mountProgram>
  readonly #nlm: ReturnType<typeof nlmProgram>
  readonly #nsm: ReturnType<typeof nsmProgram>

  constructor({ exports, clock, log, hostName, life, clientPortmapPort }: ProgramsOptions) {
    const filesystems = () => [...new Set(exports().map(({ fs }) => fs))]
    const caller = new RpcCaller({ clock, credential: { machine: hostName }, firstXid: randomInt(2 ** 32) })
    const hosts = new Hosts({
      caller,
      clock,
      ...(clientPortmapPort !== undefined && { portmapPort: clientPortmapPort }),
    })
    const monitor = new Monitor({ hosts, hostName, life, clock, log })
    const callbacks = new Callbacks({ hosts, clock })
    const manager = new LockManager({ callbacks, monitor, filesystems, clock, log })
    const simulateCrash = () => monitor.restart(filesystems())
    this.caller = caller
    this.nfs = new Nfs3Program({ clock })
    this.#filesystems = filesystems
    this.#monitor = monitor
    this.#callbacks = callbacks
    this.#locks = manager
    this.#mount = mountProgram(clock)
    this.#nlm = nlmProgram({ manager, callbacks, clock, log })
    this.#nsm = nsmProgram({ monitor, manager, hosts, simulateCrash, clock, log })
    this.helpers = [this.#mount, this.#nlm, this.#nsm]
  }

  /** Calls can come from now on. */
  start(): void {
    this.#monitor.start(this.#filesystems())
  }

  /** Nobody is called any more. */
  close(): void {
    this.#locks.close()
    this.#monitor.close()
    this.caller.close()
  }

  stats(): ProgramStatistics {
    const { sent, failed } = this.#callbacks.counters
    return {
      ...this.nfs.stats(),
      mount: this.#mount.calls,
      nlm: this.#nlm.calls,
      nsm: this.#nsm.calls,
      locks: { ...this.#locks.counters, ...this.#monitor.counters, grants: sent, grantsUnanswered: failed },
    }
  }
}
