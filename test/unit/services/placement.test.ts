/** Who bears which virtual host (R23, R30), decided from reports, health, wishes and time alone. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type HostReport,
  Placement,
  type PlacementEffect,
  type PlacementEvent,
  type PlacementHost,
} from '../../../src/services/index.ts'

const test = suite('virtual hosts: placement')
const A = '10.0.0.50'
const host = (policy: PlacementHost['policy'] = 'AUTOFAILBACK', nodes = ['n1', 'n2', 'n3']): PlacementHost => ({
  ...{ name: 'files', address: A, nodes, policy },
})
const options = { failbackAfterMs: 10_000, againAfterMs: 5_000, patienceMs: 1_000 }

/** A placement that is told things; answers with the commands it gives. */
class Desk {
  readonly placement: Placement
  now = 0
  effects: readonly PlacementEffect[] = []

  constructor(hosts: readonly PlacementHost[] = [host()]) {
    this.placement = new Placement({ hosts, ...options })
  }

  /** `take 1`, `release 0`, …; answers to wishes and questions apart. */
  step(event: PlacementEvent): string[] {
    this.effects = this.placement.step(this.now, event)
    return this.effects.flatMap((each) =>
      each.kind === 'take' || each.kind === 'release' ? [`${each.kind} ${each.slot}`] : [],
    )
  }

  begin(...slots: number[]): void {
    this.step({ kind: 'begin', members: slots.map((slot) => ({ slot, name: `n${slot + 1}` })) })
  }

  report(slot: number, report: Partial<HostReport> = {}, ready = true): string[] {
    const all = { address: A, bears: false, serves: false, byHand: false, failing: 0, barred: false, ...report }
    return this.step({ kind: 'report', slot, report: { ready, hosts: [all] } })
  }

  health(slot: number, failing: number, ready = true, barred = false): string[] {
    const all = { address: A, bears: false, serves: false, byHand: false, failing, barred }
    return this.step({ kind: 'health', slot, report: { ready, hosts: [all] } })
  }

  at(now: number): string[] {
    this.now = now
    return this.step({ kind: 'tick' })
  }

  taken(slot: number): string[] {
    return this.step({ kind: 'taken', slot, host: A })
  }

  released(slot: number): string[] {
    return this.step({ kind: 'released', slot, host: A })
  }

  get answers(): (string | undefined)[] {
    return this.effects.flatMap((each) => (each.kind === 'answer' ? [each.refusal ?? 'done'] : []))
  }
}

const serving = { bears: true, serves: true }

test('nothing is given away before every member has said what it bears', () => {
  const desk = new Desk()
  desk.begin(0, 1, 2)
  assert.equal(desk.report(0), [])
  assert.equal(desk.report(1), [])
  assert.equal(desk.report(2, serving), [], 'it is there already')
  desk.begin(0, 1, 2)
  assert.equal(desk.report(0), [])
  assert.equal(desk.report(2), [])
  assert.equal(desk.report(1), ['take 0'])
})

test('it goes to another only once its bearer has given it up, and back when its primary has been well for long enough', () => {
  const desk = new Desk()
  desk.begin(0, 1, 2)
  desk.report(0, { failing: 1 })
  desk.report(1, serving)
  assert.equal(desk.report(2), [])
  assert.equal(desk.health(0, 0), [])
  assert.equal(desk.at(9_999), [])
  assert.equal(desk.at(10_000), ['release 1'])
  assert.equal(desk.at(20_000), [], 'one command at a time')
  assert.equal(desk.released(1), ['take 0'])
  assert.equal(desk.taken(0), [])
  assert.equal(
    desk.effects.filter(({ kind }) => kind === 'moved'),
    [{ kind: 'moved', host: A, from: 'n2', to: 'n1', cause: 'failback', why: 'n1 is well again' }],
  )
})

test('a primary that fails meanwhile has to be well for as long anew; with NOFAILBACK nothing goes back', () => {
  const desk = new Desk()
  desk.begin(0, 1)
  desk.report(0)
  desk.report(1, serving)
  desk.at(8_000)
  desk.health(0, 1)
  desk.at(9_000)
  desk.health(0, 0)
  assert.equal(desk.at(18_999), [])
  assert.equal(desk.at(19_000), ['release 1'])
  const stays = new Desk([host('NOFAILBACK')])
  stays.begin(0, 1)
  stays.report(0)
  stays.report(1, serving)
  assert.equal(stays.at(100_000), [])
})

test('a bearer whose service fails loses it at once to the healthiest, the first in the list among these', () => {
  const desk = new Desk()
  desk.begin(0, 1, 2)
  desk.report(0, serving)
  desk.report(1, { failing: 2 })
  desk.report(2)
  assert.equal(desk.health(0, 1), ['release 0'])
  assert.equal(desk.released(0), ['take 2'])
  desk.taken(2)
  assert.equal(desk.health(2, 3), ['release 2'], 'n1 is the least bad now')
  assert.equal(desk.released(2), ['take 0'])
})

test('where nobody is better it stays; and where nobody is well it is placed all the same', () => {
  const desk = new Desk()
  desk.begin(0, 1)
  desk.report(0, { ...serving, failing: 1 })
  assert.equal(desk.report(1, { failing: 1 }), [])
  desk.begin(0, 1)
  desk.report(0, { failing: 1 })
  assert.equal(desk.report(1, { failing: 1 }), ['take 0'])
})

