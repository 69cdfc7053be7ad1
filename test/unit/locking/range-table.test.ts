import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  conflicts,
  FLOCK_BYTE,
  RANGE_END,
  type RangeLock,
  type RangeMode,
  RangeTable,
  type RangeWaiter,
} from '../../../src/locking/index.ts'
import { ByteModel, sorted } from './byte-model.ts'

const BYTES = 12

const owner = fc.record({ client: fc.constantFrom('a', 'b'), owner: fc.constantFrom('x', 'y') })
const range = fc
  .tuple(fc.nat(BYTES - 1), fc.nat(BYTES - 1))
  .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) }))
const mode = fc.constantFrom<RangeMode>('shared', 'exclusive')
const request = fc.tuple(owner, range, mode).map(([who, where, how]) => ({ ...who, ...where, mode: how }))
const step = fc.oneof(
  fc.record({ kind: fc.constantFrom('take' as const, 'wait' as const), request }),
  fc.record({ kind: fc.constant('release' as const), request }),
  fc.record({ kind: fc.constant('cancel' as const), place: fc.nat(3) }),
)

test('R129 a table of ranges does what a map of every byte does', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new RangeTable()
      const model = new ByteModel(BYTES)
      const mirror = new Map<string, RangeLock>()
      const set = (lock: RangeLock, to: RangeMode | undefined) => {
        const { gone, come } = table.set(lock, lock, to)
        for (const each of gone) assert.ok(mirror.delete(nameOf(each)), 'what has gone was there')
        for (const each of come) {
          assert.not.ok(mirror.has(nameOf(each)), 'what has come was not')
          mirror.set(nameOf(each), each)
        }
      }
      const serve = () => {
        const served: RangeWaiter[] = []
        for (let next = table.promised()[0]; next; next = table.promised()[0]) {
          table.drop(next.order)
          set(next, next.mode)
          served.push(next)
        }
        // who is granted, and in which order
        assert.equal(served.map(plain), model.serve().map(plain))
      }
      for (const each of steps) {
        if (each.kind === 'cancel') {
          const waiter = table.waiters[each.place]
          if (waiter) assert.is(table.drop(waiter.order), waiter)
          model.line.splice(each.place, 1)
        } else if (each.kind === 'release') {
          set(each.request, undefined)
          model.set(each.request, each.request, undefined)
        } else {
          const other = table.inTheWay(each.request)
          assert.is(other === undefined, model.isFree(each.request))
          if (other) {
            assert.ok(conflicts(other, each.request))
            const lower = [...table.locks()].filter((lock) => conflicts(lock, each.request) && lock.start < other.start)
            assert.equal(lower, [], 'the first in the way is told')
            const owners = new Set([...table.locks()].filter((lock) => conflicts(lock, each.request)).map(ownerOf))
            assert.equal(new Set([...table.ownersInTheWay(each.request)].map(ownerOf)), owners)
          }
          if (!other) {
            set(each.request, each.request.mode)
            model.set(each.request, each.request, each.request.mode)
          } else if (each.kind === 'wait') {
            table.queue({ ...each.request, order: table.nextOrder })
            model.line.push(each.request)
          }
        }
        serve()
        assert.equal(sorted(table.locks()), model.held())
        assert.equal(sorted(mirror.values()), model.held())
        assert.is(table.size, model.held().length)
        assert.is(table.isEmpty, model.held().length + model.line.length === 0)
        for (const a of table.locks()) for (const b of table.locks()) assert.not.ok(conflicts(a, b))
      }
    }),
    { numRuns: 1500 },
  )
})

const ofA = { client: 'a', owner: 'x' }
const ofB = { client: 'b', owner: 'x' }

test('a promise keeps its range free for the one that has it, and nobody else', () => {
  const table = new RangeTable()
  table.set(ofA, { start: 0, end: 9 }, 'exclusive')
  table.queue({ ...ofB, start: 5, end: 20, mode: 'exclusive', order: table.nextOrder })
  const third = { client: 'c', owner: '', start: 15, end: 15, mode: 'shared' as const }
  assert.is(table.inTheWay(third), undefined, 'who cannot be granted yet is in nobody’s way')
  table.set(ofA, { start: 5, end: 9 }, undefined)
  assert.is(table.inTheWay(third)?.client, 'b')
  assert.equal(
    [...table.ownersInTheWay(third)].map((each) => each.client),
    ['b'],
  )
  assert.is(table.inTheWay({ ...third, start: 21, end: 30 }), undefined)
})

test('the ends of what can be locked: the last byte of a file, and the byte of flock, which touches none', () => {
  const table = new RangeTable()
  table.set(ofA, { start: 10, end: RANGE_END }, 'exclusive')
  table.set(ofA, { start: 0, end: 9 }, 'exclusive')
  assert.equal([...table.locks()], [{ ...ofA, start: 0, end: RANGE_END, mode: 'exclusive' }])
  table.set(ofA, FLOCK_BYTE, 'exclusive')
  assert.is(table.size, 2)
  table.set(ofA, { start: 0, end: RANGE_END }, undefined)
  assert.equal([...table.locks()], [{ ...ofA, ...FLOCK_BYTE, mode: 'exclusive' }])
})

test('what an owner has already changes nothing', () => {
  const table = new RangeTable()
  table.set(ofA, { start: 0, end: 9 }, 'shared')
  assert.equal(table.set(ofA, { start: 2, end: 5 }, 'shared'), { gone: [], come: [] })
  assert.equal(table.set(ofB, { start: 2, end: 5 }, undefined), { gone: [], come: [] })
})

function nameOf({ client, owner: name, start }: RangeLock): string {
  return JSON.stringify([client, name, start])
}
function ownerOf({ client, owner: name }: { client: string; owner: string }): string {
  return JSON.stringify([client, name])
}
function plain({ client, owner: name, start, end, mode: how }: RangeLock): RangeLock {
  return { client, owner: name, start, end, mode: how }
}

test.run()
