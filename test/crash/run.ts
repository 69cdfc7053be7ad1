/** Runs numbered cases one after another: what `npm run crash` and the slice in `npm test` share. */
import { type Case, caseOf, FIXED_CASES } from './cases.ts'
import type { CrashImage, Lie } from './lun-log.ts'
import { formatted, prngOf, record } from './recording.ts'
import { type Counts, crashPoints, replay } from './replay.ts'

export type Totals = Counts & { sequences: number; wraps: number; checkpoints: number; failures: number }

export type RunOptions = {
  readonly seed: number
  readonly lie?: Lie | undefined
  /** Told of every case when it is over. */
  readonly onCase?: (done: Case, totals: Totals) => void
  readonly onFailure: (text: string) => void
}

export class CrashRun {
  readonly totals: Totals = {
    ...{ sequences: 0, points: 0, states: 0, secondCrashes: 0, ghosts: 0, wraps: 0, checkpoints: 0, failures: 0 },
  }
  readonly #options: RunOptions
  #base: CrashImage | undefined

  constructor(options: RunOptions) {
    this.#options = options
  }

  /** Every fixed case, then samples of two operations, until there were `points` crash points. */
  async all(points: number): Promise<void> {
    for (let number = 0; number < FIXED_CASES || this.totals.points < points; number++) await this.one(number)
  }

  /** One case, at all its crash points or at one. The first failure ends it. */
  async one(number: number, only?: number): Promise<void> {
    const { seed, lie, onCase, onFailure } = this.#options
    const { totals } = this
    const { sequence, conditions } = caseOf(seed, number)
    let at: number | undefined
    try {
      this.#base ??= await formatted()
      const recording = await record(this.#base, sequence, { ...conditions, lie }, prngOf(seed, number, 2))
      totals.sequences++
      totals.checkpoints += recording.checkpoints
      if (recording.wrapped) totals.wraps++
      for (const point of crashPoints(recording, prngOf(seed, number, 3).uint32())) {
        if (only !== undefined && point.moment !== only) continue
        at = point.moment
        await replay(recording, point, prngOf(seed, number, 4).uint32(), totals)
      }
    } catch (error) {
      totals.failures++
      const { pacing, journal, space } = conditions
      const again = `npm run crash -- --seed ${seed} --case ${number}${at === undefined ? '' : ` --moment ${at}`}`
      const lines = [
        `FAILED  ${sequence.name}   (${pacing} client, ${journal} journal, ${space} space)`,
        error instanceof Error ? (error.stack ?? error.message) : String(error),
        `again:  ${again}`,
      ]
      onFailure(lines.join('\n'))
    }
    onCase?.(caseOf(seed, number), totals)
  }
}

export function summary(totals: Totals): string {
  const { sequences, points, states, secondCrashes, ghosts, wraps, checkpoints, failures } = totals
  return `${sequences} sequences, ${points} crash points, ${states} states of the LUNs taken over by a peer, ${secondCrashes} crashes of that peer, ${ghosts} late writes, ${wraps} wrapped journals, ${checkpoints} checkpoints crashed in: ${failures} failures`
}
