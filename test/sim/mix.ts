/**
 * What kind of run a seed is: how long, how busy, and how often something goes wrong. Most of the work is in dense runs, where every
 * fault falls into the middle of something; most of the virtual time in calm ones, where what takes long comes to its end: leases that
 * age, locks that idle, checkpoints, a matrix that has long forgotten who died. In damaged ones the only copy of something is destroyed.
 */
import type { Prng } from '../../src/base/prng.ts'

export type Mix = {
  readonly name: 'dense' | 'steady' | 'calm' | 'damaged'
  /** Virtual length of the phase with faults, ms. */
  readonly faultyMs: number
  /** A client rests up to so long between two verbs, ms. */
  readonly thinkMs: number
  /** Faults come so many times as seldom as in a dense run. */
  readonly pace: number
  /** The base of all timings, ms; 2000 is what a matrix has unless it is told otherwise. */
  readonly ioTimeoutMs: number
}

/** Destroys what there is only one copy of: such a run has an end of its own. */
export function destroys(mix: Mix): boolean {
  return mix.name === 'damaged'
}

const mixes: readonly Mix[] = [
  { name: 'dense', faultyMs: 12_000, thinkMs: 8, pace: 1, ioTimeoutMs: 400 },
  { name: 'steady', faultyMs: 60_000, thinkMs: 200, pace: 6, ioTimeoutMs: 800 },
  { name: 'calm', faultyMs: 600_000, thinkMs: 4000, pace: 40, ioTimeoutMs: 2000 },
  { name: 'damaged', faultyMs: 20_000, thinkMs: 20, pace: 1, ioTimeoutMs: 400 },
]

export function drawMix(prng: Prng): Mix {
  const k = prng.float()
  return mixes[k < 0.45 ? 0 : k < 0.7 ? 1 : k < 0.92 ? 2 : 3] as Mix
}

export const mixNames: readonly string[] = mixes.map(({ name }) => name)
