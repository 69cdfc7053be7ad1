/** The LUNs that a node has open: what follows the list, what is found, what is refused, and that nothing is under way when a LUN has gone. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, MatrixError } from '../../../src/base/errors.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { MiB } from '../../../src/base/units.ts'
import type { Log } from '../../../src/platform/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import {
  alwaysGoodLease,
  formatLun,
  type Label,
  type LunFinder,
  LunTable,
  type MembershipDatabase,
  type PendingChange,
  readLabel,
  readLabels,
} from '../../../src/san/index.ts'
import { LABEL_A_OFFSET } from '../../../src/san/lun-layout.ts'
import { SimDisk, SimLun } from '../../sim/lun.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('san: LUN table')

const timings = timingsFrom(400)
const matrixUuid = '00000000-0000-4000-8000-000000000100'
const none = (): void => {}

/** A table of lun1, which bears the partition, and lun2; lun3 and lun4 are there to be found. */
async function setUp(open = 2, partitions: 1 | 3 = 1) {
  const world = new SimWorld(5)
  const host = new SimHost(world, 'a')
  const run = <T>(promise: Promise<T>) => world.settle(promise)
  const disks = [1, 2, 3, 4].map((n) => new SimDisk(world, 64 * MiB, { name: `lun${n}`, ioLifeMs: timings.ioLifeMs }))
  const labels: Label[] = []
  for (const [i, disk] of disks.entries()) {
    const lunUuid = `00000000-0000-4000-8000-00000000000${i + 1}`
    const options = { matrixUuid, matrixName: 'm', lunUuid, lunName: `lun${i + 1}` }
    const bears = i < (partitions === 3 ? 2 : 1)
    labels.push(await run(formatLun(new SimLun(disk, host), { ...options, partitions: bears ? partitions : 0 })))
  }
  const said: string[] = []
  const log: Log = { ...silentLog, warn: (_, message) => void said.push(message) }
  const w = {
    ...{ world, host, disks, labels, run, said, forgotten: [] as string[], hints: [] as (string | undefined)[] },
    /** Set to find something else. */
    find: undefined as LunFinder['find'] | undefined,
    table: null as unknown as LunTable,
    record: (n: number) => ({ uuid: labels[n - 1]?.lunUuid ?? '', name: `lun${n}`, size: 64 * MiB }),
    gate: (n: number) => w.table.gate(labels[n - 1]?.lunUuid ?? ''),
    open: () => w.table.entries.map(({ label }) => label.lunName),
    database: (listed: number[], pending?: Omit<PendingChange, 'generation'>) => async () =>
      ({ luns: listed.map(w.record), ...(pending && { pending }) }) as unknown as MembershipDatabase,
  }
  const finder: LunFinder = {
    find: async (uuid, hint) => {
      w.hints.push(hint)
      if (w.find) return w.find(uuid, hint)
      const disk = disks[labels.findIndex(({ lunUuid }) => lunUuid === uuid)]
      if (!disk) return undefined
      const lun = new SimLun(disk, host)
      return { lun, label: (await readLabel(lun)).label }
    },
    forget: (uuid) => void w.forgotten.push(uuid),
  }
  const { clock } = host
  const devices = disks.slice(0, open).map((disk) => new SimLun(disk, host))
  const found = await run(readLabels(devices, 'm', { clock, timings }))
  w.table = new LunTable(found, { clock, timings, lease: alwaysGoodLease, log, finder })
  return w
}

const read = (gate: { read(offset: number, buffer: Buffer): Promise<void> }) => gate.read(8 * MiB, Buffer.alloc(512))
const failed = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error) => error,
  )

