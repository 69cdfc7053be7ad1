/**
 * The Shared Disk Monitor Probe (R25): every node looks at every LUN it has open, every `probeMs`, whether it has anything to do there or
 * not, so that a LUN that is gone, slow, read-only, loses writes or is another one now is known before a client's I/O meets it.
 *
 *   1. Read the label. If it is that of another LUN, devices were swapped: `onForeign`, and nothing more of this node goes there.
 *   2. Read the own probe sector: what this process has last written, and was told is durable, has to be there.
 *   3. Write it anew, with the next counter.
 *
 * It writes, since what can be read cannot always be written, and an array that has lost its cache answers reads with what was there
 * before. It has sectors of its own for it, not those of the leases: these have a writer already where there is a
 * membership partition (the thread that renews the lease), and a LUN that has none may be given one later, where a stale record would pass
 * for a lease. And nothing is written before the label was seen in this very round: in a stranger's LUN it would be damage.
 *
 * Invariants
 *   1. All I/O passes the node's gate: when that is closed, or the lease is over, there is no probe, and that is no finding.
 *   2. One probe per LUN is under way at a time, so the sector's writes never overtake each other, and a LUN that hangs is not
 *      buried under probes.
 *
 * What a transition means for the filesystem is not decided here: I/O that fails ends a mount where it always did. A crash
 * leaves a sector that the next life overwrites.
 */

import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Life } from '../base/life.ts'
import { SECTOR_SIZE } from '../base/limits.ts'
import type { Timings } from '../base/timings.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { type Label, readFirstLabel, readLabel } from './label.ts'
import type { Lun, LunPath } from './lun.ts'
import { type Finding, LunHealth, type LunState, type LunTransition } from './lun-health.ts'
import { probeOffset } from './lun-layout.ts'
import { decodeProbe, encodeProbe } from './probe-sector.ts'

/** A LUN that is open at this node: what it was when it was opened, and the way to it through the gate. */
export type ProbedLun = { readonly label: Pick<Label, 'lunUuid' | 'lunName'>; readonly lun: Lun }

export type LunReport = {
  readonly state: LunState
  readonly reason?: string
  readonly paths?: readonly (Pick<LunPath, 'name' | 'state' | 'forMs'> & { readonly reason?: string })[]
}

export type DiskProbeOptions = {
  readonly clock: Clock
  readonly timings: Pick<Timings, 'ioTimeoutMs' | 'probeMs'>
  readonly log: Log
  readonly life: Life
  /** Asked at every round. */
  luns(): Iterable<ProbedLun>
  readonly onTransition: (lunName: string, transition: LunTransition) => void
  /** Called after `onTransition`: the device is not this LUN any more. */
  readonly onForeign: (reason: string) => void
}

class Probed {
  readonly lunName: string
  readonly health = new LunHealth()
  /** The probe under way; its present I/O was begun at `ioAt`, own clock, ms. */
  running: Promise<void> | undefined
  ioAt = 0
  /** Longest I/O of the present probe, ms. */
  longestMs = 0
  /** Counter of the last record that was tried, and of the last that is durable. */
  tried = 0
  durable = 0

  constructor(lunName: string) {
    this.lunName = lunName
  }
}

export class DiskProbe {
  readonly #options: DiskProbeOptions
  /** By the LUN's UUID. */
  readonly #probed = new Map<string, Probed>()
  #timer: Timer | undefined

  constructor(options: DiskProbeOptions) {
    this.#options = options
  }

