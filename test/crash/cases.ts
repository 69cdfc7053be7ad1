/**
 * The cases of a run, numbered: a sequence and the conditions it runs under, as a function of seed and number. First every
 * sequence of one operation, patient with a fresh journal and hasty with one that is about to wrap; then samples of two.
 */
import { type Sequence, sequenceOfTwo, sequencesOfOne } from './operations.ts'
import { type Conditions, prngOf } from './recording.ts'

export type Case = { readonly number: number; readonly sequence: Sequence; readonly conditions: Conditions }

const ones = sequencesOfOne()

/** So many come first. */
export const CASES_OF_ONE = 2 * ones.length

export function caseOf(seed: number, number: number): Case {
  const prng = prngOf(seed, number, 1)
  const space = prng.chance(0.4) ? 'scarce' : 'empty'
  if (number < CASES_OF_ONE) {
    const pacing = number < ones.length ? 'patient' : 'hasty'
    const journal = number < ones.length ? 'fresh' : 'late'
    return { number, sequence: ones[number % ones.length] as Sequence, conditions: { pacing, journal, space } }
  }
  const pacing = prng.chance(0.3) ? 'patient' : 'hasty'
  const journal = prng.chance(0.5) ? 'late' : 'fresh'
  return { number, sequence: sequenceOfTwo(prng), conditions: { pacing, journal, space } }
}
