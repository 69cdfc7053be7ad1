/** Where a virtual host should be: every situation of three nodes, held against what the rules promise. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Slot } from '../../../src/base/ids.ts'
import { choose, type Place, type Situation } from '../../../src/services/index.ts'

const test = suite('virtual hosts: choice')
const FAILBACK_MS = 10_000

const isPlace = ({ ready, leaving, barred, refused, bears }: Place) =>
  ready && !leaving && !barred && (bears || !refused)

/** All states of one node that matter; `bears` and its kind are given. */
function states(index: number, bears: boolean, byHand: boolean): Place[] {
  const found: Place[] = []
  for (const [ready, leaving, refused, barred] of [
    [true, false, false, false],
    [false, false, false, false],
    [true, true, false, false],
    [true, false, true, false],
    [true, false, false, true],
  ] as const)
    for (const [failing, wellMs] of [
      [0, FAILBACK_MS],
      [0, FAILBACK_MS - 1],
      [1, undefined],
      [3, undefined],
    ] as const)
      found.push({
        ...{ slot: index as Slot, name: `n${index + 1}`, ready, leaving, refused, barred, failing },
        ...{ wellMs: ready && !barred ? wellMs : undefined, bears, byHand: bears && byHand },
      })
  return found
}

function* situations(): Generator<Situation> {
  for (const bearer of [undefined, 0, 1, 2])
    for (const byHand of bearer === undefined ? [false] : [false, true])
      for (const a of states(0, bearer === 0, byHand))
        for (const b of states(1, bearer === 1, byHand))
          for (const c of states(2, bearer === 2, byHand))
            for (const policy of ['AUTOFAILBACK', 'NOFAILBACK'] as const)
              for (const wish of [undefined, 'n2'])
                yield { policy, primary: 'n1', places: [a, b, c], wish, failbackAfterMs: FAILBACK_MS }
}

test('every situation of three nodes', () => {
  let count = 0
  for (const situation of situations()) {
    count++
    const { places, policy, wish } = situation
    const { to, refusal } = choose(situation)
    const can = places.filter(isPlace)
    const healthiest = Math.min(...can.map(({ failing }) => failing))
    const bearer = places.find(({ bears }) => bears)
    const target = places.find(({ slot }) => slot === to?.slot)
    const fail = (what: string) => assert.unreachable(`${what}: ${JSON.stringify({ situation, to, refusal })}`)
    // it goes to a place alone, and to none that is less healthy than another
    if (to && to.cause !== 'stays' && !(target && isPlace(target) && target.failing === healthiest)) fail('no place')
    if (to && to.cause === 'stays' && target !== bearer) fail('it does not stay')
    // nobody loses it to nobody, and nobody who could have it is left out
    if ((bearer !== undefined || can.length > 0) !== (to !== undefined)) fail('nowhere')
    // what nobody bears goes to the first of the healthiest
    if (
      !bearer &&
      can.length > 0 &&
      to?.cause === 'placed' &&
      target !== can.find(({ failing }) => failing === healthiest)
    )
      fail('not the first of the healthiest')
    // a wish is followed, or it is said why not
    const wished = can.find(({ name }) => name === wish)
    if (wish !== undefined && (wished?.failing === healthiest ? to?.cause !== 'hand' : refusal === undefined))
      fail('wish')
    if (wish === undefined && (refusal !== undefined || to?.cause === 'hand')) fail('wish of nobody')
    // who bears it and is as healthy as any loses it by failback alone
    const isGood = bearer && isPlace(bearer) && bearer.failing === healthiest
    if (isGood && wish === undefined && to?.cause !== 'stays') {
      const earlier = target && places.indexOf(target) < places.indexOf(bearer)
      const isRight = to?.cause === 'failback' && policy === 'AUTOFAILBACK' && !bearer.byHand && earlier
      if (!isRight || target?.wellMs !== FAILBACK_MS) fail('it was moved for nothing')
    }
    // who is no place, or less healthy, loses it to somebody who is better
    if (bearer && !isGood && can.length > 0 && to?.cause === 'stays') fail('it stays where it should not')
    // with AUTOFAILBACK it goes back to who has been well for long enough
    const first = can.find(({ failing }) => failing === 0)
    const isDue = first && first.wellMs === FAILBACK_MS && bearer && places.indexOf(first) < places.indexOf(bearer)
    if (isDue && policy === 'AUTOFAILBACK' && !bearer.byHand && wish === undefined && target !== first) fail('not back')
  }
  assert.is(count, (20 ** 3 + 3 * 2 * 20 ** 3) * 4)
})

test('it is told why', () => {
  const well = { ready: true, leaving: false, refused: false, barred: false, failing: 0, wellMs: 0, byHand: false }
  const n1: Place = { ...well, slot: 0 as Slot, name: 'n1', bears: true }
  const n2: Place = { ...well, slot: 1 as Slot, name: 'n2', bears: false }
  const why = (places: readonly Place[], wish?: string) => {
    const { to, refusal } = choose({ policy: 'AUTOFAILBACK', primary: 'n1', places, wish, failbackAfterMs: 0 })
    return [to?.cause, to?.why, refusal].filter((each) => each !== undefined)
  }
  assert.equal(why([{ ...n1, failing: 2 }, n2]), ['failover', 'n1 fails 2 of its monitors'])
  assert.equal(why([{ ...n1, barred: true }, n2]), ['failover', 'a device of n1 fails'])
  assert.equal(why([{ ...n1, ready: false }, n2]), ['failover', 'n1 cannot serve it'])
  assert.equal(why([{ ...n1, leaving: true }, n2]), ['stop', 'n1 stops'])
  assert.equal(why([{ ...n1, barred: true }]), ['stays', ''])
  assert.equal(why([n1, { ...n2, barred: true }], 'n2'), ['stays', '', 'lacks a device of'])
  assert.equal(why([n1, { ...n2, failing: 3 }], 'n2'), ['stays', '', 'fails 3 of the monitors of'])
})

test.run()
