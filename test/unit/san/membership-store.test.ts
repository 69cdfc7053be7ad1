import { pack } from 'msgpackr'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { InvariantError } from '../../../src/base/assert.ts'
import { isMatrixError } from '../../../src/base/errors.ts'
import { seal } from '../../../src/base/layout.ts'
import { Prng } from '../../../src/base/prng.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { GiB, MiB } from '../../../src/base/units.ts'
import { type Log, silentLog } from '../../../src/platform/log.ts'
import {
  DATABASE_A_OFFSET,
  DATABASE_B_OFFSET,
  databaseFormat,
  type MembershipDatabase,
  MembershipStore,
  Partitions,
} from '../../../src/san/index.ts'
import { nthFault, SimDisk, SimLun } from '../../sim/lun.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('san: membership store')

const prng = new Prng(3)
const lunUuid = prng.uuid()
const first = {
  matrixUuid: prng.uuid(),
  matrixName: 'demo',
  luns: [{ uuid: lunUuid, name: 'lun1', size: 8 * GiB }],
  filesystems: [
    {
      name: 'home',
      uuid: prng.uuid(),
      fsid: 4_000_000_000,
      luns: [lunUuid],
      slots: 8,
      journalBytes: 64 * MiB,
      checkpointBytes: 512 * MiB,
      groupBlocks: 32768,
      seals: [{ slot: 2, incarnation: 5, lsn: 2 ** 40 + 512 }],
    },
  ],
}

function setUp(seed = 1) {
  const world = new SimWorld(seed)
  const disk = new SimDisk(world, 64 * MiB)
  const host = new SimHost(world, 'a')
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (fields) => void warnings.push(String(fields['problems'])) }
  const store = new MembershipStore(
    new Partitions([new SimLun(disk, host)], { clock: host.clock, timings: timingsFrom(400) }),
    log,
  )
  return { world, disk, store, warnings, run: <T>(promise: Promise<T>) => world.settle(promise) }
}

const failed = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error) => error,
  )

test('what is written is read, with a generation that rises by one each time, in two copies by turns', async () => {
  const { store, disk, run } = setUp()
  assert.ok(isMatrixError(await run(failed(store.read())), 'not-found'))
  let database = await run(store.create(first))
  assert.is(database.generation, 1)
  assert.equal(await run(store.read()), { ...first, term: 0, generation: 1 })
  assert.ok(isMatrixError(await run(failed(store.create(first))), 'exists'))
  for (let generation = 2; generation <= 5; generation++) {
    const before = [DATABASE_A_OFFSET, DATABASE_B_OFFSET].map((offset) => disk.peek(offset, 4096))
    database = await run(store.write({ ...database, matrixName: `demo${generation}` }))
    assert.is(database.generation, generation)
    assert.equal(await run(store.read()), database)
    const changed = [DATABASE_A_OFFSET, DATABASE_B_OFFSET].map(
      (offset, i) => !disk.peek(offset, 4096).equals(before[i]),
    )
    assert.equal(changed, generation % 2 === 0 ? [false, true] : [true, false])
  }
})

test('a change to an outdated generation is refused', async () => {
  const { store, run } = setUp()
  const database = await run(store.create(first))
  await run(store.write(database))
  const error = await run(failed(store.write(database)))
  assert.ok(isMatrixError(error, 'view-changed'))
  assert.match(error.message, /at generation 2 of term 0, the change was made to 1/)
})

const third = { uuid: prng.uuid(), name: 'lun3', size: GiB }
const add = { kind: 'add' as const, lun: third, generation: 0, hint: 'file:/lun3' }

test('what is pending has the next generation; only finish writes that one, with the new list; others jump over it', async () => {
  const { store, run } = setUp()
  const created = await run(store.create(first))
  const decided = await run(store.write({ ...created, pending: add }))
  assert.equal([decided.generation, decided.pending, decided.luns], [2, { ...add, generation: 3 }, first.luns])
  assert.equal(await run(store.read()), decided)
  // as a new administrator does
  const taken = await run(store.write({ ...decided, term: 1 }))
  assert.equal([taken.generation, taken.pending?.generation], [4, 5])
  assert.ok(isMatrixError(await run(failed(store.finish(decided))), 'view-changed'))
  const done = await run(store.finish(taken))
  assert.equal(done, { ...first, luns: [...first.luns, third], term: 1, generation: 5 })
  const removing = { kind: 'remove' as const, lun: third, generation: 0 }
  const gone = await run(store.finish(await run(store.write({ ...done, pending: removing }))))
  assert.equal(gone, { ...first, term: 1, generation: 7 })
  const back = await run(store.write({ ...gone, pending: removing }))
  assert.equal((await run(store.finish(back))).luns, first.luns, 'an add that is taken back was never in the list')
})

