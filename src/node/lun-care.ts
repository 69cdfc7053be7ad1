/**
 * What a node does for the LUNs themselves once it is imported: it repairs damaged copies of labels, and probes every LUN (disk-probe.ts). Not
 * before: until then nobody tells it of LUNs that are removed, and it writes to none.
 */
import type { Timings } from '../base/timings.ts'
import { within } from '../platform/index.ts'
import { DiskProbe, type DiskProbeOptions, type LunTable, readLabel, repairLabel } from '../san/index.ts'

export type LunCareOptions = Omit<DiskProbeOptions, 'luns' | 'timings'> & {
  readonly luns: LunTable
  readonly timings: Pick<Timings, 'ioTimeoutMs' | 'ioLifeMs' | 'probeMs'>
}

export class LunCare {
  readonly #options: LunCareOptions
  readonly #probe: DiskProbe
  #begun = false
  #stopped = false

  constructor(options: LunCareOptions) {
    const { luns } = options
    this.#options = options
    this.#probe = new DiskProbe({
      ...options,
      luns: () => luns.entries.map(({ label, gate }) => ({ label, lun: gate })),
    })
  }

  /** May be called again: it has begun then. */
  begin(): void {
    if (this.#begun || this.#stopped) return
    this.#begun = true
    this.#probe.start()
    const { log } = this.#options
    this.#repairLabels().catch((error) => {
      if (!this.#stopped) log.warn({ error: String(error) }, 'a label could not be looked at, or repaired')
    })
  }

  stop(): void {
    this.#stopped = true
    this.#probe.stop()
  }

  /** As `DiskProbe.attempt`, for the lives of two I/Os at most. */
  async attempt(uuid: string): Promise<string | undefined> {
    const { clock, timings } = this.#options
    const limitMs = 2 * timings.ioLifeMs
    const outcome = await within(clock, this.#probe.attempt(uuid), limitMs)
    return outcome === 'late' ? `it has not answered for ${limitMs} ms` : outcome
  }

  /** As `DiskProbe.states`. */
  states(): ReturnType<DiskProbe['states']> {
    return this.#probe.states()
  }

  async #repairLabels(): Promise<void> {
    const { luns, log } = this.#options
    for (const { label, gate } of luns.entries) {
      const read = await readLabel(gate, label.matrixUuid)
      if (read.damaged.length === 0) continue
      log.warn({ lun: label.lunName, copies: read.damaged }, 'a copy of the label was damaged and is repaired')
      await repairLabel(gate, read)
    }
  }
}
