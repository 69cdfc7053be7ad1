/** Adding and removing a LUN, administrator and members: what is on the disk when whoever is told, who waits for whom, and what is refused. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, MatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { MiB } from '../../../src/base/units.ts'
import type { Mesh, View } from '../../../src/cluster/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { LunChanges, LunMembers, Timeline } from '../../../src/recovery/index.ts'
import { decodeLunRequest, type LunAnswer, type LunRequest } from '../../../src/recovery/lun-protocol.ts'
import { type MembershipDatabase, MembershipStore, Partitions, type PendingChange } from '../../../src/san/index.ts'
import { MemoryLun } from '../../helpers/memory-lun.ts'

const test = suite('recovery: LUN change')

const uuid = (n: number) => `00000000-0000-4000-8000-00000000000${n}`
const lun = (n: number) => ({ uuid: uuid(n), name: `lun${n}`, size: 64 * MiB })
const viewOf = (id: number): View => ({
  id,
  members: [0, 1, 2].map((slot) => ({
    ...{ slot, incarnation: 1, name: `n${slot + 1}`, address: { host: 'localhost', port: 1 } },
  })),
})
const done: LunAnswer = { refused: null }
/** Until everything that can go on by itself has. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 5))

type Told = { readonly to: number; readonly change: PendingChange; readonly pending: PendingChange | undefined }

/** An administrator whose members answer as `member` says; lun1 has the partition, a filesystem is on lun2. */
async function setUp(member: (to: number, change: PendingChange) => LunAnswer | Promise<LunAnswer> = () => done) {
  const disk = new MemoryLun(64 * MiB)
  const store = new MembershipStore(new Partitions([disk], { clock: realClock, timings: timingsFrom(400) }), silentLog)
  const filesystem = {
    ...{ name: 'home', uuid: uuid(9), fsid: 1, luns: [uuid(2)], slots: 3, journalBytes: 1, checkpointBytes: 1 },
    ...{ groupBlocks: 1, seals: [] },
  }
  await store.create({ matrixUuid: uuid(8), matrixName: 'm', luns: [lun(1), lun(2)], filesystems: [filesystem] })
  const told: Told[] = []
  const w = {
    disk,
    store,
    told,
    view: viewOf(7),
    resumed: 7,
    isEmptied: false,
    finished: [] as number[],
    relabelling: undefined as string | undefined,
    steps: [] as string[],
    changes: null as unknown as LunChanges,
  }
  const mesh = {
    get view() {
      return w.view
    },
    request: async (to: number, channel: string, body: unknown) => {
      const message = decodeLunRequest(JSON.parse(JSON.stringify(body)))
      assert.equal([channel, message.kind, message.view], ['lun', 'change', w.view.id])
      const { change } = message as Extract<LunRequest, { kind: 'change' }>
      told.push({ to, change, pending: (await store.read()).pending })
      return member(to, change)
    },
  } as unknown as Mesh
  w.changes = new LunChanges({
    ...{ mesh, clock: realClock, log: silentLog },
    timeline: new Timeline({
      ...{ node: 'n1', clock: realClock, log: silentLog, tell: () => {} },
      onEntry: ({ step }) => w.steps.push(step),
    }),
    readDatabase: () => store.readInTurn(),
    writeDatabase: (next) => store.write(next),
    finishChange: (database) => store.finish(database),
    finished: ({ generation }) => void w.finished.push(generation),
    hasResumed: ({ id }) => id === w.resumed,
    mayBearPartition: (of) => of === uuid(1),
    isEmptied: async () => w.isEmptied,
    relabel: async ({ size }) => {
      w.steps.push(`label says ${size}`)
      return w.relabelling
    },
  })
  return w
}

const names = ({ luns }: MembershipDatabase) => luns.map(({ name }) => name)

async function fails(work: Promise<unknown>, code: MatrixErrorCode, says: RegExp): Promise<void> {
  const error = await work.then(
    () => undefined,
    (reason) => reason,
  )
  assert.ok(isMatrixError(error, code), String(error))
  assert.match(error.message, says)
}

