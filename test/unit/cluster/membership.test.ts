import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Life } from '../../../src/base/life.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { formatLife, formatLives } from '../../../src/cluster/lives.ts'
import { Membership } from '../../../src/cluster/membership.ts'
import type { MembershipEffect } from '../../../src/cluster/membership-events.ts'
import type { Alive, MembershipMessage } from '../../../src/cluster/membership-messages.ts'
import type { Member, View } from '../../../src/cluster/view.ts'

const test = suite('cluster/membership.ts: transcripts of one node')

const timings = timingsFrom(2000)

const member = (slot: number, incarnation = 1): Member => ({
  slot,
  incarnation,
  name: `n${slot}`,
  address: { host: 'h', port: 1 },
})
const view = (id: number, ...slots: number[]): View => ({ id, members: slots.map((slot) => member(slot)) })

/** One node whose peers are the test itself. Effects are lines; `alive` is left out: it is sent at every turn. */
class Script {
  readonly core: Membership
  readonly count: number
  now = 1000

  constructor(slot: number, count = 3) {
    this.count = count
    const peers = Array.from({ length: count }, (_, other) => other).filter((other) => other !== slot)
    this.core = new Membership({ self: member(slot), peers, knowsAll: true, timings })
  }

  #lines(effects: MembershipEffect[]): string[] {
    return effects.flatMap((effect) => {
      switch (effect.type) {
        case 'send': {
          const { message, to } = effect
          if (message.type === 'alive') return []
          const rest =
            message.type === 'propose'
              ? ` ${formatLives(message.members)}`
              : message.type === 'refuse'
                ? ` ${message.why}`
                : ''
          return [`to ${to}: ${message.type} ${message.number}${rest}`]
        }
        case 'installed':
          return [`installed ${effect.view.id}: ${formatLives(effect.view.members)}`]
        case 'drop':
          return [`drop ${effect.slot}`]
        default:
          return [effect.type]
      }
    })
  }

  step(event: Parameters<Membership['step']>[1]): string[] {
    return this.#lines(this.core.step(this.now, event))
  }

  up = (slot: number, incarnation = 1) => this.step({ type: 'up', member: member(slot, incarnation) })
  down = (slot: number) => this.step({ type: 'down', life: member(slot), reason: 'test' })
  gone = (slot: number) => [...this.down(slot), ...this.step({ type: 'unreachable', slot })]
  hear = (from: number, message: MembershipMessage) => this.step({ type: 'message', from, message })

  alive(from: number, fields: Partial<Alive> = {}): string[] {
    this.core.heard(from, this.now)
    const reach: Life[] = Array.from({ length: this.count }, (_, slot) => ({ slot, incarnation: 1 })).filter(
      (life) => life.slot !== from,
    )
    return this.hear(from, {
      type: 'alive',
      view: null,
      served: false,
      broken: false,
      leaving: false,
      reach,
      lost: [],
      highest: 0,
      ...fields,
    })
  }

  /** Lets `ms` pass in ticks, while `speaking` peers are heard. */
  pass(ms: number, speaking: number[] = []): string[] {
    const lines: string[] = []
    for (const end = this.now + ms; this.now < end; ) {
      this.now += timings.heartbeatMs / 4
      for (const slot of speaking) this.core.heard(slot, this.now)
      lines.push(...this.step({ type: 'tick' }))
    }
    return lines
  }

  /** A node of a view of all, proposed by slot 0. */
  static inView(slot: number, count = 3): Script {
    const script = new Script(slot, count)
    const all = Array.from({ length: count }, (_, other) => other)
    const others = all.filter((other) => other !== slot)
    for (const other of others) script.up(other)
    for (const other of others) script.alive(other)
    if (slot === 0) for (const other of others) script.hear(other, { type: 'accept', number: 64 })
    else {
      script.hear(0, { type: 'propose', number: 64, members: view(64, ...all).members })
      script.hear(0, { type: 'commit', number: 64 })
    }
    assert.is(script.core.view?.id, 64)
    for (const other of others) script.alive(other, { view: view(64, ...all), highest: 64 })
    return script
  }
}

