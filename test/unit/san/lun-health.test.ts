import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Finding, LunHealth } from '../../../src/san/index.ts'

const test = suite('san: health of a LUN')

const finding = {
  g: { kind: 'good' },
  s: { kind: 'slow', reason: 'slow' },
  e: { kind: 'failed', reason: 'EIO' },
  f: { kind: 'foreign', reason: 'swapped' },
} as const satisfies Record<string, Finding>

/** The states after each finding of `met`. */
function walk(met: string): string {
  const health = new LunHealth()
  const states = [...met].map((letter) => {
    const before = health.state
    const transition = health.met(finding[letter as keyof typeof finding])
    assert.is(transition !== undefined, before !== health.state, `${met} at ${letter}`)
    if (transition) assert.equal([transition.from, transition.to], [before, health.state])
    return health.state[0] === 'f' ? health.state.slice(0, 2) : health.state[0]
  })
  return states.join(' ')
}

for (const [met, states, what] of [
  ['ggg', 'u u u', 'what is good stays up'],
  ['ege', 'u u u', 'single failures are no state'],
  ['ee', 'u fa', 'two in a row are'],
  ['eegggg', 'u fa fa fa u u', 'and end with the third good probe'],
  ['eeggeggg', 'u fa fa fa fa fa fa u', 'in a row'],
  ['sg', 's s', 'one slow I/O is told'],
  ['sggg', 's s s u', 'and is over with the third good probe'],
  ['see', 's s fa', 'slow, and then failing'],
  ['ese', 'u s fa', 'a slow one between two failures is no good one'],
  ['eesggg', 'u fa fa fa fa u', 'failing is worse than slow'],
  ['fggggse', 'fo fo fo fo fo fo fo', 'another LUN stays another'],
  ['eef', 'u fa fo', 'whatever it was before'],
] as const) {
  test(`${met}: ${what}`, () => assert.is(walk(met), states))
}

test('the reason is that of the state, and goes with it', () => {
  const health = new LunHealth()
  for (const letter of 'ee') health.met(finding[letter as 'e'])
  assert.is(health.reason, 'EIO')
  for (const letter of 'ggg') health.met(finding[letter as 'g'])
  assert.is(health.reason, '')
})

test.run()
