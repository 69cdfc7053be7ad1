/** What a member does of what it is asked, and of whom: only steps of the view it is in, and only of that view's administrator. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, MatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import type { Mesh, View } from '../../../src/cluster/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { Members, type Mount } from '../../../src/recovery/index.ts'
import { encodeRequest, type RecoveryRequest } from '../../../src/recovery/protocol.ts'
import type { FilesystemRecord } from '../../../src/san/index.ts'

const test = suite('recovery: members')

const record: FilesystemRecord = {
  ...{ name: 'home', uuid: '00000000-0000-4000-8000-000000000001', fsid: 1, luns: [], slots: 3 },
  ...{ journalBytes: 0, checkpointBytes: 0, groupBlocks: 0, seals: [] },
}

const view = (id: number): View => ({
  id,
  members: [0, 1].map((slot) => ({ slot, incarnation: 1, name: `n${slot}`, address: { host: 'h', port: 1 } })),
})

/** A member in view 9, whose administrator is slot 0; `done` is what it has let happen. */
function member(open: () => Promise<void> = async () => {}) {
  const done: string[] = []
  const mesh: { view: View | undefined } = { view: view(9) }
  let administrator: number | undefined = 0
  let answer: (from: number, body: unknown) => Promise<unknown> = async () => {}
  const step = (name: string) => async () => {
    done.push(name)
  }
  const mount = {
    recover: async () => {
      done.push('recover')
      return 512
    },
    ...{ resume: step('resume'), holdCheckpoints: step('hold'), publishHeld: step('publish') },
    ...{ isolate: () => done.push('isolate'), freeze: () => {} },
  } as unknown as Mount
  const members = new Members({
    mesh: Object.assign(mesh, {
      onRequest: (channel: string, handler: typeof answer) => {
        if (channel === 'recovery') answer = handler
      },
      onMessage: () => {},
    }) as unknown as Mesh,
    log: silentLog,
    openMount: async () => {
      await open()
      return mount
    },
    administrator: () => administrator,
    join: step('join'),
    refuse: (reason) => done.push(`refuse ${reason}`),
    serving: () => done.push('serving'),
  })
  return {
    ...{ members, done, mesh },
    asks: (from: number, message: RecoveryRequest) => answer(from, encodeRequest(message)),
    elect: (slot: number | undefined) => {
      administrator = slot
    },
  }
}

const steps = (id: number): RecoveryRequest[] => [
  { kind: 'import', view: id, generation: 1 },
  { kind: 'recover', view: id, filesystems: [record] },
  { kind: 'hold-checkpoints', view: id, fsid: 1 },
  { kind: 'publish', view: id, fsid: 1 },
  { kind: 'resume', view: id, floors: [{ fsid: 1, vector: new Map([[0, 512]]) }] },
  { kind: 'refuse', view: id, reason: 'r' },
]

async function refused(asked: Promise<unknown>, code: MatrixErrorCode, what: string): Promise<void> {
  const error = await asked.then(
    () => undefined,
    (caught) => caught,
  )
  assert.ok(isMatrixError(error, code), `${what}: ${String(error)}`)
}

test('the administrator of this view is obeyed, step by step', async () => {
  const { asks, done } = member()
  const answers: unknown[] = []
  for (const message of steps(9)) answers.push(await asks(0, message))
  assert.equal(answers, [true, { ends: [{ fsid: 1, lsn: 512 }], damaged: [], failed: [] }, true, true, true, true])
  assert.equal(done, ['join', 'recover', 'hold', 'publish', 'serving', 'resume', 'refuse r'])
})

test('steps of a view that has ended, or has not begun here, are refused, and nothing of them is done', async () => {
  const { members, asks, done, mesh } = member()
  await members.mount(record)
  for (const id of [8, 10])
    for (const message of steps(id)) await refused(asks(0, message), 'view-changed', message.kind)
  mesh.view = undefined // blocked, or in none
  for (const message of steps(9)) await refused(asks(0, message), 'view-changed', message.kind)
  assert.equal(done, [])
})

test('whoever is not the administrator is refused, a member or not, and before there is one everybody', async () => {
  const { members, asks, done, elect } = member()
  await members.mount(record)
  for (const from of [1, 2])
    for (const message of steps(9)) await refused(asks(from, message), 'protocol', message.kind)
  elect(undefined)
  for (const message of steps(9)) await refused(asks(0, message), 'protocol', message.kind)
  elect(1)
  for (const message of steps(9)) await refused(asks(0, message), 'protocol', `${message.kind} of the former one`)
  assert.equal(done, [])
})

test('a view that ends while an image is loaded ends the step: the mount is not recovered for it', async () => {
  const { asks, done, mesh } = member(async () => {
    mesh.view = view(10)
  })
  await refused(asks(0, steps(9)[1] as RecoveryRequest), 'view-changed', 'recover')
  assert.equal(done, [])
})

test('damage is told of the filesystem that has it, and that its LUNs fail; anything else fails the step', async () => {
  const torn = member(() => Promise.reject(new MatrixError('checkpoint-damaged', 'no whole checkpoint')))
  assert.equal(await torn.asks(0, steps(9)[1] as RecoveryRequest), {
    ends: [],
    damaged: [{ fsid: 1, reason: 'no whole checkpoint' }],
    failed: [],
  })
  await refused(torn.asks(0, steps(9)[3] as RecoveryRequest), 'not-found', 'publish without an image')
  const cut = member(() => Promise.reject(new MatrixError('lun-io', 'EIO')))
  assert.equal(await cut.asks(0, steps(9)[1] as RecoveryRequest), {
    ends: [],
    damaged: [],
    failed: [{ fsid: 1, reason: 'EIO', ended: false }],
  })
  const full = member(() => Promise.reject(new MatrixError('journal-full', 'full')))
  await refused(full.asks(0, steps(9)[1] as RecoveryRequest), 'journal-full', 'recover')
})

test('what is malformed, or a resume of what was not recovered here, is refused', async () => {
  const { asks, members } = member()
  await refused(asks(0, { kind: 'nonsense', view: 9 } as never), 'protocol', 'nonsense')
  await refused(asks(0, steps(9)[4] as RecoveryRequest), 'protocol', 'resume')
  assert.equal(members.mounts, [])
})

test.run()