test('the lowest of three newcomers proposes once all are connected to all, and commits when all have accepted', () => {
  const s = new Script(0)
  assert.equal([...s.up(1), ...s.up(2), ...s.alive(1, { reach: [member(0)] }), ...s.alive(2)], [])
  assert.equal(s.alive(1), ['blocked', 'to 1: propose 64 0@1 1@1 2@1', 'to 2: propose 64 0@1 1@1 2@1'])
  assert.equal(s.hear(1, { type: 'accept', number: 64 }), [])
  assert.equal(s.hear(1, { type: 'accept', number: 64 }), [], 'one voice counts once')
  assert.equal(s.hear(2, { type: 'accept', number: 63 }), [], 'the answer to another proposal')
  assert.equal(s.hear(2, { type: 'accept', number: 64 }), [
    'to 1: commit 64',
    'to 2: commit 64',
    'installed 64: 0@1 1@1 2@1',
  ])
})

test('a member blocks with its promise and installs with the commit of just that', () => {
  const s = new Script(2)
  for (const slot of [0, 1]) s.up(slot)
  for (const slot of [0, 1]) s.alive(slot)
  assert.equal(s.hear(0, { type: 'commit', number: 64 }), [], 'never promised')
  assert.equal(s.hear(0, { type: 'propose', number: 64, members: view(64, 0, 1, 2).members }), [
    'blocked',
    'to 0: accept 64',
  ])
  assert.equal(s.hear(0, { type: 'commit', number: 128 }), [], 'another number')
  assert.equal(s.hear(1, { type: 'commit', number: 64 }), [], 'another proposer')
  assert.equal(s.hear(0, { type: 'commit', number: 64 }), ['installed 64: 0@1 1@1 2@1'])
  assert.equal(s.hear(0, { type: 'commit', number: 64 }), [], 'once')
})

test('a newcomer waits for those who have a view, however long', () => {
  const s = new Script(0)
  s.up(1)
  s.alive(1, { view: view(65, 1), highest: 65 })
  assert.equal(s.pass(20_000, [1]), [])
  assert.equal(s.gone(1), ['blocked', 'installed 128: 0@1'])
})

test('a member gone: its sockets close and nobody answers: the next view is proposed at once', () => {
  const s = Script.inView(0)
  assert.equal(s.down(2), ['blocked'])
  assert.equal(s.step({ type: 'unreachable', slot: 2 }), ['to 1: propose 128 0@1 1@1'])
})

test('a connection lost for a moment: the same lives, but a new view, because messages may be lost', () => {
  const s = Script.inView(0)
  assert.equal(s.down(2), ['blocked'])
  assert.equal(s.up(2), ['to 1: propose 128 0@1 1@1 2@1', 'to 2: propose 128 0@1 1@1 2@1'])
})

test('a connection lost between two others: their coordinator acts on their word', () => {
  const s = Script.inView(0)
  const told = { view: view(64, 0, 1, 2), broken: true, highest: 64 }
  assert.equal(s.alive(1, { ...told, reach: [member(0)], lost: [member(2)] }), [], 'it may come back')
  assert.equal(
    s.alive(1, { ...told, reach: [member(0)] }),
    ['blocked', 'to 1: propose 128 0@1 1@1'],
    'it did not: the higher slot is left out',
  )
})

test('silence: dropped after suspectMs, and left out', () => {
  const s = Script.inView(0)
  assert.equal(s.pass(timings.suspectMs - 200, [1]), [])
  assert.equal(s.pass(400, [1]), ['drop 2', 'blocked', 'to 1: propose 128 0@1 1@1'])
})

test('after a stall of its own a node suspects nobody', () => {
  const s = Script.inView(0)
  s.now += 60_000
  assert.equal(s.step({ type: 'tick' }), [])
  assert.equal(s.pass(1000, [1, 2]), [])
})

test('who does not answer a proposal in its time is dropped, and the next goes without it', () => {
  const s = Script.inView(0, 4)
  s.gone(3)
  s.hear(1, { type: 'accept', number: 128 })
  assert.equal(s.pass(timings.viewStepMs + 300, [1, 2]), ['drop 2', 'to 1: propose 192 0@1 1@1'])
})

test('the coordinator dead after our promise: the lowest of the others takes over with a higher number', () => {
  const s = Script.inView(1, 4)
  s.gone(3)
  assert.equal(s.hear(0, { type: 'propose', number: 128, members: view(128, 0, 1, 2).members }), ['to 0: accept 128'])
  assert.equal(s.gone(0), ['to 2: propose 193 1@1 2@1'])
})

test('invariant 2: a number once promised is never promised again, nor a lower one', () => {
  const s = Script.inView(2)
  s.hear(0, { type: 'propose', number: 192, members: view(192, 0, 1, 2).members })
  for (const number of [192, 128]) {
    assert.equal(s.hear(0, { type: 'propose', number, members: view(number, 0, 2).members }), [
      `to 0: refuse ${number} stale`,
    ])
  }
})

