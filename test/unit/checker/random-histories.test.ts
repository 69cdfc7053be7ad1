/**
 * Random histories: what really came one after another is accepted, however the times of the operations overlap; with one
 * answer changed, in a history without overlap, it is rejected.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../../src/base/prng.ts'
import type { Operation } from '../../e2e/checker/history.ts'
import { type DirectoryAnswer, type DirectoryCall, directories } from '../../e2e/checker/models/directory.ts'
import type { Model } from '../../e2e/checker/models/model.ts'
import { type RegisterAnswer, type RegisterCall, register } from '../../e2e/checker/models/register.ts'
import { explain } from '../../e2e/checker/wgl.ts'

/** An object under test: which calls there are, and every answer that could be thought of. */
type Play<State, Call, Answer> = {
  readonly model: Model<State, Call, Answer>
  call(prng: Prng, serial: number): Call
  answers(call: Call, serial: number): readonly Answer[]
}

const values = ['', ...Array.from({ length: 200 }, (_, i) => `v${i}`)]
const registerPlay: Play<string, RegisterCall, RegisterAnswer> = {
  model: register,
  call: (prng, serial) =>
    prng.pick<RegisterCall>([
      { kind: 'write', value: `v${serial}` },
      { kind: 'read' },
      { kind: 'read' },
      { kind: 'remove' },
    ]),
  answers: (call) => {
    if (call.kind === 'write') return [{}]
    return call.kind === 'read' ? values.map((value) => ({ value })) : [{ removed: true }, { removed: false }]
  },
}

const names = ['A/x', 'A/y', 'B/x']
const directoryPlay: Play<unknown, DirectoryCall, DirectoryAnswer> = {
  model: directories as Model<unknown, DirectoryCall, DirectoryAnswer>,
  call: (prng, serial) => {
    const [name, to] = [prng.pick(names), prng.pick(names)]
    return prng.pick<DirectoryCall>([
      { kind: 'create', name, exclusive: prng.chance(0.5), token: `t${serial}` },
      { kind: 'mkdir', name, token: `t${serial}` },
      { kind: 'unlink', name },
      { kind: 'rmdir', name },
      { kind: 'rename', name, to },
      { kind: 'lookup', name },
      { kind: 'present', name },
      { kind: 'link', id: `${100 + prng.below(serial + 1)}`, to },
    ])
  },
  answers: (call, serial) => {
    const errors = ['ENOENT', 'EEXIST', 'EISDIR', 'ENOTDIR', 'ENOTEMPTY', 'EPERM'].map((error) => ({ error }))
    if (call.kind === 'present') return [{ there: true }, { there: false }]
    if (call.kind === 'create' || call.kind === 'mkdir') return [...errors, { id: `${100 + serial}` }, {}]
    if (call.kind !== 'lookup') return [...errors, {}]
    return [...errors, ...Array.from({ length: serial }, (_, i) => ({ id: `${100 + i}` }))]
  },
}

/** Operations one after another, a tenth of a millisecond each, at whole milliseconds, by several clients in turn. */
function sequential<State, Call, Answer>(play: Play<State, Call, Answer>, prng: Prng, length: number) {
  const operations: Operation<Call, Answer>[] = []
  let state = play.model.initial
  for (let serial = 0; serial < length; serial++) {
    const call = play.call(prng, serial)
    const right = play.answers(call, serial).filter((answer) => play.model.step(state, call, answer).length > 0)
    const answer = prng.pick(right)
    state = play.model.step(state, call, answer)[0] as State
    const times = { start: serial, end: serial + 0.1 }
    operations.push({
      client: `c${serial % 4}`,
      at: 'n1',
      protocol: 'nfs',
      object: 'o',
      call,
      answer,
      durable: true,
      ...times,
    })
  }
  return operations
}

/** The same with every operation's interval stretched over others, those of one client still one after another. */
function overlapped<O extends Operation>(operations: readonly O[], prng: Prng): O[] {
  return operations.map((operation) => ({
    ...operation,
    start: operation.start - prng.float() * 1.9,
    end: operation.end + prng.float() * 1.9,
  }))
}

for (const [name, play] of [
  ['a register', registerPlay],
  ['directories', directoryPlay],
] as const) {
  const any = play as Play<unknown, unknown, unknown>

  test(`${name}: what happened one after another is explained, whatever overlaps`, () => {
    for (let seed = 1; seed <= 60; seed++) {
      const prng = new Prng(seed)
      const history = overlapped(sequential(any, prng, 120), prng)
      const verdict = explain(any.model, history)
      assert.is(verdict.kind, 'explained', `seed ${seed}`)
    }
  })

  test(`${name}: so it is when some answers never came`, () => {
    for (let seed = 1; seed <= 40; seed++) {
      const prng = new Prng(seed)
      const history = overlapped(sequential(any, prng, 80), prng).map((operation) =>
        prng.chance(0.05) ? { ...operation, answer: undefined, end: Number.POSITIVE_INFINITY } : operation,
      )
      assert.is(explain(any.model, history).kind, 'explained', `seed ${seed}`)
    }
  })

  test(`${name}: one wrong answer is found`, () => {
    let found = 0
    for (let seed = 1; seed <= 100; seed++) {
      const prng = new Prng(seed)
      const history = sequential(any, prng, 60)
      const at = prng.below(history.length)
      const operation = history[at] as Operation
      const others = any.answers(operation.call, at).filter((answer) => any.model.readOnly(operation.call, answer))
      // another answer that changes nothing, to an operation that changed nothing: wrong there and then, whatever follows
      if (!any.model.readOnly(operation.call, operation.answer)) continue
      const before = history.slice(0, at)
      const state = before.reduce(
        (known, { call, answer }) => any.model.step(known, call, answer)[0],
        any.model.initial,
      )
      const wrong = others.filter((answer) => any.model.step(state, operation.call, answer).length === 0)
      if (wrong.length === 0) continue
      const mutated = history.map((each) => (each === operation ? { ...each, answer: prng.pick(wrong) } : each))
      const verdict = explain(any.model, mutated)
      assert.is(verdict.kind, 'unexplained', `seed ${seed}, operation ${at}`)
      found++
    }
    assert.ok(found > 20, `${found} histories were changed`)
  })
}

test.run()