test('the new list is written only once all have acknowledged, under the generation that they were told', async () => {
  const answers: (() => void)[] = []
  const w = await setUp(() => new Promise((resolve) => answers.push(() => resolve(done))))
  let complete = false
  const asked = w.changes.ask(w.view, { kind: 'add', lun: lun(3), hint: 'file:/lun3' }).then(() => (complete = true))
  await settle()
  assert.equal([...w.told.map(({ to }) => to), answers.length], [0, 1, 2, 3])
  const between = await w.store.read()
  assert.equal(between.pending, { kind: 'add', lun: lun(3), hint: 'file:/lun3', generation: between.generation + 1 })
  for (const { change, pending } of w.told) assert.equal([change, pending], [between.pending, between.pending])
  assert.equal(names(between), ['lun1', 'lun2'])
  answers[0]?.()
  answers[2]?.()
  await settle()
  assert.equal([await w.store.read(), complete, w.changes.step], [between, false, 'announce'])
  answers[1]?.()
  await asked
  const after = await w.store.read()
  assert.equal([names(after), after.pending], [['lun1', 'lun2', 'lun3'], undefined])
  assert.is(after.generation, between.pending?.generation)
  assert.equal(w.finished, [after.generation])
  assert.equal(w.steps, ['decide add lun3', 'announce add lun3', 'finish add lun3'])
  assert.is(w.changes.step, undefined)
})

test('an add that is refused is taken back, on the disk before anybody is told, and whoever asked hears by whom and why', async () => {
  const w = await setUp((to, { kind }) => ({ refused: to === 1 && kind === 'add' ? 'does not find it' : null }))
  await fails(
    w.changes.ask(w.view, { kind: 'add', lun: lun(3) }),
    'lun-refused',
    /^n2: does not find it\. LUN lun3 was not added$/,
  )
  assert.equal(w.steps, [
    ...['decide add lun3', 'announce add lun3', 'undo remove lun3', 'announce remove lun3', 'finish remove lun3'],
  ])
  for (const { change, pending } of w.told) assert.equal(pending, change, 'what is told is on the disk')
  const [add, remove] = [w.told[0]?.change, w.told[3]?.change]
  assert.ok((remove?.generation ?? 0) > (add?.generation ?? 0))
  const after = await w.store.read()
  assert.equal([names(after), after.pending, after.generation], [['lun1', 'lun2'], undefined, remove?.generation])
})

for (const kind of ['add', 'remove'] as const) {
  test(`what is pending is finished by the next administrator, under a higher generation: ${kind}`, async () => {
    const w = await setUp()
    const first = await w.store.read()
    const luns = [...first.luns, lun(3)]
    const listed = kind === 'remove' ? await w.store.write({ ...first, luns }) : first
    const left = await w.store.write({ ...listed, pending: { kind, lun: lun(3), generation: 0 } })
    const after = await w.changes.finishPending(w.view, left)
    assert.is(w.told.length, 3)
    for (const { change } of w.told) assert.ok(change.generation > (left.pending?.generation ?? 0))
    assert.equal(names(after), kind === 'add' ? ['lun1', 'lun2', 'lun3'] : ['lun1', 'lun2'])
    assert.equal(await w.store.read(), after)
    assert.is(await w.changes.finishPending(w.view, after), after, 'nothing is pending now')
    assert.is(w.told.length, 3)
  })
}

test('whoever asks for what is so already is told that it is; what cannot be is refused, and nothing changes', async () => {
  const w = await setUp()
  const before = await w.store.read()
  await w.changes.ask(w.view, { kind: 'add', lun: lun(2) })
  await w.changes.ask(w.view, { kind: 'remove', uuid: uuid(5) })
  const ask = (n: number, as: object) => w.changes.ask(w.view, { kind: 'add', lun: { ...lun(n), ...as } })
  await fails(ask(2, { name: 'other' }), 'exists', /in matrix m as lun2/)
  await fails(ask(3, { name: 'lun2' }), 'exists', /has a LUN lun2 already/)
  await fails(w.changes.ask(w.view, { kind: 'remove', uuid: uuid(2) }), 'in-use', /filesystem home is on LUN lun2/)
  await fails(w.changes.ask(w.view, { kind: 'remove', uuid: uuid(1) }), 'in-use', /lun1 bears a membership partition/)
  assert.equal(await w.store.read(), before)
  assert.equal(w.told, [])
  const luns = Array.from({ length: 256 }, (_, i) => ({
    ...lun(1),
    name: `l${i}`,
    uuid: `${uuid(0).slice(0, -3)}${i + 100}`,
  }))
  await w.store.write({ ...before, luns, filesystems: [] })
  await fails(ask(3, {}), 'no-space', /256 LUNs/)
})

