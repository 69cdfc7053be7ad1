import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../src/base/errors.ts'
import { ClusterHarness, type HarnessOptions } from './cluster-harness.ts'
import { SimWorld } from './world.ts'

const test = suite('sim: cluster')

/** Restarts, joins and expulsions after a heal are over within this many virtual ms. */
const SETTLE_MS = 40_000

function matrix(seed: number, count: number, options?: HarnessOptions) {
  const world = new SimWorld(seed)
  return { world, cluster: new ClusterHarness(world, count, options) }
}

async function agreement(cluster: ClusterHarness, withinMs = SETTLE_MS): Promise<number> {
  const { world } = cluster
  const start = world.now
  await world.run(start + withinMs, () => cluster.agreed())
  if (!cluster.agreed()) throw new Error(`seed ${world.seed}: no agreement after ${withinMs} ms: ${cluster.describe()}`)
  return world.now - start
}

test('R48: nodes that start together form one view of all, without waiting for their patience to end', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { cluster } = matrix(seed, 1 + (seed % 5))
    cluster.startAll()
    assert.ok((await agreement(cluster)) < 1500)
    for (const life of cluster.alive()) assert.is(life.views.length, 1)
  }
})

test('a node alone forms a view when its patience ends; a later one is taken in', async () => {
  const { cluster, world } = matrix(1, 2)
  cluster.start(1)
  assert.ok((await agreement(cluster)) >= cluster.timings.joinPatienceMs)
  const first = cluster.lives.get(1)!.views.at(-1)!
  cluster.start(0)
  await agreement(cluster)
  assert.is(cluster.lives.get(1)!.views.length, 2)
  assert.ok(cluster.lives.get(0)!.views[0]!.id > first.id)
  assert.is(world.seed, 1)
})

test('R49, R52: a killed process is out of the view as soon as its sockets close', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 3)
    cluster.startAll()
    await agreement(cluster)
    cluster.crash(world.prng.below(3), 'process')
    assert.ok((await agreement(cluster)) < 100)
  }
})

test('R50, R52: a machine that dies without a word is suspected by its silence', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 4)
    cluster.startAll()
    await agreement(cluster)
    cluster.crash(world.prng.below(4), 'machine')
    const { suspectMs, heartbeatMs } = cluster.timings
    assert.ok((await agreement(cluster)) < suspectMs + 3 * heartbeatMs)
    assert.is(cluster.expulsions, 0)
  }
})

test('R49: at rest no view changes', async () => {
  const { cluster, world } = matrix(3, 5)
  cluster.startAll()
  await agreement(cluster)
  await world.run(world.now + 120_000)
  for (const life of cluster.alive()) assert.is(life.views.length, 1)
  assert.ok(cluster.delivered > 10_000)
})

test('a restart faster than its detection: the old life is out and the new one in', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { cluster, world } = matrix(seed, 3)
    cluster.startAll()
    await agreement(cluster)
    const slot = world.prng.below(3)
    const before = world.prng.pick(cluster.slots.filter((other) => other !== slot))
    cluster.crash(slot, seed % 2 ? 'machine' : 'process')
    cluster.start(slot)
    await agreement(cluster)
    const view = cluster.lives.get(before)!.views.at(-1)!
    assert.is(view.members.find((member) => member.slot === slot)!.incarnation, 2)
    assert.is(cluster.expulsions, 0)
  }
})

test('a clean leave: the others go on at once, nobody is expelled', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const { cluster, world } = matrix(seed, 3)
    cluster.startAll()
    await agreement(cluster)
    const start = world.now
    await world.settle(cluster.leave(seed % 3))
    assert.ok(world.now - start < 100, `left after ${world.now - start} ms`)
    assert.ok((await agreement(cluster)) < 100)
    assert.is(cluster.expulsions, 0)
  }
})

test('all leave at once: nobody waits for another', async () => {
  const { cluster, world } = matrix(5, 4)
  cluster.startAll()
  await agreement(cluster)
  const start = world.now
  await world.settle(Promise.all(cluster.slots.map((slot) => cluster.leave(slot))))
  assert.ok(world.now - start < 1000, `left after ${world.now - start} ms`)
})

