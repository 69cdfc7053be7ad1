import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Life } from '../../../src/base/life.ts'
import { MAX_SLOTS } from '../../../src/base/limits.ts'
import {
  encounter,
  fullyConnected,
  nextViewId,
  proposerOf,
  type Standing,
} from '../../../src/cluster/membership-rules.ts'
import type { View } from '../../../src/cluster/view.ts'

const test = suite('cluster/membership-rules.ts')

const life = (slot: number, incarnation = 1): Life => ({ slot, incarnation })
const member = (slot: number, incarnation = 1) => ({
  slot,
  incarnation,
  name: `n${slot}`,
  address: { host: 'h', port: 1 },
})
const view = (id: number, ...slots: number[]): View => ({ id, members: slots.map((slot) => member(slot)) })
const standing = (slot: number, of: View | undefined, served = true): Standing => ({
  life: life(slot),
  view: of,
  served,
})

test('numbers of views grow, tell their proposer, and never meet', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 40), fc.nat(MAX_SLOTS - 1), fc.nat(MAX_SLOTS - 1), (highest, one, other) => {
      const id = nextViewId(highest, one)
      assert.ok(id > highest)
      assert.is(proposerOf(id), one)
      if (one !== other) assert.is.not(id, nextViewId(highest, other))
      if (one > other) assert.ok(id > nextViewId(highest, other)) // equal counts: the higher slot's is higher
    }),
  )
})

test('the table of encounters', () => {
  const mine = view(128, 0, 1)
  for (const [what, a, b, verdict] of [
    ['no view here', standing(0, undefined), standing(2, mine), 'none'],
    ['no view there', standing(0, mine), standing(2, undefined), 'none'],
    ['one view', standing(0, mine), standing(1, mine), 'none'],
    ['mine holds them, mine is newer', standing(0, mine), standing(1, view(64, 1)), 'none'],
    ['mine holds them, theirs is newer and leaves me out', standing(0, mine), standing(1, view(192, 1)), 'expelled'],
    ['the same, and I have served nobody', standing(0, mine, false), standing(1, view(192, 1), false), 'expelled'],
    ['theirs holds me, mine is newer', standing(0, view(192, 0)), standing(1, mine), 'none'],
    ['theirs holds me, theirs is newer', standing(0, view(64, 0)), standing(1, mine), 'none'],
    ['strangers: they are more', standing(0, view(640, 0)), standing(1, view(65, 1, 2)), 'expelled'],
    ['strangers: we are more', standing(0, mine), standing(2, view(640, 2)), 'none'],
    ['strangers, as many: our lowest slot is lower', standing(0, view(64, 0)), standing(1, view(65, 1)), 'none'],
    ['strangers, as many: our lowest slot is higher', standing(1, view(65, 1)), standing(0, view(64, 0)), 'expelled'],
    ['alone and new: joins', standing(1, view(65, 1), false), standing(0, view(64, 0), false), 'dissolve'],
    ['alone and new, the other serves', standing(0, view(64, 0), false), standing(1, view(65, 1)), 'dissolve'],
    [
      'two, new, and the other serves: somebody else relies on our view',
      standing(0, mine, false),
      standing(2, view(66, 2)),
      'expelled',
    ],
  ] as const) {
    assert.is(encounter(a, b), verdict, what)
  }
})

test('of two views that know nothing of each other exactly one yields', () => {
  const slots = fc.uniqueArray(fc.nat(15), { minLength: 2, maxLength: 8 })
  fc.assert(
    fc.property(slots, fc.nat(6), fc.nat(20), fc.nat(20), fc.boolean(), fc.boolean(), (all, cut, x, y, one, other) => {
      const at = 1 + (cut % (all.length - 1))
      const left = all.slice(0, at).sort((a, b) => a - b)
      const right = all.slice(at).sort((a, b) => a - b)
      const a = standing(left[0]!, view(64 * x + 1, ...left), one)
      const b = standing(right[0]!, view(64 * y + 2, ...right), other)
      assert.is([encounter(a, b), encounter(b, a)].filter((verdict) => verdict !== 'none').length, 1)
    }),
  )
})

test('whoever lacks connections is left out: newcomers first, then the worst connected, then the higher slot; never oneself', () => {
  const fit = (cuts: string[], options: { self?: number; old?: number[]; count?: number }) => {
    const all = Array.from({ length: options.count ?? 4 }, (_, slot) => life(slot))
    return fullyConnected(all, {
      self: life(options.self ?? 0),
      old: (options.old ?? [0, 1, 2, 3]).map((slot) => life(slot)),
      connected: (a, b) => !cuts.includes(`${a.slot}${b.slot}`) && !cuts.includes(`${b.slot}${a.slot}`),
    }).map((one) => one.slot)
  }
  assert.equal(fit([], {}), [0, 1, 2, 3])
  assert.equal(fit(['12'], {}), [0, 1, 3])
  assert.equal(fit(['12'], { old: [0, 2, 3] }), [0, 2, 3])
  assert.equal(fit(['12', '13'], {}), [0, 2, 3])
  assert.equal(fit(['03'], { self: 3 }), [1, 2, 3])
})

test('what is left is fully connected, whatever is cut', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.array(fc.tuple(fc.nat(7), fc.nat(7)), { maxLength: 12 }),
      (count, cuts) => {
        const connected = (a: Life, b: Life) =>
          !cuts.some(([x, y]) => (x === a.slot && y === b.slot) || (x === b.slot && y === a.slot))
        const self = life(0)
        const rest = fullyConnected(
          Array.from({ length: count }, (_, slot) => life(slot)),
          { self, old: [], connected },
        )
        assert.ok(rest.some((one) => one.slot === 0))
        for (const a of rest) for (const b of rest) assert.ok(a === b || connected(a, b))
      },
    ),
  )
})

test.run()
