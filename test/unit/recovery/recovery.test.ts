/** Which journals of the dead have to be read and sealed (R58), decided from lease sectors, view and seals alone; and the order of a run. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MatrixError } from '../../../src/base/errors.ts'
import { toPairs } from '../../../src/base/vector.ts'
import type { Mesh, View } from '../../../src/cluster/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { endsOfSealed, ownStart, Recovery, type RecoveryHost, Timeline, unsealed } from '../../../src/recovery/index.ts'
import { decodeRequest } from '../../../src/recovery/protocol.ts'
import type { FilesystemRecord, LeaseSector, LeaseState, MembershipDatabase } from '../../../src/san/index.ts'

const sector = (slot: number, incarnation: number, state: LeaseState): LeaseSector => ({
  slot,
  incarnation,
  state,
  nodeName: `n${slot + 1}`,
  counter: 1,
  ioTimeoutMs: 2000,
  process: { bootId: 'boot', pid: 1, startTime: 1 },
  address: { host: 'localhost', port: 1 },
  hostName: 'host',
  nonce: '00000000-0000-4000-8000-000000000000',
})

const view = (...members: [slot: number, incarnation: number][]): View => ({
  id: 9,
  members: members.map(([slot, incarnation]) => ({
    slot,
    incarnation,
    name: `n${slot + 1}`,
    address: { host: 'localhost', port: 1 },
  })),
})

const record = (...seals: [slot: number, incarnation: number, lsn: number][]): FilesystemRecord => ({
  name: 'home',
  uuid: '00000000-0000-4000-8000-000000000001',
  fsid: 1,
  luns: [],
  slots: 3,
  journalBytes: 0,
  checkpointBytes: 0,
  groupBlocks: 0,
  seals: seals.map(([slot, incarnation, lsn]) => ({ slot, incarnation, lsn })),
})

test('a member in its first life leaves nothing to seal', () => {
  assert.equal(unsealed(record(), view([0, 1]), [sector(0, 1, 'active')]), [])
})

test('a dead member is sealed with its own incarnation', () => {
  const sectors = [sector(0, 1, 'active'), sector(1, 4, 'active')]
  assert.equal(unsealed(record([1, 3, 512]), view([0, 1]), sectors), [{ slot: 1, incarnation: 4 }])
})

test('a member that came back needs the seal of the life before', () => {
  assert.equal(unsealed(record(), view([0, 1], [1, 5]), [sector(0, 1, 'active'), sector(1, 5, 'joining')]), [
    { slot: 1, incarnation: 4 },
  ])
})

test('a life on its way into a view is never sealed: its frames must count later', () => {
  assert.equal(unsealed(record([1, 4, 512]), view([0, 1]), [sector(0, 1, 'active'), sector(1, 5, 'joining')]), [])
})

test('a clean leave is sealed like a death', () => {
  assert.equal(unsealed(record(), view([0, 1]), [sector(0, 1, 'active'), sector(2, 2, 'clean')]), [
    { slot: 2, incarnation: 2 },
  ])
})

test('what is sealed is not sealed again, and slots without a journal are left out', () => {
  const sectors = [sector(0, 1, 'active'), sector(1, 4, 'active'), sector(7, 1, 'active')]
  assert.equal(unsealed(record([1, 4, 512]), view([0, 1]), sectors), [])
})

test('a journal begins at the seal of the incarnation before', () => {
  const sealed = record([0, 1, 512], [0, 2, 2048], [1, 1, 1024])
  assert.is(ownStart(sealed, 0, 3), 2048)
  assert.is(ownStart(sealed, 2, 1), 0)
  assert.throws(() => ownStart(sealed, 0, 2), /sealed/)
  assert.equal(
    [...endsOfSealed(sealed)],
    [
      [0, 2048],
      [1, 1024],
    ],
  )
})

test('a run fences whoever is active outside the view after the members have said that they are, then finishes what is pending, then seals, then hands out the floor', async () => {
  const members = view([0, 1], [1, 1])
  const notes: string[] = []
  let resumed: unknown
  const pending = { kind: 'add', lun: { uuid: 'u', name: 'lun9', size: 1 }, generation: 2 }
  let database = { generation: 1, filesystems: [record()], pending } as unknown as MembershipDatabase
  const fenced = new Set<number>()
  const host: RecoveryHost = {
    mesh: {
      view: members,
      request: async (to: number, _channel: string, body: unknown) => {
        const message = decodeRequest(body)
        notes.push(`${message.kind} ${to}`)
        if (message.kind === 'resume') resumed = message.floors.map(({ vector }) => toPairs(vector))
        return message.kind === 'recover' ? { ends: [{ fsid: 1, lsn: 512 * (to + 1) }], damaged: [], failed: [] } : true
      },
    } as unknown as Mesh,
    clock: realClock,
    log: silentLog,
    timeline: new Timeline({ node: 'n1', clock: realClock, log: silentLog, tell: () => {} }),
    scanLeases: async () => {
      notes.push('scan')
      return [sector(0, 1, 'active'), sector(1, 1, 'active'), sector(2, 3, 'active')]
    },
    fencing: {
      hasFenced: ({ slot }) => fenced.has(slot),
      fence: async ({ slot }) => {
        notes.push(`fence ${slot}`)
        fenced.add(slot)
      },
    },
    isolation: { isPending: false, judge: async (_view, found) => found, suspect: () => {} },
    readDatabase: async () => database,
    writeDatabase: async (next) => {
      notes.push('seal')
      return (database = next)
    },
    finishPending: async (_view, found) => {
      if (found.pending) notes.push(`finish ${found.pending.kind}`)
      return (database = { ...found, pending: undefined })
    },
    readJournalsToEnd: async (_record, _writers, dead) => {
      notes.push(`read ${dead.map(({ slot }) => slot)}`)
      return dead.map(() => 4096)
    },
    adopt: (_record, slots) => notes.push(`adopt ${slots}`),
  }
  await new Recovery(host).run(members)
  assert.equal(notes, [
    ...['import 0', 'import 1', 'scan', 'fence 2', 'scan', 'finish add', 'read 2', 'seal'],
    ...['recover 0', 'recover 1', 'resume 0', 'resume 1', 'adopt 2'],
  ])
  assert.equal(database.filesystems[0]?.seals, [{ slot: 2, incarnation: 3, lsn: 4096 }])
  assert.equal(resumed, [
    [
      [0, 512],
      [1, 1024],
      [2, 4096],
    ],
  ])
})

/** A run over two members, whose 'recover' and whose administrator's reading answer as told; what was asked of whom. */
async function runWith(
  recover: (to: number, asked: number) => readonly string[],
  {
    journals = async () => [4096],
    publish = () => {},
  }: { journals?: () => Promise<number[]>; publish?: (to: number) => void } = {},
) {
  const members = view([0, 1], [1, 1])
  const mesh = { view: members as View | undefined }
  const notes: string[] = []
  let asked = 0
  let database = { generation: 1, filesystems: [record()] } as unknown as MembershipDatabase
  const request = async (to: number, _channel: string, body: unknown) => {
    const message = decodeRequest(body)
    notes.push(`${message.kind} ${to}`)
    if (message.kind === 'publish') publish(to)
    if (message.kind === 'refuse') mesh.view = undefined // it halts, and the view ends
    if (message.kind !== 'recover') return true
    const [usable] = message.filesystems
    const [reason] = usable ? recover(to, asked++) : []
    if (!usable) return { ends: [], damaged: [], failed: [] }
    return reason === undefined
      ? { ends: [{ fsid: 1, lsn: 512 }], damaged: [], failed: [] }
      : { ends: [], damaged: [{ fsid: 1, reason }], failed: [] }
  }
  await new Recovery({
    mesh: Object.assign(mesh, { request }) as unknown as Mesh,
    clock: { ...realClock, after: (_ms, run) => realClock.after(0, run) },
    log: silentLog,
    timeline: new Timeline({ node: 'n1', clock: realClock, log: silentLog, tell: () => {} }),
    // slot 2 has left: there is a journal to read
    scanLeases: async () => [sector(0, 1, 'active'), sector(1, 1, 'active'), sector(2, 1, 'clean')],
    fencing: { hasFenced: () => true, fence: async () => {} },
    isolation: { isPending: false, judge: async (_view, found) => found, suspect: () => {} },
    readDatabase: async () => database,
    writeDatabase: async (next) => {
      assert.is(next.generation, database.generation, 'what was read last is replaced')
      return (database = { ...next, generation: next.generation + 1 })
    },
    finishPending: async (_view, found) => found,
    readJournalsToEnd: journals,
    adopt: () => {},
  }).run(members)
  return { notes: notes.filter((note) => !note.startsWith('import')), error: database.filesystems[0]?.error }
}