test('a generation that was tried is never used again, and whether it counts is decided by the next write', async () => {
  const { store, disk, run } = setUp()
  const created = await run(store.create(first))
  const decided = await run(store.write({ ...created, pending: add }))
  const fault = nthFault(1, { op: 'write' })
  disk.faults.add(fault)
  assert.ok(isMatrixError(await run(failed(store.finish(decided))), 'lun-io'))
  assert.ok(fault.fired && !store.isDecided)
  const found = await run(store.readInTurn())
  if (found.pending) assert.ok(isMatrixError(await run(failed(store.finish(found))), 'view-changed'))
  const next = await run(store.write(found))
  assert.ok(next.generation > 3 && store.isDecided)
})

test('writes of one process go one after another: of two changes to one database the second is refused', async () => {
  const { store, run } = setUp()
  const created = await run(store.create(first))
  const both = Promise.allSettled([
    store.write({ ...created, pending: add }),
    store.write({ ...created, matrixName: 'other' }),
    store.readInTurn(),
  ])
  const [one, two, three] = await run(both)
  assert.is(one.status, 'fulfilled')
  assert.ok(two.status === 'rejected' && isMatrixError(two.reason, 'view-changed'))
  assert.ok(three.status === 'fulfilled' && three.value.generation === 2)
})

test('one damaged copy is survived and reported, the next write heals it; two are damage', async () => {
  for (const broken of [DATABASE_A_OFFSET, DATABASE_B_OFFSET]) {
    const { store, disk, run, warnings } = setUp()
    const second = await run(store.write(await run(store.create(first))))
    disk.poke(broken + 50, Buffer.from('damage'))
    const read = await run(store.read())
    assert.is(read.generation, broken === DATABASE_A_OFFSET ? 2 : 1)
    assert.match(warnings[0], /copy [AB]: checksum mismatch/)
    await run(store.write(read))
    warnings.length = 0
    assert.is((await run(store.read())).generation, 3, 'above all that was ever written')
    assert.equal(warnings, [])
    disk.poke(DATABASE_A_OFFSET + 50, Buffer.from('damage'))
    disk.poke(DATABASE_B_OFFSET, Buffer.from('something else'))
    const error = await run(failed(store.read()))
    assert.ok(isMatrixError(error, 'lun-damaged'))
    assert.match(error.message, /copy A: checksum mismatch; copy B: something else is there/)
    void second
  }
})

test('a writer uses no generation twice, also when the copy that has it was destroyed', async () => {
  const { store, disk, run } = setUp()
  let database = await run(store.create(first))
  for (let i = 0; i < 2; i++) database = await run(store.write(database))
  assert.is(database.generation, 3)
  disk.poke(DATABASE_A_OFFSET + 100, Buffer.from([0xff]))
  const older = await run(store.read())
  assert.is(older.generation, 2, 'the newest is lost')
  assert.is((await run(store.write({ ...older, matrixName: 'other' }))).generation, 4)
})

test('a newer format is refused even when an older copy is intact', async () => {
  const { store, disk, run } = setUp()
  await run(store.create(first))
  disk.poke(DATABASE_B_OFFSET, seal({ ...databaseFormat, version: 2 }, Buffer.from('future'), 4096))
  assert.ok(isMatrixError(await run(failed(store.read())), 'format-version'))
})

