/** Which scenarios are played on a matrix, by kind. */
import { Prng } from '../../../src/base/prng.ts'
import type { Fencing } from './real-matrix.ts'
import type { Scenario } from './scenario.ts'
import { cut, splits } from './scenarios/cut.ts'
import { frozen } from './scenarios/frozen.ts'
import { join } from './scenarios/join.ts'
import { kill } from './scenarios/kill.ts'
import { luns } from './scenarios/luns.ts'
import { san } from './scenarios/san.ts'
import { stop } from './scenarios/stop.ts'

export const kinds = ['kill', 'stop', 'cut', 'san', 'frozen', 'join', 'luns'] as const
export type Kind = (typeof kinds)[number]

export type PlanOptions = {
  readonly nodes: number
  readonly fencing: Fencing
  readonly only: readonly Kind[]
  /** One of each kind. */
  readonly quick: boolean
  readonly seed: number
}

const STOPS = [1, 5, 20, 60]
const SHORT_STOPS = [1, 5]
/** Kills, each of another node. */
const KILLS = 3
/** Of five nodes there are 15 splits: so many of them are drawn. */
const MAX_SPLITS = 4

export function scenariosOf({ nodes, fencing, only, quick, seed }: PlanOptions): readonly Scenario[] {
  const prng = new Prng(seed * 10 + nodes)
  const anyone = () => 1 + prng.below(nodes)
  const chosen = quick ? splits(nodes).slice(0, 1) : drawn(prng, splits(nodes), MAX_SPLITS)
  const scenarios: Record<Kind, () => Scenario[]> = {
    kill: () => Array.from({ length: quick ? 1 : KILLS }, (_, i) => kill(1 + ((seed + i) % nodes))),
    stop: () => (quick ? SHORT_STOPS : STOPS).map((length) => stop(anyone(), length)),
    cut: () =>
      chosen.flatMap(([one, other], i) => [
        cut(one, other),
        ...(i === 0 ? [cut(one, other, { oneWay: true }), cut(other, one, { oneWay: true })] : []),
      ]),
    san: () => [san(anyone(), 'hang'), ...(quick ? [] : [san(anyone(), 'fail')])],
    frozen: () => (fencing === 'kill' ? [] : [frozen(anyone())]),
    join: () => [join(anyone())],
    luns: () => [luns(anyone())],
  }
  return kinds.filter((kind) => only.includes(kind)).flatMap((kind) => scenarios[kind]())
}

function drawn<T>(prng: Prng, all: readonly T[], count: number): readonly T[] {
  const left = [...all]
  return Array.from({ length: Math.min(count, all.length) }, () => left.splice(prng.below(left.length), 1)[0] as T)
}
