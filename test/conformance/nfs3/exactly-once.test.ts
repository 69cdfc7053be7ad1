/** ONCE: a change that is asked for again at another node, over another connection and from another port, is answered as done (R127). */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as c from '../../../src/gateway-nfs/v3/constants.ts'
import type { ArgsOf, ProcedureName } from '../../../src/gateway-nfs/v3/tables.ts'
import { type NfsClient, unset } from '../../helpers/nfs-client.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'

const world = await makeNfsMatrix({ nodes: 3 })
const { clients, root } = world
const [n1, n2, n3] = clients as [NfsClient, NfsClient, NfsClient]
const attributes = { ...unset, mode: 0o755 }

type Answer = { status: number; ok?: { object?: Buffer | undefined; after?: unknown } }

/** Asks at every node by one request, at the first one twice, and gives the answers. */
async function everywhere<N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<readonly Answer[]> {
  const xid = n1.nextXid()
  const answers: Answer[] = []
  for (const client of [n1, n2, n3, n1, n2]) answers.push((await client.call(name, args, xid)) as Answer)
  return answers
}

type Case = readonly [name: ProcedureName, make: (dir: Buffer) => Promise<unknown>]
const cases: readonly Case[] = [
  ['CREATE', async (dir) => ({ dir, name: 'new', how: { kind: 1, value: { ...unset, mode: 0o600 } } })],
  ['MKDIR', async (dir) => ({ dir, name: 'new', attributes })],
  ['SYMLINK', async (dir) => ({ dir, name: 'new', attributes: unset, target: 'somewhere' })],
  ['MKNOD', async (dir) => ({ dir, name: 'new', what: { kind: 7, value: { attributes } } })],
  ['REMOVE', async (dir) => ({ dir, name: 'old', made: await n1.create(dir, 'old') })],
  ['RMDIR', async (dir) => ({ dir, name: 'old', made: await n1.mkdir(dir, 'old') })],
  [
    'RENAME',
    async (dir) => ({ fromDir: dir, fromName: 'old', toDir: dir, toName: 'new', made: await n1.create(dir, 'old') }),
  ],
  ['LINK', async (dir) => ({ object: await n1.create(dir, 'old'), dir, name: 'new' })],
  [
    'SETATTR',
    async (dir) => {
      const object = await n1.create(dir, 'old')
      const guardCtime = (await n1.ok('GETATTR', { object })).attributes.ctime
      return { object, attributes, guardCtime }
    },
  ],
]

for (const [name, make] of cases)
  test(`ONCE1 ${name} is done once and answered as done wherever it is asked for`, async () => {
    const dir = await n1.mkdir(root, `ONCE1-${name}`)
    const args = (await make(dir)) as ArgsOf<ProcedureName>
    const answers = await everywhere(name, args)
    assert.equal(
      answers.map(({ status }) => status),
      [0, 0, 0, 0, 0],
    )
    const objects = answers.map(({ ok }) => ok?.object?.toString('hex'))
    assert.is(new Set(objects).size, 1, 'and with the same handle')
    if (['CREATE', 'MKDIR', 'SYMLINK', 'MKNOD'].includes(name)) assert.ok(objects[0])
    // the next request is another, and finds it done
    const next = await n2.status(name, args)
    const expected: Partial<Record<ProcedureName, number>> = {
      REMOVE: c.NFS3ERR_NOENT,
      RMDIR: c.NFS3ERR_NOENT,
      RENAME: c.NFS3ERR_NOENT,
      SETATTR: c.NFS3ERR_NOT_SYNC,
    }
    assert.is(next, expected[name] ?? c.NFS3ERR_EXIST)
  })

test('ONCE2 what it made is gone: the answer is the same, without a handle', async () => {
  const dir = await n1.mkdir(root, 'ONCE2')
  const xid = n1.nextXid()
  const args = { dir, name: 'gone', attributes }
  assert.is(((await n1.call('MKDIR', args, xid)) as Answer).status, 0)
  await n2.ok('RMDIR', { dir, name: 'gone' })
  const again = (await n3.call('MKDIR', args, xid)) as Answer
  assert.is(again.status, 0)
  assert.is(again.ok?.object, undefined)
  assert.is(await n1.status('LOOKUP', { dir, name: 'gone' }), c.NFS3ERR_NOENT)
})

test('ONCE3 its directory is gone as well', async () => {
  const dir = await n1.mkdir(root, 'ONCE3')
  await n1.create(dir, 'file')
  const xid = n1.nextXid()
  assert.is(((await n1.call('REMOVE', { dir, name: 'file' }, xid)) as Answer).status, 0)
  await n2.ok('RMDIR', { dir: root, name: 'ONCE3' })
  assert.is(((await n3.call('REMOVE', { dir, name: 'file' }, xid)) as Answer).status, 0)
})

test('ONCE4 another user, another argument or another procedure with the same number is another request', async () => {
  const dir = await n1.mkdir(root, 'ONCE4', 0o777)
  const xid = n1.nextXid()
  assert.is(((await n1.call('MKDIR', { dir, name: 'd', attributes }, xid)) as Answer).status, 0)
  n2.user = { uid: 1000, gid: 1000 }
  assert.is(((await n2.call('MKDIR', { dir, name: 'd', attributes }, xid)) as Answer).status, c.NFS3ERR_EXIST)
  n2.user = { uid: 0, gid: 0 }
  assert.is(((await n2.call('MKDIR', { dir, name: 'e', attributes }, xid)) as Answer).status, 0)
  await n1.create(dir, 'f')
  const other = n1.nextXid()
  assert.is(((await n1.call('REMOVE', { dir, name: 'f' }, other)) as Answer).status, 0)
  assert.is(((await n2.call('RMDIR', { dir, name: 'f' }, other)) as Answer).status, c.NFS3ERR_NOENT)
})

test('ONCE5 both nodes are asked at the same time', async () => {
  const dir = await n1.mkdir(root, 'ONCE5')
  for (let round = 0; round < 50; round++) {
    const args = { dir, name: `f${round}`, how: { kind: 1, value: { ...unset, mode: 0o600 } } } as const
    const xid = n1.nextXid()
    const answers = (await Promise.all([n1, n2].map((client) => client.call('CREATE', args, xid)))) as Answer[]
    assert.equal(
      answers.map(({ status }) => status),
      [0, 0],
      `round ${round}`,
    )
    assert.equal(answers[0]?.ok?.object, answers[1]?.ok?.object)
  }
})

test.after(() => world.close())
test.run()