const whole = ['recover 0', 'recover 1']
const mended = ['hold-checkpoints 0', 'hold-checkpoints 1', 'publish 0', 'publish 1']

test('what one member cannot read the others publish; then it is asked again', async () => {
  const { notes, error } = await runWith((to, asked) => (to === 1 && asked < 2 ? ['bit rot'] : []))
  assert.equal(notes, [...whole, ...mended, ...whole, 'resume 0', 'resume 1'])
  assert.is(error, undefined)
})

test('a member that finds damage whatever is published for it is refused, and holds up nobody', async () => {
  const { notes, error } = await runWith((to) => (to === 1 ? ['bit rot'] : []))
  assert.equal(notes, [
    ...Array(3)
      .fill([...whole, ...mended])
      .flat(),
    ...whole,
    'refuse 1',
  ])
  assert.is(error, undefined)
})

test('a filesystem that no member can read is marked in error, and the matrix goes on without it', async () => {
  const { notes, error } = await runWith(() => ['bit rot'])
  assert.equal(notes, [...whole, ...whole, 'resume 0', 'resume 1'])
  assert.is(error, 'bit rot')
})

test('what the administrator cannot read another member may publish; only when that does not help it is in error', async () => {
  const damaged = new MatrixError('journal-damaged', 'journal of slot 2')
  for (const helps of [true, false]) {
    let reads = 0
    const journals = async () => {
      if (++reads === 1 || !helps) throw damaged
      return [4096]
    }
    const { notes, error } = await runWith(() => [], { journals })
    assert.equal(notes.slice(0, 4), mended)
    assert.is(reads, 2)
    assert.is(error, helps ? undefined : 'journal of slot 2')
  }
})

test('when nobody can publish, the administrator’s damage is the filesystem’s', async () => {
  let reads = 0
  const journals = async () => {
    reads++
    throw new MatrixError('checkpoint-damaged', 'no whole checkpoint')
  }
  const publish = () => {
    throw new MatrixError('not-found', 'no image here')
  }
  const { error } = await runWith(() => [], { journals, publish })
  assert.is(reads, 1)
  assert.is(error, 'no whole checkpoint')
})

test.run()