test('a split in two: each side goes on alone; healed, the smaller side is expelled and comes back', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 5)
    cluster.startAll()
    await agreement(cluster)
    const small = [seed % 5, (seed + 2) % 5]
    const large = cluster.slots.filter((slot) => !small.includes(slot))
    for (const one of small) for (const other of large) cluster.network.cut(`n${one}`, `n${other}`)
    await world.run(world.now + 15_000)
    for (const slot of small) assert.is(cluster.lives.get(slot)!.views.at(-1)!.members.length, 2)
    for (const slot of large) assert.is(cluster.lives.get(slot)!.views.at(-1)!.members.length, 3)
    cluster.network.healAll()
    await agreement(cluster)
    for (const slot of large)
      assert.is(cluster.lives.get(slot)!.member.incarnation, 1, `slot ${slot} of the larger side restarted`)
    for (const slot of small) assert.ok(cluster.lives.get(slot)!.member.incarnation >= 2)
  }
})

test('two that formed views alone and served nobody merge without a restart', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 2)
    cluster.serving = false
    cluster.network.cut('n0', 'n1')
    cluster.startAll()
    await world.run(10_000)
    assert.ok(cluster.alive().every((life) => life.views.at(-1)?.members.length === 1))
    cluster.network.healAll()
    await agreement(cluster)
    assert.is(cluster.expulsions, 0)
  }
})

test('a cut between two of four: the matrix goes on without one of them', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 4)
    cluster.startAll()
    await agreement(cluster)
    if (seed % 2) cluster.network.cut('n1', 'n3')
    else cluster.network.cutOneWay('n1', 'n3')
    await world.run(world.now + 20_000)
    const survivors = cluster.alive().filter((life) => !life.blocked && life.views.at(-1)?.members.length === 3)
    assert.is(survivors.length, 3, cluster.describe())
    cluster.network.healAll()
    await agreement(cluster)
  }
})

test('a node that stood still too long is left out, finds out, and comes back', async () => {
  const { cluster, world } = matrix(9, 3)
  cluster.startAll()
  await agreement(cluster)
  const { host } = cluster.lives.get(0)!
  host.pause()
  await world.run(world.now + 10_000)
  host.resume()
  await agreement(cluster)
  assert.is(cluster.expulsions, 1)
  assert.is(cluster.lives.get(0)!.member.incarnation, 2)
})

test('a short stall costs nothing', async () => {
  const { cluster, world } = matrix(10, 3)
  cluster.startAll()
  await agreement(cluster)
  for (const slot of cluster.slots) {
    const { host } = cluster.lives.get(slot)!
    host.pause()
    await world.run(world.now + cluster.timings.suspectMs * 0.7)
    host.resume()
    await world.run(world.now + 3_000)
  }
  for (const life of cluster.alive()) assert.is(life.views.length, 1)
})

test('requests: answered; ended by a change of view; refused for strangers', async () => {
  const { cluster, world } = matrix(4, 3)
  cluster.startAll()
  await agreement(cluster)
  const mesh = cluster.lives.get(0)!.node.mesh
  const body = { a: [1, 2.5, null, 'x'], bytes: Buffer.from('abc') }
  assert.equal(await world.settle(mesh.request(1, 'volume', body)), body)
  assert.equal(await world.settle(mesh.request(0, 'volume', body)), body)
  const failure = (promise: Promise<unknown>) =>
    world.settle(
      promise.then(
        () => undefined,
        (error: unknown) => error,
      ),
    )
  assert.ok(isMatrixError(await failure(mesh.request(9, 'volume', body)), 'peer-gone'))
  assert.ok(isMatrixError(await failure(mesh.request(1, 'admin', body)), 'not-found'))
  cluster.lives.get(2)!.host.pause()
  const asked = mesh.request(2, 'volume', body)
  assert.ok(isMatrixError(await failure(mesh.request(2, 'volume', body, 50)), 'timeout'))
  assert.ok(isMatrixError(await failure(asked), 'view-changed'))
})

