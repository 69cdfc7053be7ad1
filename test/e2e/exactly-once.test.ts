/**
 * A client's node is killed with changes of every kind under way, and the client asks for all of them again at another node, those that were
 * answered, too: as if no answer had reached it. Each is answered as done, and has been done once.
 */
// time limit: 240 s
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ArgsOf, ProcedureName } from '../../src/gateway-nfs/v3/tables.ts'
import { NfsClient, unset } from '../helpers/nfs-client.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { NfsTree } from './nfs-tree.ts'

/** Of each kind; some have been answered, some are under way and some not yet sent on when the node dies. */
const CHANGES = 60
const JUKEBOX = 10008

const demo = new Demo({ nodes: 3, lunSize: '512MiB', basePort: await freeBasePort(3) })

type Request = { readonly name: ProcedureName; readonly args: never; readonly xid: number }

test('every change that was under way at a killed node is done once (R127)', async () => {
  await demo.start()
  const n1 = await NfsTree.connect(demo.node('n1'))
  const dir = await n1.makePath('once')
  const { client } = n1
  const requests: Request[] = []
  const ask = <N extends ProcedureName>(name: N, args: ArgsOf<N>) => {
    requests.push({ name, args: args as never, xid: client.nextXid() })
  }
  for (let k = 0; k < CHANGES; k++) {
    for (const old of ['removed', 'moved', 'linked']) await client.create(dir, `${old}${k}`)
    await client.mkdir(dir, `directory${k}`)
    ask('CREATE', { dir, name: `made${k}`, how: { kind: 1, value: { ...unset, mode: 0o600 } } })
    ask('MKDIR', { dir, name: `madedir${k}`, attributes: { ...unset, mode: 0o755 } })
    ask('SYMLINK', { dir, name: `madelink${k}`, attributes: unset, target: 'x' })
    ask('REMOVE', { dir, name: `removed${k}` })
    ask('RMDIR', { dir, name: `directory${k}` })
    ask('RENAME', { fromDir: dir, fromName: `moved${k}`, toDir: dir, toName: `here${k}` })
    ask('LINK', { object: await client.lookup(dir, `linked${k}`), dir, name: `again${k}` })
  }
  const answered = new Map<number, unknown>()
  const calls = requests.map(({ name, args, xid }) =>
    client.call(name, args, xid).then((answer) => {
      // in the middle of it: a connection has fewer requests under way than these
      if (answered.size === 0) demo.kill('n1')
      answered.set(xid, answer)
    }),
  )
  await Promise.allSettled(calls)
  assert.ok(answered.size < requests.length, 'the node died with requests under way')

  const again = await NfsClient.connect(demo.node('n2').nfs.port, { host: '127.0.0.1' })
  again.user = client.user
  for (const { name, args, xid } of requests) {
    const first = answered.get(xid) as { status: number; ok?: { object?: Buffer } } | undefined
    if (first) assert.is(first.status, 0)
    let second = (await again.call(name, args, xid)) as NonNullable<typeof first>
    while (second.status === JUKEBOX) second = (await again.call(name, args, xid)) as NonNullable<typeof first>
    assert.is(second.status, 0, `${name} ${xid}, which was ${first ? 'answered' : 'not answered'} before`)
    if (first?.ok?.object && name !== 'LINK') assert.equal(second.ok?.object, first.ok.object, 'the same object')
  }
  const expected = ['made', 'madedir', 'madelink', 'here', 'linked', 'again']
  const names = expected.flatMap((each) => Array.from({ length: CHANGES }, (_, k) => `${each}${k}`))
  for (const node of ['n2', 'n3']) {
    const tree = await NfsTree.connect(demo.node(node))
    const found = (await tree.client.list(dir)).filter((each) => !each.startsWith('.'))
    assert.equal(found.sort(), names.toSorted())
    tree.close()
  }
  await again.close()
  assert.match(demo.check(), /filesystem home is sound/)
})

test.after(() => demo.dispose())
test.run()