  start(): void {
    const { clock, timings } = this.#options
    this.#timer ??= clock.every(timings.probeMs, () => this.#round())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** Probes a LUN at once, after the probe that is under way; why it cannot be used, or undefined when it can. As slow as the device. */
  async attempt(uuid: string): Promise<string | undefined> {
    const lun = [...this.#options.luns()].find(({ label }) => label.lunUuid === uuid)
    if (!lun) return 'it is not open here'
    const probed = this.#probed.get(uuid) ?? new Probed(lun.label.lunName)
    this.#probed.set(uuid, probed)
    while (probed.running) await probed.running
    let finding: Finding | undefined
    probed.running = this.#probe(lun, probed)
      .then((found) => {
        finding = found
      })
      .finally(() => {
        probed.running = undefined
      })
    await probed.running
    if (!finding) return 'this node may not use it any more'
    return finding.kind === 'good' || finding.kind === 'slow' ? undefined : finding.reason
  }

  /** What this node thinks of its LUNs, and by which ways it reaches those that have several, by name. */
  states(): Readonly<Record<string, LunReport>> {
    const report: Record<string, LunReport> = {}
    for (const { label, lun } of this.#options.luns()) {
      const health = this.#probed.get(label.lunUuid)?.health
      if (!health) continue
      const paths = lun.paths?.map(({ name, state, reason, forMs }) => ({
        name,
        state,
        ...(reason !== undefined && { reason }),
        forMs: Math.round(forMs),
      }))
      report[label.lunName] = {
        state: health.state,
        ...(health.reason !== '' && { reason: health.reason }),
        ...(paths && { paths }),
      }
    }
    return report
  }

  #round(): void {
    const open = new Map([...this.#options.luns()].map((each) => [each.label.lunUuid, each]))
    for (const uuid of this.#probed.keys()) if (!open.has(uuid)) this.#probed.delete(uuid)
    const { clock, timings } = this.#options
    for (const [uuid, lun] of open) {
      let probed = this.#probed.get(uuid)
      if (!probed) this.#probed.set(uuid, (probed = new Probed(lun.label.lunName)))
      if (probed.running && !brokenRules.oneProbeAtATime) {
        const waitedMs = clock.now() - probed.ioAt
        if (waitedMs > timings.ioTimeoutMs) this.#met(probed, slow(waitedMs))
      } else if (probed.health.state !== 'foreign') {
        const current = probed
        current.running = this.#probe(lun, current).then(() => {
          current.running = undefined
        })
      }
    }
  }

  /** Undefined when there was no probe. */
  async #probe({ label, lun }: ProbedLun, probed: Probed): Promise<Finding | undefined> {
    probed.longestMs = 0
    let finding: Finding
    try {
      await this.#look(label, lun, probed)
      const { longestMs } = probed
      finding = longestMs > this.#options.timings.ioTimeoutMs ? slow(longestMs) : { kind: 'good' }
    } catch (error) {
      if (isMatrixError(error, 'fenced')) return undefined // invariant 1
      const reason = error instanceof Error ? error.message : String(error)
      const isForeign = isMatrixError(error, 'lun-foreign', 'lun-unlabelled')
      finding = { kind: isForeign && !brokenRules.foreignLunIsLeft ? 'foreign' : 'failed', reason }
    }
    if (this.#timer) this.#met(probed, finding)
    return finding
  }

  /** Steps 1 to 3. Rejects with MatrixError 'lun-foreign', 'lun-unlabelled', 'lun-damaged', 'lun-io', 'fenced'. */
  async #look({ lunUuid, lunName }: ProbedLun['label'], lun: Lun, probed: Probed): Promise<void> {
    const found = await this.#timed(probed, () => readFirstLabel(lun))
    const label = found ?? (await this.#timed(probed, () => readLabel(lun))).label
    if (label.lunUuid !== lunUuid) {
      throw new MatrixError(
        'lun-foreign',
        `${lun.identity} was LUN "${lunName}" when it was opened, and bears the label of LUN "${label.lunName}" of matrix "${label.matrixName}" now: devices were swapped under this node`,
      )
    }
    const { life } = this.#options
    const offset = probeOffset(life.slot)
    if (probed.durable > 0) {
      const sector = Buffer.allocUnsafe(SECTOR_SIZE)
      await this.#timed(probed, () => lun.read(offset, sector))
      const record = decodeProbe(sector)
      const isOwn = record?.lunUuid === lunUuid && record.slot === life.slot && record.incarnation === life.incarnation
      if (!isOwn || record.counter < probed.durable || record.counter > probed.tried) {
        const there = isOwn ? `number ${record.counter}` : 'something else'
        throw new MatrixError(
          'lun-damaged',
          `${lun.identity} has lost a write that it had answered as durable: number ${probed.durable} was written at byte ${offset}, ${there} is there`,
        )
      }
    }
    const counter = ++probed.tried
    const block = encodeProbe({ ...life, counter, lunUuid, labelledSize: label.size })
    await this.#timed(probed, () => lun.write(offset, [block], { purpose: 'probe', durable: true }))
    probed.durable = counter
  }

  async #timed<T>(probed: Probed, work: () => Promise<T>): Promise<T> {
    const { clock } = this.#options
    probed.ioAt = clock.now()
    try {
      return await work()
    } finally {
      probed.longestMs = Math.max(probed.longestMs, clock.now() - probed.ioAt)
    }
  }

  #met({ lunName, health }: Probed, finding: Finding): void {
    const transition = health.met(finding)
    if (!transition) return
    const { log, onTransition, onForeign } = this.#options
    log[transition.to === 'up' ? 'info' : 'warn']({ lun: lunName, ...transition }, 'the state of a LUN has changed')
    onTransition(lunName, transition)
    if (transition.to === 'foreign') onForeign(transition.reason)
  }
}

function slow(ms: number): Finding {
  return { kind: 'slow', reason: `an I/O has taken ${Math.round(ms)} ms` }
}
