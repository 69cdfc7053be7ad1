/** Which LUNs a node uses for a filesystem, as it hears of changes one after another, and of what space it may add. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FsError, isMatrixError } from '../../../src/base/errors.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { MountLuns } from '../../../src/recovery/index.ts'
import type { FilesystemRecord, Lun, PlaceChange } from '../../../src/san/index.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('recovery: LUNs of a mount')

const record = { name: 'home', fsid: 1, luns: ['a', 'b'] } as unknown as FilesystemRecord

function setUp(from: FilesystemRecord = record) {
  const world = new SimWorld(1)
  const sizes: Record<string, number> = { a: 1, b: 1, c: 1, d: 1 }
  const w = {
    ...{ world, sizes, used: [] as unknown[], added: [] as (readonly number[])[], failure: undefined as unknown },
    luns: null as unknown as MountLuns,
  }
  w.luns = new MountLuns(from, {
    clock: new SimHost(world, 'n1').clock,
    log: silentLog,
    fs: {
      useLuns: (luns, draining) => void w.used.push([luns.map((lun) => lun?.identity ?? null).join(), draining]),
      addSpace: async (indexes) => {
        w.added.push(indexes)
        if (w.failure !== undefined) throw w.failure
        return 7
      },
      drain: async (index) => ({ leftBytes: index, isEmpty: false }),
      isEmptied: async () => true,
    },
    gates: (uuids) =>
      uuids.map((uuid) => (uuid === null ? undefined : ({ identity: uuid, size: sizes[uuid] } as unknown as Lun))),
    started: async () => {},
    isOver: () => false,
  })
  return w
}

const change = (kind: PlaceChange['kind'], uuid: string, index: number): PlaceChange => ({
  ...{ kind, lun: { uuid }, place: { fsid: 1, index } },
})

test('changes follow one another: the one before is finished, or told again, or taken back', () => {
  const w = setUp()
  const { luns } = w
  luns.change(change('extend', 'c', 2))
  luns.change(change('extend', 'c', 2))
  assert.equal(luns.record.luns, ['a', 'b'], 'it is not finished as far as this node knows')
  luns.change(change('retract', 'c', 2))
  luns.change(change('extend', 'd', 2))
  assert.equal(luns.record.luns, ['a', 'b'], 'what was taken back has never been')
  luns.change(change('drain', 'b', 1))
  assert.equal(luns.record.luns, ['a', 'b', 'd'])
  luns.change(change('refill', 'b', 1))
  luns.change(change('drain', 'd', 2))
  luns.change(change('vacate', 'd', 2))
  luns.change(change('extend', 'c', 3))
  assert.equal(luns.record.luns, ['a', 'b', null])
  assert.equal(w.used, [
    ['a,b,c', []],
    ['a,b', []],
    ['a,b,d', []],
    ['a,b,d', [1]],
    ['a,b,d', []],
    ['a,b,d', [2]],
    ['a,b,', []],
    ['a,b,,c', []],
  ])
})

test('a node that is told of a LUN that it has already, or that another one has, does not mix them up', () => {
  const { luns, used } = setUp()
  luns.change(change('extend', 'b', 1))
  assert.equal(used, [])
  assert.throws(() => luns.change(change('extend', 'c', 5)), /has 2 LUNs, another is to be number 5/)
  assert.throws(() => luns.change(change('retract', 'b', 1)), /is one of its LUNs/)
})

test('what the database says counts, whatever was told; draining is known from the start', () => {
  const draining = setUp({ ...record, draining: ['b'] })
  assert.equal(draining.used, [['a,b', [1]]])
  const { luns, used } = setUp()
  luns.change(change('extend', 'c', 2))
  luns.follow({ ...record, draining: ['b'] })
  assert.equal(used, [
    ['a,b,c', []],
    ['a,b', [1]],
  ])
})

test('space is added of what is finished only', async () => {
  const w = setUp()
  const { luns } = w
  luns.change(change('extend', 'c', 2))
  await luns.addSpaceSoon()
  assert.equal(w.added, [[0, 1]], 'it may be taken back yet')
  assert.is(await luns.extended('c'), 7)
  assert.equal(w.added[1], [0, 1, 2])
  w.sizes.b = 2
  luns.resize('b')
  assert.equal(w.used.length, 2)
  await luns.addSpaceSoon()
  assert.equal(w.added[2], [0, 2])
  await luns.resized('b')
  assert.equal(w.added[3], [0, 1, 2])
  luns.change(change('drain', 'c', 2))
  luns.change(change('vacate', 'c', 2))
  luns.settle({ ...record, luns: ['a', 'b', null] })
  await w.world.run(w.world.now + 6000)
  assert.equal(w.added.slice(4), [[0, 1]], 'the administrator looks some time after a change')
})

test('whoever was not told is sent to ask again; what fails for a moment is tried again', async () => {
  const w = setUp()
  const failed = (work: Promise<unknown>) => work.catch((error) => error)
  assert.ok(isMatrixError(await failed(w.luns.extended('c')), 'view-changed'))
  assert.ok(isMatrixError(await failed(w.luns.drain('b', 5)), 'view-changed'))
  w.luns.change(change('drain', 'b', 1))
  assert.equal(await w.luns.drain('b', 5), { leftBytes: 1, isEmpty: false })
  assert.ok(isMatrixError(await failed(w.luns.extended('b')), 'view-changed'), 'it is drained, not written to')
  w.failure = new FsError('ENOSPC', 'the journal is full')
  assert.ok(isMatrixError(await failed(w.luns.extended('a')), 'timeout'))
  await w.luns.addSpaceSoon()
  const before = w.added.length
  w.failure = undefined
  await w.world.run(w.world.now + 6000)
  assert.is(w.added.length, before + 1)
})

test.run()
