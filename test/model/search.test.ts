/** The search itself: what it finds, what it counts, and that keys of the models tell their states apart. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { election } from './election.ts'
import { lunChange } from './lun-change.ts'
import { sanLock } from './san-lock.ts'
import { type Model, search } from './search.ts'

/** Two counters below 4 that go up one at a time; states are [a, b]. */
const counters = (changes: Partial<Model<readonly [number, number]>> = {}): Model<readonly [number, number]> => ({
  name: 'counters',
  actions: ['a', 'b'],
  initial: () => [[0, 0]],
  *next([a, b]) {
    if (a < 3) yield { action: 'a', where: '', state: [a + 1, b] }
    if (b < 3) yield { action: 'b', where: '', state: [a, b + 1] }
  },
  encode: ([a, b]) => `${a},${b}`,
  violation: () => undefined,
  final: ([a, b]) => a === 3 && b === 3,
  describe: ([a, b]) => `a ${a} b ${b}`,
  ...changes,
})

test('every state is visited once', () => {
  const { states, transitions, depth, unreached, failure } = search(counters())
  assert.equal(
    { states, transitions, depth, unreached, failure },
    { states: 16, transitions: 24, depth: 6, unreached: [], failure: undefined },
  )
})

test('a violation is reported with a shortest trace', () => {
  const { failure } = search(counters({ violation: ([a, b]) => (a + 2 * b > 4 ? 'too much' : undefined) }))
  assert.is(failure?.kind, 'violation')
  assert.is(failure?.trace.length, 4)
  assert.match(failure?.trace.at(-1) ?? '', /a [01] b [23]/)
})

test('a state without a successor is a deadlock unless it is final', () => {
  assert.is(search(counters({ final: undefined })).failure?.kind, 'deadlock')
})

test('a state that has lost its way to the goal is stuck', () => {
  const { failure } = search(counters({ goal: ([a, b]) => a === 3 && b === 0 }))
  assert.is(failure?.kind, 'stuck')
  assert.is(failure?.trace.length, 2)
  assert.match(failure?.trace[1] ?? '', /a 0 b 1/)
})

test('actions that never happened are named, unknown ones refused', () => {
  assert.equal(search(counters({ actions: ['a', 'b', 'c'] })).unreached, ['c'])
  assert.throws(() => search(counters({ actions: ['a'] })), /does not list/)
})

test('a search that cannot end is refused, as is a key for two states', () => {
  assert.throws(() => search(counters(), { maxStates: 15 }), /more than 15/)
  assert.throws(() => search(counters({ encode: ([a]) => `${a}` }), { checkKeys: true }), /one key/)
})

test("the models' keys tell their states apart", () => {
  const options = { checkKeys: true }
  const name = 'keys'
  const lock = { name, nodes: 2, partitions: 1, terms: 1, rounds: 1, lives: 1, restarts: 0 } as const
  search(sanLock({ ...lock, lives: 2, restarts: 1 }), options)
  search(sanLock({ ...lock, terms: 2, tornReads: true }), options)
  const vote = { name, nodes: 2, partitions: 1, terms: 2, changes: 1, views: 0, failures: 1, refusals: 1 } as const
  search(election(vote), options)
  search(election({ ...vote, changes: 0, views: 1, failures: 0, refusals: 0 }), options)
  search(lunChange({ name, nodes: 2, requests: 1, failures: 2, restarts: 1 }), options)
})

test.run()