test('invariant 5: while the first proposer lives, a second is refused, unless it takes the first along', () => {
  const s = Script.inView(2)
  s.hear(0, { type: 'propose', number: 128, members: view(128, 0, 2).members })
  assert.equal(s.hear(1, { type: 'propose', number: 129, members: view(129, 1, 2).members }), ['to 1: refuse 129 busy'])
  assert.equal(s.hear(1, { type: 'propose', number: 193, members: view(193, 0, 1, 2).members }), ['to 1: accept 193'])
  assert.equal(s.hear(0, { type: 'commit', number: 128 }), [], 'superseded')
  const t = Script.inView(2)
  t.hear(0, { type: 'propose', number: 128, members: view(128, 0, 2).members })
  t.gone(0)
  assert.equal(t.hear(1, { type: 'propose', number: 129, members: view(129, 1, 2).members }), ['to 1: accept 129'])
})

test('invariant 6: a life that our view left out is not taken in again by a proposer who does not know', () => {
  const s = Script.inView(2, 4)
  s.hear(0, { type: 'propose', number: 128, members: view(128, 0, 2, 3).members })
  s.hear(0, { type: 'commit', number: 128 })
  s.alive(1, { view: view(64, 0, 1, 2, 3), highest: 128 })
  assert.equal(s.hear(3, { type: 'propose', number: 195, members: view(195, 1, 2, 3).members }), [
    'to 3: refuse 195 busy',
  ])
  s.gone(0)
  assert.equal(s.hear(3, { type: 'propose', number: 259, members: view(259, 1, 2, 3).members }), [
    'to 3: refuse 259 busy',
  ])
})

test('a coordinator who missed a commit goes on from the view that another has installed', () => {
  const s = Script.inView(1, 4)
  s.hear(0, { type: 'propose', number: 128, members: view(128, 0, 1, 2).members })
  s.alive(2, { view: view(128, 0, 1, 2), highest: 128 })
  assert.equal(s.gone(0), ['to 2: propose 193 1@1 2@1'], 'without 3, whom that view left out')
})

test('a proposal with a member we have no connection to, or by a stranger, is refused', () => {
  const s = Script.inView(2)
  s.gone(1)
  assert.equal(s.hear(0, { type: 'propose', number: 128, members: view(128, 0, 1, 2).members }), [
    'to 0: refuse 128 unconnected',
  ])
  const t = Script.inView(1, 3)
  t.gone(2)
  t.up(2, 2)
  assert.equal(t.hear(2, { type: 'propose', number: 130, members: [member(1), member(2, 2)] }), [
    'to 2: refuse 130 busy',
  ])
})

test('R52: left out by a later view of the others: expelled, and silent from then on', () => {
  const s = Script.inView(2)
  s.step({ type: 'serving' })
  s.gone(1)
  assert.equal(s.alive(0, { view: view(128, 0, 1), served: true, highest: 128 }), ['expelled'])
  assert.equal(
    [...s.pass(5000), ...s.up(1), ...s.hear(0, { type: 'propose', number: 192, members: view(192, 0, 1, 2).members })],
    [],
  )
  assert.is(s.core.phase, 'expelled')
})

test('a clean leave ends when the others have a view without us', () => {
  const s = Script.inView(2)
  assert.equal(s.step({ type: 'leave' }), [])
  assert.equal(s.alive(0, { view: view(128, 0, 1), highest: 128 }), ['blocked', 'left'])
})

test('a leaver is left out by the coordinator, a leaving coordinator by the next', () => {
  const s = Script.inView(1)
  assert.equal(s.alive(0, { view: view(64, 0, 1, 2), leaving: true, highest: 64 }), [
    'blocked',
    'to 2: propose 129 1@1 2@1',
  ])
})

test('a restarted peer comes back as another life: the old one is out, the new one in', () => {
  const s = Script.inView(0)
  assert.equal(s.up(2, 2), ['blocked', 'to 1: propose 128 0@1 1@1'])
  s.hear(1, { type: 'accept', number: 128 })
  s.alive(1, { view: view(128, 0, 1), highest: 128, reach: [member(0), member(2, 2)] })
  assert.equal(s.alive(2, { highest: 0 }), [
    'blocked',
    'to 1: propose 192 0@1 1@1 2@2',
    'to 2: propose 192 0@1 1@1 2@2',
  ])
  assert.is(formatLife(member(2, 2)), '2@2')
})

test.run()