const lunsOf = ({ filesystems }: MembershipDatabase) => filesystems[0]?.luns
const withSpares = async (w: Awaited<ReturnType<typeof setUp>>) => {
  const first = await w.store.read()
  return w.store.write({ ...first, luns: [...first.luns, lun(3), lun(4)] })
}

test('a filesystem gets a LUN once all have acknowledged it, as the next of its own; the list stays', async () => {
  const w = await setUp()
  const before = await withSpares(w)
  const wish = { kind: 'extend', uuid: uuid(3), fsid: 1 } as const
  await w.changes.ask(w.view, wish)
  assert.equal(w.steps, ['decide extend lun3', 'announce extend lun3', 'finish extend lun3'])
  for (const { change, pending } of w.told) assert.equal(pending, change, 'what is told is on the disk')
  assert.equal(w.told[0]?.change.place, { fsid: 1, index: 1 })
  const after = await w.store.read()
  assert.equal([after.luns, lunsOf(after), after.pending], [before.luns, [uuid(2), uuid(3)], undefined])
  await w.changes.ask(w.view, wish)
  assert.equal(await w.store.read(), after, 'it is so already')
  await w.changes.ask(w.view, { ...wish, uuid: uuid(4) })
  assert.equal(lunsOf(await w.store.read()), [uuid(2), uuid(3), uuid(4)])
})

test('a LUN that a member cannot use for a filesystem is taken back from all, on the disk before anybody is told', async () => {
  const w = await setUp((to, { kind }) => ({
    refused: to === 2 && kind === 'extend' ? 'LUN lun3 is not open here' : null,
  }))
  const before = await withSpares(w)
  const wish = { kind: 'extend', uuid: uuid(3), fsid: 1 } as const
  await fails(
    w.changes.ask(w.view, wish),
    'lun-refused',
    /^n3: LUN lun3 is not open here\. LUN lun3 is not used for it$/,
  )
  assert.equal(w.steps.slice(2), ['undo retract lun3', 'announce retract lun3', 'finish retract lun3'])
  for (const { change, pending } of w.told) assert.equal(pending, change)
  const after = await w.store.read()
  assert.equal([after.luns, lunsOf(after), after.pending], [before.luns, [uuid(2)], undefined])
})

test('a filesystem does not get what is no LUN of the matrix, or another one is on, or while it is in error', async () => {
  const w = await setUp()
  const before = await withSpares(w)
  const extend = (n: number, fsid = 1) => w.changes.ask(w.view, { kind: 'extend', uuid: uuid(n), fsid })
  await fails(extend(5), 'not-found', /does not have that LUN/)
  await fails(extend(3, 9), 'not-found', /no such filesystem/)
  const home = before.filesystems[0] as (typeof before.filesystems)[0]
  const second = { ...home, name: 'second', fsid: 2, luns: [uuid(3)] }
  const both = await w.store.write({ ...before, filesystems: [home, second] })
  await fails(extend(3), 'in-use', /filesystem second is on LUN lun3 already/)
  await w.store.write({ ...both, filesystems: [{ ...home, error: 'broken' }] })
  await fails(extend(3), 'in-use', /home is in error and cannot grow: broken/)
  assert.equal(w.told, [])
})