test('the table follows the list: what it does not name is closed, what is missing is found; a pending change is left', async () => {
  const w = await setUp(3)
  await w.run(w.table.follow(w.database([1, 2, 3])))
  assert.equal(w.open(), ['lun1', 'lun2', 'lun3'])
  await w.run(w.table.follow(w.database([1, 4], { kind: 'add', lun: w.record(3) })))
  assert.equal(w.open(), ['lun1', 'lun3', 'lun4'])
  assert.equal(w.said, ['a LUN is not in the list of the matrix: it is not used'])
  assert.ok(isMatrixError(await w.run(failed(read({ read: async () => w.gate(2) as never }))), 'not-found'))
  await w.run(w.table.follow(w.database([1, 2, 4], { kind: 'remove', lun: w.record(2) })))
  assert.equal(w.open(), ['lun1', 'lun4'], 'lun3 goes, and what is to be removed is not opened any more')
  await w.run(read(w.gate(4)))
  assert.equal(Object.keys(w.table.counters()), ['lun1', 'lun4'])
})

test('a LUN that is missing is told once, and looked for until it is there', async () => {
  const w = await setUp()
  w.find = async () => undefined
  await w.run(w.table.follow(w.database([1, 2, 3])))
  await w.run(w.table.follow(w.database([1, 2, 3])))
  await w.world.run(w.world.now + 20_000)
  assert.ok(w.hints.length > 3)
  assert.equal(w.said, ['a LUN of the matrix is not in reach of this node'])
  assert.equal(
    w.table.missing.map(({ name }) => name),
    ['lun3'],
  )
  w.find = undefined
  await w.world.run(w.world.now + 6_000)
  assert.equal([w.open(), w.table.missing], [['lun1', 'lun2', 'lun3'], []])
})

test('an add is opened where it is found, told again it is open; or there is a reason', async () => {
  const w = await setUp()
  const add = (n: number, as: object = {}) => w.run(w.table.add({ ...w.record(n), ...as }, 'file:/hint', none))
  assert.is(await add(3), undefined)
  assert.is(await add(3), undefined)
  assert.equal([w.hints, w.open()], [['file:/hint'], ['lun1', 'lun2', 'lun3']])
  assert.match((await add(3, { size: 2 ** 30 })) ?? '', /finds LUN lun3 at sim:lun3 with only 64 MiB of 1 GiB/)
  assert.match((await add(4, { name: 'lun9' })) ?? '', /whose label says lun4/)
  w.find = async () => undefined
  assert.match((await add(4)) ?? '', /does not find LUN lun4: add its URL under luns/)
  w.find = async () => {
    throw new MatrixError('lun-io', 'broken')
  }
  assert.match((await add(4)) ?? '', /cannot read LUN lun4: broken/)
  w.find = () => new Promise(() => {})
  assert.match((await add(4)) ?? '', /LUN lun4 has not answered for 1600 ms/)
  assert.equal(w.open(), ['lun1', 'lun2', 'lun3'])
  const stop = () => {
    throw new MatrixError('view-changed', 'too late')
  }
  w.find = undefined
  assert.ok(isMatrixError(await w.run(failed(w.table.add(w.record(4), undefined, stop))), 'view-changed'))
  assert.ok(isMatrixError(await w.run(failed(w.table.remove(w.record(3), stop))), 'view-changed'))
  assert.equal(w.open(), ['lun1', 'lun2', 'lun3'])
})