test('content with a right checksum is still judged: every wrong value is named', async () => {
  const extend = (as: object) => ({ kind: 'extend', lun: third, generation: 2, ...as })
  const luns = [...first.luns, third]
  const wrong: [unknown, RegExp][] = [
    ['text', /Invalid type/],
    [{ ...first, generation: 0 }, /generation/],
    [{ ...first, generation: 1, extra: 1 }, /extra/],
    [{ ...first, generation: 1, pending: { ...add, generation: 3 } }, /pending: generation 3 does not follow 1/],
    [{ ...first, generation: 1, pending: { ...add, generation: 2, kind: 'grow' } }, /pending\.kind/],
    [
      { ...first, generation: 1, pending: { ...add, generation: 2, lun: { ...third, name: 'lun1' } } },
      /pending: LUN lun1 is in the list already/,
    ],
    [
      { ...first, generation: 1, pending: { kind: 'remove', generation: 2, lun: { ...first.luns[0], size: 1 } } },
      /pending: remove of LUN lun1 does not fit/,
    ],
    [
      { ...first, generation: 1, pending: { kind: 'remove', generation: 2, lun: first.luns[0] } },
      /pending: LUN lun1 is to be removed, and filesystem home is on it/,
    ],
    [
      { ...first, generation: 1, pending: { ...add, generation: 2, kind: 'remove' } },
      /pending: only an add has a hint/,
    ],
    [{ ...first, generation: 1, pending: extend({}) }, /pending: no place in a filesystem for extend/],
    [
      { ...first, generation: 1, pending: extend({ place: { fsid: 1, index: 1 } }) },
      /extend of LUN lun3 names what is not there/,
    ],
    [
      { ...first, luns, generation: 1, pending: extend({ place: { fsid: first.filesystems[0]?.fsid, index: 2 } }) },
      /LUN lun3 is to be number 2 of filesystem home, which has 1/,
    ],
    [
      {
        ...first,
        generation: 1,
        pending: extend({ lun: first.luns[0], place: { fsid: first.filesystems[0]?.fsid, index: 1 } }),
      },
      /LUN lun1 is to become part of a filesystem, and home is on it/,
    ],
    [
      { ...first, generation: 1, pending: { ...add, generation: 2, place: { fsid: 1, index: 1 } } },
      /a place in a filesystem for add/,
    ],
    [{ ...first, generation: 1, matrixUuid: 'x' }, /matrixUuid: is no UUID/],
    [{ ...first, generation: 1, luns: [] }, /unknown LUN/],
    [{ ...first, generation: 1, luns: [first.luns[0], first.luns[0]] }, /UUID twice/],
    [{ ...first, generation: 1, filesystems: [{ ...first.filesystems[0], fsid: 2 ** 32 }] }, /filesystems\.0\.fsid/],
    [{ ...first, generation: 1, filesystems: [{ ...first.filesystems[0], slots: 65 }] }, /filesystems\.0\.slots/],
    [
      {
        ...first,
        generation: 1,
        filesystems: [{ ...first.filesystems[0], seals: [{ slot: 64, incarnation: 1, lsn: 0 }] }],
      },
      /seals\.0\.slot/,
    ],
  ]
  for (const [value, message] of wrong) {
    const { store, disk, run } = setUp()
    disk.poke(DATABASE_A_OFFSET, seal(databaseFormat, pack(value), 4096))
    const error = await run(failed(store.read()))
    assert.ok(isMatrixError(error, 'lun-damaged'), String(error))
    assert.match(error.message, message)
  }
  const { store, run } = setUp()
  const bug = await run(failed(store.create({ ...first, matrixName: '' })))
  assert.instance(bug, InvariantError)
})

test('crash sweep: whatever I/O of a write fails, and power too, the old or the new database is there', async () => {
  for (let nth = 1, fired = true; fired; nth++) {
    for (let seed = 1; seed <= 10; seed++) {
      const { world, store, disk, run } = setUp(seed)
      // many seals make it longer than a sector, so that it can be torn
      const seals = Array.from({ length: 200 }, (_, i) => ({ slot: i % 64, incarnation: i + 1, lsn: i * 512 }))
      const big = { ...first, filesystems: [{ ...first.filesystems[0], seals }] }
      const old = await run(store.write(await run(store.create(big))))
      const fault = nthFault(nth, { host: 'a' })
      disk.faults.add(fault)
      const next = { ...old, matrixName: 'next' } satisfies MembershipDatabase
      const written = await world.settle(failed(store.write(next)))
      fired = fault.fired
      assert.is(written !== undefined, fired)
      disk.faults.clear()
      disk.powerLoss()
      const read = await run(store.read())
      if (read.generation === old.generation) assert.equal(read, old)
      else assert.equal(read, { ...next, generation: old.generation + 1 })
      assert.ok(fired || read.matrixName === 'next', 'what was answered is there')
    }
  }
})

test.run()