test('a LUN of a filesystem is drained, or is not after all, and leaves a hole once it is empty', async () => {
  const w = await setUp()
  await withSpares(w)
  const to = (kind: 'drain' | 'refill' | 'vacate', n: number) => w.changes.ask(w.view, { kind, uuid: uuid(n) })
  const state = async () => {
    const [home] = (await w.store.read()).filesystems
    return [home?.luns, home?.draining]
  }
  await w.changes.ask(w.view, { kind: 'extend', uuid: uuid(3), fsid: 1 })
  await fails(to('drain', 2), 'in-use', /lun2 is the first of filesystem home: it carries its journals and checkpoints/)
  await fails(to('drain', 4), 'not-found', /no filesystem is on LUN lun4/)
  await fails(to('vacate', 3), 'in-use', /home has data on LUN lun3/)
  await to('drain', 3)
  await to('drain', 3)
  assert.equal(await state(), [[uuid(2), uuid(3)], [uuid(3)]])
  assert.equal(w.steps.slice(-3), ['decide drain lun3', 'announce drain lun3', 'finish drain lun3'])
  assert.equal(w.told.at(-1)?.change.place, { fsid: 1, index: 1 })
  await fails(w.changes.ask(w.view, { kind: 'remove', uuid: uuid(3) }), 'in-use', /before it is drained/)
  await to('refill', 3)
  await to('refill', 3)
  assert.equal(await state(), [[uuid(2), uuid(3)], undefined])
  w.isEmptied = true
  await fails(to('vacate', 3), 'in-use', /home has data on LUN lun3/)
  await to('drain', 3)
  w.isEmptied = false
  await fails(to('vacate', 3), 'in-use', /home has data on LUN lun3/)
  w.isEmptied = true
  await to('vacate', 3)
  await to('vacate', 3)
  assert.equal(await state(), [[uuid(2), null], undefined])
  await w.changes.ask(w.view, { kind: 'extend', uuid: uuid(4), fsid: 1 })
  assert.equal(
    (await state())[0],
    [uuid(2), null, uuid(4)],
    'block addresses of a LUN that is gone are never used again',
  )
  await w.changes.ask(w.view, { kind: 'remove', uuid: uuid(3) })
  assert.equal(names(await w.store.read()), ['lun1', 'lun2', 'lun4'])
})

test('a LUN that has become larger is used whole once all see it so and its label says so; else it is used as before', async () => {
  let short = true
  const w = await setUp((to, { kind }) => ({
    refused: short && to === 1 && kind === 'enlarge' ? 'sees only 64 MiB' : null,
  }))
  const wish = { kind: 'enlarge', uuid: uuid(2), size: 96 * MiB } as const
  const size = async () => (await w.store.read()).luns[1]?.size
  await fails(w.changes.ask(w.view, wish), 'lun-refused', /n2: sees only 64 MiB\. LUN lun2 is used as before/)
  assert.equal(w.steps.slice(2), ['undo keep lun2', 'announce keep lun2', 'finish keep lun2'])
  assert.equal([w.told[0]?.change.lun.size, w.told[3]?.change.lun.size, await size()], [96 * MiB, 64 * MiB, 64 * MiB])
  short = false
  w.relabelling = 'cannot write the label'
  await fails(w.changes.ask(w.view, wish), 'lun-refused', /cannot write the label/)
  assert.is(await size(), 64 * MiB)
  w.relabelling = undefined
  w.steps.length = 0
  await w.changes.ask(w.view, wish)
  assert.equal(w.steps, [
    ...[
      'decide enlarge lun2',
      'announce enlarge lun2',
      `label says ${96 * MiB}`,
      'label enlarge lun2',
      'finish enlarge lun2',
    ],
  ])
  assert.is(await size(), 96 * MiB)
  await w.changes.ask(w.view, { ...wish, size: 80 * MiB })
  assert.is(await size(), 96 * MiB, 'never less')
})

for (const kind of ['extend', 'retract'] as const) {
  test(`what a filesystem was to get is settled by the next administrator: ${kind}`, async () => {
    const w = await setUp()
    const place = { fsid: 1, index: 1 }
    const left = await w.store.write({ ...(await withSpares(w)), pending: { kind, lun: lun(3), place, generation: 0 } })
    const after = await w.changes.finishPending(w.view, left)
    for (const { change } of w.told) assert.ok(change.generation > (left.pending?.generation ?? 0))
    assert.equal(lunsOf(after), kind === 'extend' ? [uuid(2), uuid(3)] : [uuid(2)])
  })
}

test('a LUN goes as it came; changes that are asked for at once go one after another', async () => {
  let open = 0
  let most = 0
  const w = await setUp(async () => {
    most = Math.max(most, ++open)
    await settle()
    open--
    return done
  })
  await Promise.all([
    w.changes.ask(w.view, { kind: 'add', lun: lun(3) }),
    w.changes.ask(w.view, { kind: 'add', lun: lun(4) }),
    w.changes.ask(w.view, { kind: 'remove', uuid: uuid(3) }),
  ])
  assert.equal(names(await w.store.read()), ['lun1', 'lun2', 'lun4'])
  assert.is(most, 3, 'three members, one change')
})