/** Cuts every pair on one network: it is gone. */
function cutNetwork({ network, slots }: ClusterHarness, number: number): void {
  for (const one of slots) for (const other of slots) if (one < other) network.cut(`n${one}`, `n${other}`, number)
}

test('two networks: one is lost, the view stays and nothing is lost or reordered; healed, all move back', async () => {
  const silences: number[] = []
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 3, { networks: 2 })
    cluster.startAll()
    await agreement(cluster)
    assert.ok(cluster.links().every(({ network }) => network === 0))
    const before = cluster.delivered
    const start = world.now
    cutNetwork(cluster, 0)
    await world.run(world.now + 20_000, () => cluster.links().every(({ network }) => network === 1))
    silences.push(world.now - start)
    await world.run(world.now + 30_000)
    for (const life of cluster.alive()) assert.is(life.views.length, 1, cluster.describe())
    assert.ok(cluster.delivered - before > 3_000)
    assert.ok(cluster.links().some(({ resent }) => resent > 0))
    cluster.network.healAll()
    await world.run(world.now + 20_000, () => cluster.links().every(({ network }) => network === 0))
    await world.run(world.now + 5_000)
    assert.ok(cluster.links().every(({ network, moves }) => network === 0 && moves === 2))
    for (const life of cluster.alive()) assert.is(life.views.length, 1)
    const { suspectMs } = cluster.timings
    assert.ok(
      silences.every((ms) => ms < suspectMs * 0.7),
      `moved after ${silences.join(', ')} ms`,
    )
  }
})

test('two networks: a cut in one direction, between two nodes only, moves their link alone', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 3, { networks: 2 })
    cluster.startAll()
    await agreement(cluster)
    if (seed % 2) cluster.network.cutOneWay('n0', 'n2', 0)
    else cluster.network.cutOneWay('n2', 'n0', 0)
    await world.run(world.now + 20_000)
    for (const life of cluster.alive()) assert.is(life.views.length, 1)
    assert.equal(
      cluster.links().map(({ network }) => network),
      [0, 1, 0, 0, 1, 0],
    )
  }
})

test('two networks: both are lost, and the view ends as with one', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 3, { networks: 2 })
    cluster.startAll()
    await agreement(cluster)
    for (const network of [0, 1]) for (const other of ['n1', 'n2']) cluster.network.cut('n0', other, network)
    const { suspectMs, heartbeatMs } = cluster.timings
    await world.run(world.now + suspectMs + 4 * heartbeatMs)
    assert.equal(
      cluster.alive().map((life) => life.views.at(-1)!.members.length),
      [1, 2, 2],
    )
    cluster.network.healAll()
    await agreement(cluster)
    assert.is(cluster.expulsions, 1)
  }
})

test('two networks: a process killed while one of them is cut is out at the latest when it is suspected', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 3, { networks: 2 })
    cluster.startAll()
    await agreement(cluster)
    cutNetwork(cluster, seed % 2)
    await world.run(world.now + 10_000)
    cluster.crash(seed % 3, 'process')
    assert.ok((await agreement(cluster)) < cluster.timings.suspectMs + 3 * cluster.timings.heartbeatMs)
  }
})

test('connections that are reset cost nothing, on one network either', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { cluster, world } = matrix(seed, 3, { networks: 1 + (seed % 2) })
    cluster.startAll()
    await agreement(cluster)
    for (let i = 0; i < 20; i++) {
      cluster.network.resetConnections()
      await world.run(world.now + world.prng.between(1, 1500))
    }
    for (const life of cluster.alive()) assert.is(life.views.length, 1)
    assert.ok(cluster.delivered > 1000)
  }
})

