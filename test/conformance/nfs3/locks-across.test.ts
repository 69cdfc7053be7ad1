/** NLM of a whole matrix: a lock taken through one node is every node's, and outlives it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as n from '../../../src/gateway-nfs/nlm/tables.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'
import { hostPortmapPort, NlmHost } from '../../helpers/nlm-host.ts'

const clientPortmapPort = hostPortmapPort()
const world = await makeNfsMatrix({ nodes: 3, announces: true, clientPortmapPort })
const hosts = new Set<NlmHost>()

/** Host `number`, which speaks to node `node`. */
async function host(number: number, node: number, name = `host${number}`): Promise<NlmHost> {
  const { port } = world.served[node]!
  const made = await NlmHost.start({ address: `127.9.1.${number}`, name, portmapPort: clientPortmapPort, port })
  hosts.add(made)
  return made
}
async function gone(...which: NlmHost[]): Promise<void> {
  for (const each of which) {
    hosts.delete(each)
    await each.close()
  }
}
const newFile = (name: string) => world.any().create(world.root, name)

test('NLMX1 what is locked at one node is denied, tested and freed at another', async () => {
  const file = await newFile('NLMX1')
  const [one, two] = [await host(1, 0), await host(2, 1)]
  assert.is(await one.lock({ file, offset: 4, length: 4 }), n.NLM4_GRANTED)
  assert.is(await two.lock({ file }), n.NLM4_DENIED)
  const { value } = await two.test({ file })
  assert.equal([value?.offset, value?.length, value?.ownerHandle.toString()], [4n, 4n, '1@host1'])
  await gone(one)
  const same = await host(1, 2)
  assert.is(await same.unlock({ file }), n.NLM4_GRANTED, 'the same client through a third node')
  assert.is(await two.lock({ file }), n.NLM4_GRANTED)
  await two.unlock({ file })
  await gone(same, two)
})

test('NLMX2 who waits at one node is granted what another gave up, soon', async () => {
  const file = await newFile('NLMX2')
  const [one, two, three] = [await host(1, 0), await host(2, 1), await host(3, 2)]
  await one.lock({ file })
  assert.is(await two.lock({ file, block: true }), n.NLM4_BLOCKED)
  assert.is(await three.lock({ file, block: true }), n.NLM4_BLOCKED)
  await one.unlock({ file })
  await two.next('GRANTED')
  assert.is(three.heard.length, 0)
  await two.unlock({ file })
  await three.next('GRANTED')
  await three.unlock({ file })
  await gone(one, two, three)
})

test('NLMX3 a circle over nodes is a deadlock', async () => {
  const file = await newFile('NLMX3')
  const [one, two] = [await host(1, 0), await host(2, 1)]
  const [a, b] = [
    { offset: 0, length: 1 },
    { offset: 1, length: 1 },
  ]
  await one.lock({ file, ...a })
  await two.lock({ file, ...b })
  assert.is(await one.lock({ file, ...b, block: true }), n.NLM4_BLOCKED)
  const status = await two.lock({ file, ...a, block: true })
  // told in the answer, or when it asks again
  if (status === n.NLM4_BLOCKED) {
    await new Promise((resolve) => setTimeout(resolve, 500))
    assert.is(await two.lock({ file, ...a, block: true }), n.NLM4_DEADLCK)
  } else assert.is(status, n.NLM4_DEADLCK)
  await two.unlock({ file })
  await one.next('GRANTED')
  await one.unlock({ file })
  await gone(one, two)
})

test('NLMX4 a restart that is told at one node frees locks taken at all; told late at another, it frees none of the new life', async () => {
  const file = await newFile('NLMX4')
  const [atFirst, atSecond] = [await host(1, 0), await host(1, 1).catch(() => undefined)]
  assert.is(atSecond, undefined, 'one host has one port mapper')
  assert.is(await atFirst.lock({ file, length: 1, state: 5 }), n.NLM4_GRANTED)
  await gone(atFirst)
  const second = await host(1, 1)
  assert.is(await second.lock({ file, offset: 1, state: 5 }), n.NLM4_GRANTED)
  await second.nsm('NOTIFY', { name: 'host1', state: 7 })
  const other = await host(2, 2)
  assert.equal(await other.test({ file }), { kind: n.NLM4_GRANTED, value: undefined })
  assert.is(await second.lock({ file, state: 7 }), n.NLM4_GRANTED, 'the new life')
  await gone(second)
  for (const node of [0, 2]) {
    const late = await host(1, node)
    await late.nsm('NOTIFY', { name: 'host1', state: 7 })
    await gone(late)
  }
  assert.is((await other.test({ file })).kind, n.NLM4_DENIED)
  const last = await host(1, 0)
  await last.nsm('NOTIFY', { name: 'host1', state: 9 })
  assert.is((await other.test({ file })).kind, n.NLM4_GRANTED)
  await gone(last, other)
})

test('NLMX5 a node goes, and the locks of its clients stay; whoever adopts them tells them', async () => {
  const file = await newFile('NLMX5')
  const [lost, other] = [await host(1, 2), await host(2, 0)]
  assert.is(await lost.lock({ file, state: 3 }), n.NLM4_GRANTED)
  world.served[2]!.server.abandon()
  await world.matrix.lose(2)
  assert.is(await other.lock({ file }), n.NLM4_DENIED)
  await world.matrix.nodes[1]!.fs.adoptSlot(2)
  const { args } = await lost.next('NOTIFY', 20_000)
  assert.is((args as { name: string }).name, 'matrix')
  await gone(lost)
  const again = await host(1, 1)
  assert.is(await again.lock({ file, reclaim: true }), n.NLM4_GRANTED)
  assert.is(await other.lock({ file, block: true }), n.NLM4_BLOCKED)
  await again.unlock({ file })
  await other.next('GRANTED')
  await gone(again, other)
})

test.after(async () => {
  await gone(...hosts)
  for (const each of world.served) await each.close()
  await world.matrix.close()
})
test.run()