test('nothing is begun before the view has resumed; when it ends, what is pending stays for the next', async () => {
  const w = await setUp(() => {
    w.view = viewOf(8)
    throw new MatrixError('view-changed', 'the view ended')
  })
  w.resumed = 6
  await fails(w.changes.ask(w.view, { kind: 'add', lun: lun(3) }), 'view-changed', /recovering/)
  assert.is((await w.store.read()).pending, undefined)
  w.resumed = 7
  await fails(w.changes.ask(w.view, { kind: 'add', lun: lun(3) }), 'view-changed', /ask again/)
  const left = await w.store.read()
  assert.equal([left.pending?.kind, names(left)], ['add', ['lun1', 'lun2']])
  await fails(w.changes.ask(viewOf(7), { kind: 'add', lun: lun(4) }), 'view-changed', /view 7 has ended/)
  assert.equal(await w.store.read(), left)
})

test('what fails is tried again under a generation that nobody has been told', async () => {
  let failures = 0
  const w = await setUp()
  w.disk.onIo = ({ purpose }) => {
    // the second write is 1608
    if (purpose === 'membership' && ++failures === 2) throw new MatrixError('lun-io', 'no')
  }
  await w.changes.ask(w.view, { kind: 'add', lun: lun(3) })
  const told = w.told.map(({ change }) => change.generation)
  assert.is(told.length, 6)
  assert.is(new Set(told).size, 2)
  const after = await w.store.read()
  assert.equal([names(after), after.generation], [['lun1', 'lun2', 'lun3'], told[5]])
})

// ── members ──

function member(view: View | undefined, administrator: number | undefined) {
  const done: string[] = []
  let handler: ((from: number, body: unknown) => unknown) | undefined
  const state = { view, administrator, asked: [] as unknown[] }
  const members = new LunMembers({
    mesh: {
      self: 1,
      get view() {
        return state.view
      },
      onRequest: (_channel: string, run: typeof handler) => (handler = run),
      request: async (...asked: unknown[]) => void state.asked.push(asked),
    } as unknown as Mesh,
    administrator: () => state.administrator,
    tryLun: async (uuid) => (uuid === 'sick' ? 'it is' : undefined),
    left: () => [7],
    isolation: {
      told: (...told) => void done.push(`told ${told.slice(1).join(' ')}`),
      restore: async (_view, fsid) => void done.push(`restore ${fsid}`),
    },
    luns: {
      add: async (record, hint, check) => {
        check()
        done.push(`add ${record.name} ${hint}`)
        return record.name === 'lun5' ? 'does not find it' : undefined
      },
      remove: async (record, check) => {
        check()
        done.push(`remove ${record.name}`)
        return undefined
      },
      resize: async ({ name, size }, check) => {
        check()
        done.push(`resize ${name} ${size}`)
        return name === 'lun5' ? 'sees only 1 MiB' : undefined
      },
      whyNot: ({ name }) => (name === 'lun5' ? 'does not have it' : undefined),
    },
    look: async () => [{ uuid: uuid(3), path: '/lun3', size: 5, state: 'up' }],
    lunsOfAll: () => [{ resize: (of) => void done.push(`resized ${of.at(-1)}`) }],
    lunsOf: (fsid) =>
      fsid === 1
        ? {
            change: ({ kind, place: { index }, lun: { uuid: of } }) => void done.push(`${kind} ${index} ${of.at(-1)}`),
          }
        : undefined,
    changes: { ask: async (_view, wish) => void done.push(`ask ${wish.kind}`) },
  })
  const tell = async (from: number, body: LunRequest) => handler?.(from, body)
  return { members, state, tell, done }
}

const change = (kind: 'add' | 'remove', n: number, generation: number, view = 7): LunRequest => ({
  ...{ kind: 'change', view },
  change: { kind, lun: lun(n), generation, ...(kind === 'add' && { hint: 'file:/x' }) },
})