test('failovers at random: networks come and go, connections are reset, and the promises hold (R48, R52)', async () => {
  const seeds = Number(process.env['SEEDS'] ?? 12)
  let moves = 0
  for (let seed = 1; seed <= seeds; seed++) {
    const { cluster, world } = matrix(seed, 3, { networks: 2 + (seed % 2), maxDelayMs: seed % 3 ? 2 : 40 })
    const prng = world.prng.fork()
    cluster.startAll()
    await agreement(cluster)
    const until = world.now + 60_000
    while (world.now < until) {
      await world.run(world.now + prng.pick([50, 500, 2000, 4000]) * prng.float())
      const [one, other] = prng.pick([
        ['n0', 'n1'],
        ['n0', 'n2'],
        ['n2', 'n1'],
      ]) as [string, string]
      const number = prng.below(2)
      const dice = prng.float()
      if (dice < 0.3) cluster.network.cut(one, other, number)
      else if (dice < 0.5) cluster.network.cutOneWay(one, other, number)
      else if (dice < 0.7) cluster.network.heal(one, other, number)
      else if (dice < 0.9) cluster.network.resetConnections(number)
      else cluster.network.healAll()
    }
    moves += cluster.links().reduce((sum, link) => sum + link.moves, 0)
    cluster.network.healAll()
    await world.run(world.now + 3_000)
    await agreement(cluster)
  }
  assert.ok(moves > 20 * seeds, `${moves} moves`)
})

/** Faults at random until `faultsMs`, then everything is healed and all that died is started again. */
async function turmoil(seed: number, trace: string[] = []): Promise<string> {
  const world = new SimWorld(seed)
  const prng = world.prng.fork()
  const count = prng.between(3, 5)
  const cluster = new ClusterHarness(world, count, {
    networks: prng.pick([1, 1, 2]),
    maxDelayMs: prng.pick([1, 5, 40, 200]),
    loss: prng.pick([0, 0, 0.0002, 0.002]),
  })
  for (const slot of cluster.slots) world.at(prng.pick([0, 10, 1000, 4000]) * prng.float(), () => cluster.start(slot))
  await world.run(5_000)
  const faultsUntil = world.now + 40_000
  while (world.now < faultsUntil) {
    await world.run(world.now + prng.pick([20, 200, 1000, 3000, 6000]) * prng.float())
    const slot = prng.below(count)
    const other = (slot + 1 + prng.below(count - 1)) % count
    const life = cluster.lives.get(slot)
    const dice = prng.float()
    if (life?.over && life.expelled === undefined) cluster.start(slot)
    else if (!life || life.over) continue
    else if (dice < 0.2) cluster.crash(slot, prng.pick(['process', 'machine']))
    else if (dice < 0.3) {
      cluster.crash(slot, prng.pick(['process', 'machine']))
      cluster.start(slot)
    } else if (dice < 0.45) cluster.network.cut(`n${slot}`, `n${other}`, prng.pick([0, undefined]))
    else if (dice < 0.55) cluster.network.cutOneWay(`n${slot}`, `n${other}`, prng.pick([0, 1, undefined]))
    else if (dice < 0.7) cluster.network.heal(`n${slot}`, `n${other}`, prng.pick([0, undefined]))
    else if (dice < 0.75) cluster.network.resetConnections(prng.pick([0, 1, undefined]))
    else if (dice < 0.85) {
      life.host.pause()
      world.at(prng.pick([100, 1000, 4000]) * prng.float(), () => life.host.resume())
    } else if (dice < 0.9) void cluster.leave(slot).catch((error) => world.fail(error as Error))
    else cluster.network.healAll()
  }
  cluster.network.healAll()
  // leaves under way end by themselves; whoever is down then is started
  await world.run(world.now + 8_000)
  for (const slot of cluster.slots) {
    const life = cluster.lives.get(slot)
    if (!life || (life.over && life.expelled === undefined)) cluster.start(slot)
  }
  await world.run(world.now + 1_000)
  await agreement(cluster, 60_000)
  trace.push(`seed ${seed}: ${world.events} events, ${cluster.delivered} messages, ${cluster.expulsions} expelled`)
  return world.hash
}

test('turmoil: whatever crashes, stalls and cuts, all promises hold, and once healed all agree (R48, R52)', async () => {
  const seeds = Number(process.env['SEEDS'] ?? 12)
  const first = Number(process.env['FIRST_SEED'] ?? 1)
  for (let seed = first; seed < first + seeds; seed++) await turmoil(seed)
})

test('a seed repeats exactly', async () => {
  assert.is(await turmoil(77), await turmoil(77))
})

test.run()