test('what nobody bears waits a moment for members that are starting, and no longer', () => {
  const desk = new Desk()
  desk.begin(0, 1)
  desk.report(0, {}, false)
  assert.equal(desk.report(1), [])
  assert.equal(desk.at(999), [])
  assert.equal(desk.at(1_000), ['take 1'])
  const ready = new Desk()
  ready.begin(0, 1)
  ready.report(0, {}, false)
  ready.report(1)
  assert.equal(ready.health(0, 0), ['take 0'])
})

test('a node that could not take it is passed over for a while, and asked what has become of it', () => {
  const desk = new Desk()
  desk.begin(0, 1)
  desk.report(0)
  assert.equal(desk.report(1), ['take 0'])
  assert.equal(desk.step({ kind: 'failed', slot: 0, host: A, reason: 'no such interface' }), [])
  assert.equal(desk.effects, [{ kind: 'ask', slot: 0 }], 'before its answer nobody gets it: it may have it')
  assert.equal(desk.at(2_000), [])
  assert.equal(desk.report(0), ['take 1'])
  desk.taken(1)
  desk.at(15_000)
  assert.equal(desk.at(15_001), [], 'the failback has begun')
})

test('a node that did not answer and has it all the same keeps it', () => {
  const desk = new Desk()
  desk.begin(0, 1)
  desk.report(0)
  desk.report(1)
  desk.step({ kind: 'failed', slot: 0, host: A, reason: 'no answer' })
  assert.equal(desk.report(0, serving), [])
})

test('a bearer that does not serve what it bears is told to take it again', () => {
  const desk = new Desk()
  desk.begin(0, 1)
  desk.report(0, { bears: true })
  assert.equal(desk.report(1), ['take 0'])
})

test('of two that say they have it one gives it up', () => {
  const desk = new Desk([host('NOFAILBACK')])
  desk.begin(0, 1)
  desk.report(0, serving)
  assert.equal(desk.report(1, serving), ['release 1'])
})

test('a wish is fulfilled, answered once it is, and stands until that node fails; also under the next administrator', () => {
  const desk = new Desk()
  desk.begin(0, 1)
  desk.report(0, serving)
  desk.report(1)
  assert.equal(desk.step({ kind: 'wish', id: 1, host: A, node: 'n2' }), ['release 0'])
  assert.equal(desk.released(0), ['take 1'])
  assert.equal(desk.answers, [])
  desk.taken(1)
  assert.equal(desk.answers, ['done'])
  assert.equal(desk.at(100_000), [])
  desk.begin(0, 1)
  desk.report(0)
  desk.report(1, { ...serving, byHand: true })
  assert.equal(desk.at(200_000), [])
  assert.equal(desk.health(1, 1), ['release 1'])
  assert.equal(desk.released(1), ['take 0'])
})

test('wishes that cannot be are refused with the reason; a later one replaces the one before', () => {
  const desk = new Desk([host('AUTOFAILBACK', ['n1', 'n2'])])
  desk.begin(0, 2)
  desk.report(0, serving)
  desk.report(2)
  const refusal = (node: string, address = A) => {
    desk.step({ kind: 'wish', id: 1, host: address, node })
    return desk.answers
  }
  assert.equal(refusal('n3'), ['n3 is not among the nodes of files: n1, n2'])
  assert.equal(refusal('n2'), ['n2 is no member now'])
  assert.equal(refusal('n1', '10.0.0.99'), ['the administrator knows no virtual host at 10.0.0.99'])
  assert.equal(refusal('n1'), ['done'], 'it is there')
  const ill = new Desk()
  ill.begin(0, 1)
  ill.report(0, serving)
  ill.report(1, { failing: 2 })
  ill.step({ kind: 'wish', id: 1, host: A, node: 'n2' })
  assert.equal(ill.answers, ['n2 fails 2 of the monitors of files now'], 'it would come back at once')
  const two = new Desk()
  two.begin(0, 1, 2)
  for (const slot of [1, 2]) two.report(slot)
  two.report(0, serving)
  two.step({ kind: 'wish', id: 1, host: A, node: 'n2' })
  two.step({ kind: 'wish', id: 2, host: A, node: 'n3' })
  assert.equal(two.answers, ['files is to be moved to n3 instead'])
  two.step({ kind: 'end' })
  assert.match(two.answers[0] as string, 'the view is changing')
})

test('a node that leaves gives what it bears to another, and is told when it may go', () => {
  const desk = new Desk()
  desk.begin(0, 1)
  desk.report(0, serving)
  desk.report(1)
  assert.equal(desk.step({ kind: 'leave', id: 7, slot: 0 }), ['release 0'])
  assert.equal(desk.answers, [])
  assert.equal(desk.released(0), ['take 1'])
  desk.taken(1)
  assert.equal(desk.answers, ['done'])
  const alone = new Desk()
  alone.begin(0)
  alone.report(0, serving)
  assert.equal(alone.step({ kind: 'leave', id: 7, slot: 0 }), [])
  assert.equal(alone.answers, ['done'], 'there is nobody to wait for')
})

test.run()
