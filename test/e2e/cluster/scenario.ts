/**
 * What a scenario is, and the frame that all of them share: load and clients that measure are started; something is done to the nodes; the
 * survivors take over; all is healed, and every node serves again without a hand; then everything is judged.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../checker/clock.ts'
import { imagesEqual } from '../checker/images.ts'
import { exclusions, lateAnswers, lateWrites } from './oracle.ts'
import type { Fencing, RealMatrix } from './real-matrix.ts'
import type { Resources } from './resources.ts'
import { Workload } from './workload.ts'

export type Scene = {
  readonly matrix: RealMatrix
  readonly resources: Resources
  readonly workload: Workload
  /** Says a line to whoever looks on. */
  readonly say: (line: string) => void
  readonly seed: number
}

/** What was measured, ms; several values when there were several nodes to measure. */
export type Measured = {
  /** From the fault until survivors had written what the lost node held. */
  takeover: number[]
  /** Longest wait at a survivor for a file that it had cached. */
  cached: number[]
  /** Longest wait at a survivor for a file that nobody had cached, made at a survivor. */
  untouched: number[]
  /** The same for a file that was made at the lost node: only that one knew who uses it. */
  orphaned: number[]
  /** From the start of a process that came back until it served. */
  rejoin: number[]
}

export type Result = Measured & {
  readonly scenario: string
  /** Whose limits count. */
  readonly judgedBy: Fencing
  readonly operations: number
  readonly violations: string[]
  /** What took longer than it must: on a machine with too few processors for all that runs, this tells of the machine. */
  readonly late: string[]
  readonly seconds: number
}

export interface Scenario {
  readonly name: string
  /** Whoever is lost cannot be killed: without a script only its lease is left. */
  readonly unkillable?: true
  /** While it lasts, whoever was lost starts again in vain: its return counts from the end of the fault. */
  readonly isolates?: true
  /** Does what it is about, measures into `measured`, and returns once every fault is healed. Throws what is wrong. */
  play(scene: Scene, measured: Measured): Promise<void>
}

/** A fault heals without a hand: until every node serves after it, ms. A node that lost its lease needs a restart, and the rest a take-over. */
const HEALED_LIMIT_MS = 60_000
/** What is promised, ms. */
export const limits = {
  takeover: { kill: 10_000, script: 10_000, lease: 30_000 },
  cached: { kill: 2_000, script: 2_000, lease: 2_000 },
  untouched: { kill: 2_000, script: 2_000, lease: 2_000 },
  orphaned: { kill: 10_000, script: 10_000, lease: 30_000 },
  rejoin: { kill: 15_000, script: 15_000, lease: 15_000 },
} as const
const BEFORE_MS = 1000
const AFTER_MS = 1000
/** Fewer answers than this, and nothing was tested. */
const MIN_ANSWERS = 50

/** Plays one scenario on a matrix in which every node serves; so it is again afterwards. Rejects only when it is beyond help. */
export async function play(
  scenario: Scenario,
  { matrix, resources, say, seed }: Omit<Scene, 'workload'>,
): Promise<Result> {
  const began = now()
  const measured: Measured = { takeover: [], cached: [], untouched: [], orphaned: [], rejoin: [] }
  const violations: string[] = []
  const attempt = async (what: string, work: () => unknown): Promise<void> => {
    try {
      await work()
    } catch (error) {
      violations.push(`${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  matrix.undoom()
  const workload = await Workload.start(matrix, seed)
  await sleep(BEFORE_MS)
  await attempt(scenario.name, () => scenario.play({ matrix, resources, workload, say, seed }, measured))
  const healedAt = now()
  await attempt('healing', async () => {
    await matrix.allServe(HEALED_LIMIT_MS)
    say(`  every node serves ${seconds(now() - healedAt)} after the end of the fault`)
  })
  await sleep(AFTER_MS)
  await attempt('clients', () => workload.stop())

  const { operations } = workload
  await attempt('coherence', () => {
    const { unexplained, undecided } = workload.judge()
    violations.push(...unexplained, ...undecided)
    if (workload.answered < MIN_ANSWERS) throw new Error(`only ${workload.answered} calls were answered`)
  })
  await attempt('one side serves', async () => {
    const excluded = exclusions(matrix.nodes)
    violations.push(...lateWrites(excluded, await matrix.san.writes()), ...lateAnswers(excluded, operations))
  })
  await attempt('images', () => imagesEqual(matrix.stateDirs))
  await attempt('fsck', () => matrix.check())
  measured.rejoin.push(...rejoins(matrix, began, scenario.isolates ? healedAt : began))
  const judgedBy = scenario.unkillable && matrix.fencing === 'kill' ? 'lease' : matrix.fencing
  return {
    ...measured,
    scenario: scenario.name,
    operations: operations.length,
    violations,
    late: tooLong(measured, judgedBy),
    judgedBy,
    seconds: (now() - began) / 1000,
  }
}

/** How long lives that began after `began` took to serve; those that began before `from` count from there, or not at all. */
function rejoins({ nodes }: RealMatrix, began: number, from: number): number[] {
  return nodes
    .flatMap(({ lives }) => lives)
    .filter(({ startedAt, readyAt = 0 }) => startedAt > began && readyAt > from)
    .map(({ startedAt, readyAt = 0 }) => readyAt - Math.max(startedAt, from))
}

/** What took longer than it must. Files that nobody had cached are only reported: their limit is a goal (docs/testing.md). */
function tooLong(measured: Measured, fencing: Fencing): string[] {
  return (['takeover', 'cached', 'rejoin'] as const).flatMap((kind) => {
    const worst = Math.max(0, ...measured[kind])
    const limit = limits[kind][fencing]
    return worst > limit ? [`${kind}: ${seconds(worst)}, the limit is ${seconds(limit)}`] : []
  })
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`
}
