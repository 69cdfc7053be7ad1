/**
 * The cases of a run, numbered: a sequence and the conditions it runs under, as a function of seed and number. First every
 * sequence of one operation, patient with a fresh journal and hasty with one that is about to wrap; then a few
 * in which space is used again at once; then samples of two. With
 * many of the hasty ones a checkpoint is begun before or between the operations, so that they are crashed in together.
 */
import { assert } from '../../src/base/assert.ts'
import type { Prng } from '../../src/base/prng.ts'
import { describe, type Operation } from './operation.ts'
import { type Conditions, prngOf } from './recording.ts'
import { type Sequence, sequenceOfTwo, sequencesOfOne, sequencesOfReuse } from './sequences.ts'

export type Case = { readonly number: number; readonly sequence: Sequence; readonly conditions: Conditions }

const ones = sequencesOfOne()
const reuses = sequencesOfReuse()

/** So many come first. */
export const CASES_OF_ONE = 2 * ones.length
/** Then these, in which space is freed and used again. */
export const CASES_OF_REUSE: readonly number[] = reuses.map((_, i) => CASES_OF_ONE + i)
/** Before the samples of two. */
export const FIXED_CASES = CASES_OF_ONE + reuses.length

/** Where the sequence of this one operation is: with a patient client, and with a hasty one. */
export function casesNamed(name: string): readonly [patient: number, hasty: number] {
  const at = ones.findIndex((one) => one.name === name)
  assert(at >= 0, `there is no sequence '${name}'`)
  return [at, ones.length + at]
}

export function caseOf(seed: number, number: number): Case {
  const prng = prngOf(seed, number, 1)
  const space = prng.chance(0.4) ? 'scarce' : 'empty'
  if (number < CASES_OF_ONE) {
    const pacing = number < ones.length ? 'patient' : 'hasty'
    const journal = number < ones.length ? 'fresh' : 'late'
    const one = ones[number % ones.length] as Sequence
    const sequence = pacing === 'hasty' ? maybeWithCheckpoint(one, prng) : one
    return { number, sequence, conditions: { pacing, journal, space } }
  }
  const reuse = reuses[number - CASES_OF_ONE]
  if (reuse) return { number, sequence: reuse, conditions: { pacing: 'hasty', journal: 'fresh', space: 'full' } }
  const pacing = prng.chance(0.3) ? 'patient' : 'hasty'
  const journal = prng.chance(0.5) ? 'late' : 'fresh'
  const two = sequenceOfTwo(prng)
  const sequence = pacing === 'hasty' ? maybeWithCheckpoint(two, prng) : two
  return { number, sequence, conditions: { pacing, journal, space } }
}

function maybeWithCheckpoint({ setup, operations, name }: Sequence, prng: Prng): Sequence {
  if (!prng.chance(0.4)) return { setup, operations, name }
  const at = prng.below(operations.length + 1)
  const all: Operation[] = [...operations]
  all.splice(at, 0, { op: 'checkpoint' })
  return { setup, operations: all, name: all.map(describe).join('; ') }
}
