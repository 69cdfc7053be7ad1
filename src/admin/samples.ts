/** What a node has done in the last quarter of an hour, a sample every two seconds: for charts that have something to show at once. */
import { isMatrixError } from '../base/errors.ts'
import type { Clock, Timer } from '../platform/index.ts'
import type { AdminHost } from './admin-host.ts'
import type { NfsReport, Sample } from './api/node-report.ts'
import { ProcessPulse, type Pulse } from './process-pulse.ts'

export const SAMPLE_MS = 2_000
/** A quarter of an hour. */
const SAMPLES_KEPT = 450

export class Samples {
  readonly #host: AdminHost
  readonly #timer: Timer
  readonly #pulse: ProcessPulse
  #kept: Sample[] = []
  /** As of the newest sample. */
  pulse: Pulse = { cpu: 0, meanMs: 0, maxMs: 0 }

  constructor(host: AdminHost, clock: Clock) {
    this.#host = host
    this.#pulse = new ProcessPulse(() => clock.now())
    this.#timer = clock.every(SAMPLE_MS, () => this.#take())
    this.#take()
  }

  /** Those after `at`, by this node's clock. */
  since(at: number): readonly Sample[] {
    return this.#kept.filter((sample) => sample.at > at)
  }

  stop(): void {
    this.#timer.cancel()
    this.#pulse.stop()
  }

  #take(): void {
    this.pulse = this.#pulse.look()
    try {
      this.#kept.push(takeSample(this.#host, this.pulse))
    } catch (error) {
      // a filesystem that is just ending has nothing to say
      if (!isMatrixError(error)) throw error
    }
    if (this.#kept.length > SAMPLES_KEPT) this.#kept.shift()
  }
}

function takeSample(host: AdminHost, pulse: Pulse): Sample {
  const { nfs, http } = host.gateways()
  const mounts = host.mounts()
  const io = { ios: 0, ioMs: 0, journalIos: 0, journalMs: 0 }
  for (const lun of host.luns()) {
    for (const [kind, { ops, ms }] of Object.entries(lun.io)) {
      io.ios += ops
      io.ioMs += ms
      if (kind !== 'journal') continue
      io.journalIos += ops
      io.journalMs += ms
    }
  }
  const data = mounts.map(({ fs }) => fs.stats())
  const grants = mounts.map(({ locks }) => locks.counters().steps.granted)
  return {
    at: host.clock.wall(),
    incarnation: host.self.incarnation,
    nfsCalls: callsOf(nfs),
    httpRequests: http?.requests ?? 0,
    readBytes: sum(data, ({ dataBytesRead }) => dataBytesRead),
    writtenBytes: sum(data, ({ dataBytesWritten }) => dataBytesWritten),
    ...io,
    lockWaits: sum(grants, ({ count }) => count),
    lockWaitMs: sum(grants, ({ ms }) => ms),
    lagBytes: sum(mounts, (mount) => sum([...mount.lag().values()], (bytes) => bytes)),
    loopDelayMs: pulse.maxMs,
  }
}

function callsOf(nfs: NfsReport | null): number {
  return nfs ? sum(Object.values(nfs.calls), (calls) => calls) : 0
}

function sum<T>(items: readonly T[], pick: (item: T) => number): number {
  return items.reduce((total, item) => total + pick(item), 0)
}