test('a member does what the administrator of its view says, again when told again, and nothing older than the last', async () => {
  const { tell, done, state } = member(viewOf(7), 2)
  assert.equal(await tell(2, change('add', 3, 12)), { refused: null })
  assert.equal(await tell(2, change('add', 3, 12)), { refused: null })
  assert.equal(await tell(2, change('add', 5, 14)), { refused: 'does not find it' })
  assert.equal(await tell(2, change('remove', 3, 16)), { refused: null })
  await fails(tell(2, change('add', 3, 14)), 'protocol', /SAN generation 14 after 16/)
  await fails(tell(0, change('add', 3, 18)), 'protocol', /slot 0 is not the administrator/)
  await fails(tell(2, change('add', 3, 18, 6)), 'view-changed', /not 6/)
  state.administrator = undefined
  await fails(tell(2, change('add', 3, 18)), 'protocol', /not the administrator/)
  assert.equal(done, ['add lun3 file:/x', 'add lun3 file:/x', 'add lun5 file:/x', 'remove lun3'])
})

test('a member uses a LUN for a filesystem as it is told, also when it has not mounted that yet, but for one that it has not', async () => {
  const { tell, done } = member(viewOf(7), 2)
  const place = (kind: 'extend' | 'retract', n: number, generation: number, fsid = 1): LunRequest => ({
    ...{ kind: 'change', view: 7 },
    change: { kind, lun: lun(n), generation, place: { fsid, index: 3 } },
  })
  assert.equal(await tell(2, place('extend', 3, 12)), { refused: null })
  assert.equal(await tell(2, place('extend', 5, 14)), { refused: 'does not have it' })
  assert.equal(await tell(2, place('retract', 5, 15)), { refused: null })
  assert.equal(await tell(2, place('extend', 3, 17, 2)), { refused: null })
  await fails(tell(2, place('extend', 3, 16)), 'protocol', /SAN generation 16 after 17/)
  assert.equal(done, ['extend 3 3', 'retract 3 5'])
})

test('a member uses a LUN in its new size, and tells its filesystems, or says why it cannot', async () => {
  const { tell, done } = member(viewOf(7), 2)
  const resize = (kind: 'enlarge' | 'keep', n: number, generation: number): LunRequest => ({
    ...{ kind: 'change', view: 7 },
    change: { kind, lun: lun(n), generation },
  })
  assert.equal(await tell(2, resize('enlarge', 3, 12)), { refused: null })
  assert.equal(await tell(2, resize('enlarge', 5, 14)), { refused: 'sees only 1 MiB' })
  assert.equal(await tell(2, resize('keep', 3, 16)), { refused: null })
  const bytes = 64 * MiB
  assert.equal(done, [`resize lun3 ${bytes}`, 'resized 3', `resize lun5 ${bytes}`, `resize lun3 ${bytes}`, 'resized 3'])
})

test('anybody of the view is told how this node sees the LUNs', async () => {
  const { tell } = member(viewOf(7), 2)
  assert.equal(await tell(0, { kind: 'look', view: 7 }), [{ uuid: uuid(3), path: '/lun3', size: 5, state: 'up' }])
  await fails(tell(0, { kind: 'look', view: 6 }), 'view-changed', /not 6/)
})

test('the administrator is asked; who is none passes nothing on', async () => {
  const { members, tell, done, state } = member(viewOf(7), 2)
  const wish = { kind: 'remove', uuid: uuid(3) } as const
  await members.ask(wish)
  assert.equal((state.asked[0] as unknown[]).slice(0, 3), [2, 'lun', { kind: 'ask', view: 7, wish }])
  await fails(tell(0, { kind: 'ask', view: 7, wish }), 'view-changed', /not the administrator any more/)
  state.administrator = 1
  assert.is(await tell(0, { kind: 'ask', view: 7, wish }), null)
  assert.equal(done, ['ask remove'])
  state.administrator = undefined
  await fails(members.ask(wish), 'view-changed', /no administrator/)
})

test('bad input: what is no LUN message is refused', async () => {
  const { tell } = member(viewOf(7), 2)
  for (const body of [null, {}, { kind: 'ask', view: 7 }, { ...change('add', 3, 1), extra: 1 }, change('add', 3, 0)])
    await fails(tell(2, body as LunRequest), 'protocol', /LUN message/)
})

test.run()