test('a LUN that has become larger is used so far as the list says, when the device has so much', async () => {
  const w = await setUp()
  const { uuid } = w.record(2)
  await w.run(w.table.follow(w.database([1, 2])))
  const disk = w.disks[1]
  assert.ok(disk)
  disk.size = 100 * MiB
  assert.is(w.gate(2).size, 64 * MiB)
  assert.is(await w.run(w.table.measure(uuid)), 100 * MiB)
  const resize = (n: number, size: number) => w.run(w.table.resize({ ...w.record(n), size }, none))
  assert.is(await resize(2, 200 * MiB), 'sees only 100 MiB of LUN lun2')
  assert.is(await resize(3, 100 * MiB), 'LUN lun3 is not open here')
  assert.is(w.gate(2).size, 64 * MiB)
  assert.is(await resize(2, 96 * MiB), undefined)
  assert.is(w.gate(2).size, 96 * MiB)
  disk.poke(LABEL_A_OFFSET + 30, Buffer.from([1, 2, 3]))
  assert.is(await w.run(w.table.relabel({ ...w.record(2), size: 96 * MiB }, 64 * MiB)), undefined)
  const { label, damaged } = await w.run(readLabel(new SimLun(disk, w.host)))
  assert.equal([label.size, damaged], [96 * MiB, []])
  assert.is(await resize(2, 64 * MiB), undefined, 'it was taken back')
  assert.is(w.gate(2).size, 64 * MiB)
  const listed = (size: number) => async () =>
    ({ luns: [w.record(1), { ...w.record(2), size }] }) as unknown as MembershipDatabase
  await w.run(w.table.follow(listed(96 * MiB)))
  assert.is(w.gate(2).size, 96 * MiB)
  disk.size = 80 * MiB
  await w.run(w.table.follow(listed(80 * MiB)))
  const error = await w.run(failed(w.table.follow(listed(90 * MiB))))
  assert.ok(isMatrixError(error, 'config'), String(error))
  assert.match(error.message, /lun2 has 80 MiB at this node, the matrix uses 90 MiB of it/)
})

test('a removal waits for what is under way; then nothing of the node reaches the LUN, until it is added again', async () => {
  const w = await setUp(3)
  const disk = w.disks[2] as SimDisk
  disk.faults.add(({ op }) => (op === 'write' ? { slowMs: 300 } : undefined))
  const gate = w.gate(3)
  const landed: number[] = []
  disk.onLanded = () => landed.push(w.world.now)
  const writing = failed(gate.write(8 * MiB, [Buffer.alloc(512)], { purpose: 'data' }))
  await w.run(w.table.remove(w.record(3), none))
  const removedAt = w.world.now
  assert.is(landed.length, 1, 'landed before it was acknowledged')
  assert.ok((landed[0] ?? 0) <= removedAt)
  assert.ok(isMatrixError(await w.run(writing), 'fenced'))
  assert.ok(isMatrixError(await w.run(failed(read(gate))), 'fenced'))
  const { reads, writes } = disk.counts.get('a') ?? { reads: 0, writes: 0 }
  await w.run(w.table.remove(w.record(3), none))
  await w.world.run(w.world.now + 20_000)
  assert.equal([disk.counts.get('a')?.reads, disk.counts.get('a')?.writes], [reads, writes])
  assert.ok(w.forgotten.includes(w.record(3).uuid))
  assert.is(await w.run(w.table.add(w.record(3), undefined, none)), undefined)
  await w.run(read(w.gate(3)))
})

test('a LUN that hangs is removed once nothing of it can land any more', async () => {
  const w = await setUp(3)
  const disk = w.disks[2] as SimDisk
  disk.faults.add(() => ({ slowMs: 100_000, beyondLife: true }))
  void failed(read(w.gate(3)))
  const began = w.world.now
  await w.run(w.table.remove(w.record(3), none))
  assert.is(w.world.now - began, timings.ioLifeMs)
  assert.equal(w.said, ['I/O to a LUN that is removed has not ended within its longest life'])
  assert.equal(w.open(), ['lun1', 'lun2'])
})

test('once fenced no gate is open, not even one that comes later', async () => {
  const w = await setUp()
  w.table.fence('the end')
  for (const { gate } of w.table.entries) assert.is(gate.closedBy, 'the end')
  assert.is(await w.run(w.table.add(w.record(3), undefined, none)), 'the end')
  assert.equal(w.open(), ['lun1', 'lun2'])
  await w.run(w.table.drained())
  await w.run(w.table.close())
})

test('a LUN that bears a partition is known; one that is out of sight may be one while not all are here', async () => {
  const all = await setUp()
  assert.equal(
    [1, 2, 3].map((n) => all.table.mayBearPartition(all.record(n).uuid)),
    [true, false, false],
  )
  const two = await setUp(3, 3)
  assert.equal(
    [1, 3, 4].map((n) => two.table.mayBearPartition(two.record(n).uuid)),
    [true, false, true],
  )
})

test.run()
