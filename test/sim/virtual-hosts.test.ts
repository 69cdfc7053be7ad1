/** Virtual hosts (R23, R30) of a simulated matrix: who has them when something happens to whoever had them; the oracle (addresses.ts) never sees two. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SECTOR_SIZE } from '../../src/base/limits.ts'
import { KiB } from '../../src/base/units.ts'
import { decodeLease } from '../../src/san/lease-sector.ts'
import { leaseOffset } from '../../src/san/lun-layout.ts'
import type { SimAddresses } from './addresses.ts'
import type { SimDisk } from './lun.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { SimWorld } from './world.ts'

const test = suite('sim: virtual hosts')
/** A host that goes back to n1, its primary; with n2 and n3 as backups. */
const BACK = '10.0.0.50'
/** One that stays where it is, if n3 was there first at n3. */
const STAY = '10.0.0.51'

/** Three nodes with the default timings; n1 bears the host. */
async function scene(seed: number, fencing: 'kill' | 'lease' = 'lease') {
  const world = new SimWorld(seed)
  const matrix = new SimMatrix(world, {
    ...{ nodes: 3, journalBytes: 256 * KiB, ioTimeoutMs: 2000, hasVirtualHosts: true },
    fencing: fencing === 'kill' ? ['kill', 'lease'] : ['lease'],
  })
  const addresses = matrix.addresses as SimAddresses
  await world.settle(matrix.format())
  await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  const isAt = (node: SimNode) => addresses.bearers(BACK).join() === node.name
  const [n1, n2, n3] = matrix.nodes as [SimNode, SimNode, SimNode]
  await world.run(world.now + 30_000, () => isAt(n1))
  assert.ok(isAt(n1), `seed ${seed}: it is at ${addresses.bearers(BACK)}`)
  await world.run(world.now + world.prng.between(1_000, 5_000))
  const end = () => {
    for (const { host } of matrix.nodes) host?.crash()
  }
  return { world, matrix, addresses, n1, n2, n3, isAt, end }
}

test('it is at its primary; when that dies, at the first backup within 5 s, and it goes back when all is well again', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { world, matrix, n1, n2, isAt, end } = await scene(seed, 'kill')
    const diedAt = world.now
    matrix.crash(n1)
    await world.run(diedAt + 20_000, () => isAt(n2))
    assert.ok(world.now - diedAt <= 5_000, `seed ${seed}: ${world.now - diedAt} ms`)
    await world.settle(matrix.boot(n1))
    await world.run(world.now + 30_000, () => isAt(n1))
    assert.ok(isAt(n1), `seed ${seed}: it is back`)
    end()
  }
})

test('a node that stands still has lost it before another takes it, and does not get it when it goes on', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { world, n1, n2, isAt, end } = await scene(seed)
    n1.host?.pause()
    await world.run(world.now + 40_000, () => isAt(n2))
    assert.ok(isAt(n2), `seed ${seed}`)
    n1.host?.resume()
    await world.run(world.now + 5_000)
    assert.ok(isAt(n2), `seed ${seed}`)
    end()
  }
})

test('of a matrix that is split only one side has it: that with the administrator', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { world, matrix, addresses, end } = await scene(seed)
    const alone = matrix.nodes.find(({ name }) => name === addresses.bearers(STAY)[0]) as SimNode
    for (const other of matrix.nodes) if (other !== alone) matrix.network.cut(alone.name, other.name)
    await world.run(world.now + 40_000)
    const administrator = matrix.nodes.find(({ core }) => core?.administrator && !core.halted)?.name
    const [bearer, ...others] = addresses.bearers(STAY)
    assert.ok(bearer !== undefined && others.length === 0, `seed ${seed}: ${bearer} ${others}`)
    assert.is(bearer === alone.name, administrator === alone.name, `seed ${seed}`)
    end()
  }
})

test('a node that halts has given it up before it gives its lease back, and nobody waits for the end of that', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { world, matrix, n1, n2, addresses, isAt, end } = await scene(seed)
    addresses.slow.set('n1', 1_000)
    const [disk] = matrix.disks as [SimDisk]
    const { onLanded } = disk
    const isGivenBack = () => decodeLease(0, disk.peek(leaseOffset(0), SECTOR_SIZE))?.state === 'clean'
    let wasOn: boolean | undefined
    disk.onLanded = (write) => {
      onLanded?.(write)
      if (isGivenBack()) wasOn ??= addresses.isOn('n1', BACK)
    }
    const haltedAt = world.now
    n1.core?.halt('for the test')
    await world.run(world.now + 40_000, () => isAt(n2))
    assert.is(wasOn, false, `seed ${seed}: it has said that it is over, and so it was`)
    assert.ok(isAt(n2) && world.now - haltedAt < 8_000, `seed ${seed}: ${world.now - haltedAt} ms`)
    end()
  }
})

test('by hand it goes where it is sent, and stays there; when its service fails there it leaves', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { world, n1, n2, n3, addresses, isAt, end } = await scene(seed)
    addresses.slow.set('n1', 300)
    await world.settle(n2.core?.virtualHosts?.move('back', 'n3') as Promise<void>)
    assert.ok(isAt(n3), `seed ${seed}`)
    await world.run(world.now + 60_000)
    assert.ok(isAt(n3), `seed ${seed}: it stays`)
    addresses.down.add('n3')
    const downAt = world.now
    await world.run(world.now + 20_000, () => isAt(n1))
    assert.ok(world.now - downAt <= 5_000, `seed ${seed}: ${world.now - downAt} ms`)
    let error: unknown
    const refused = n2.core?.virtualHosts?.move('few', 'n1') as Promise<void>
    await world.settle(refused.catch((caught) => (error = caught)))
    assert.match(String(error), 'n1 is not among the nodes of few: n2, n3')
    end()
  }
})

test('a node that stops in good order has given it to another before', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const { world, matrix, n1, n2, isAt, end } = await scene(seed)
    const began = world.now
    const stopping = matrix.stop(n1)
    await world.run(world.now + 5_000, () => isAt(n2))
    assert.ok(isAt(n2), `seed ${seed}`)
    assert.ok(n1.host?.alive, `seed ${seed}: it still writes what it has to`)
    await world.settle(stopping)
    assert.ok(world.now - began < 8_000, `seed ${seed}`)
    end()
  }
})

test.run()
