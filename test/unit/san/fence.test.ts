import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { type Log, silentLog } from '../../../src/platform/log.ts'
import { type FenceAgent, fenceNode, KillAgent, type LeaseSector } from '../../../src/san/index.ts'
import { LeaseWorld, timings } from './lease-world.ts'

const test = suite('san: lease watch and fencing')

const sectorOf = (sectors: LeaseSector[], slot: number) => sectors.find((sector) => sector.slot === slot) as LeaseSector

test('R25 the watch sees every node that ever claimed, with its life and state', async () => {
  const w = new LeaseWorld(1)
  const a = await w.start(0)
  const b = await w.start(7)
  await w.world.settle(b.lease.setState('active'))
  const sectors = await w.world.settle(a.watch.scan())
  assert.equal(
    sectors.map(({ slot, incarnation, state, nodeName }) => ({ slot, incarnation, state, nodeName })),
    [
      { slot: 0, incarnation: 1, state: 'joining', nodeName: 'n0' },
      { slot: 7, incarnation: 1, state: 'active', nodeName: 'n7' },
    ],
  )
  assert.not(a.watch.certainlyDead({ slot: 9, incarnation: 1 }), 'never seen: nothing is known')
})

test('R26 the observer inequality: a write of the dead never lands after an observer is certain (200 seeds)', async () => {
  let lastLanded = 0
  for (let seed = 1; seed <= 200; seed++) {
    const w = new LeaseWorld(seed, [0.05, seed % 2 === 0 ? timings.ioTimeoutMs : 5])
    const { prng } = w.world
    const victim = await w.start(0).catch((error) => error)
    if (isMatrixError(victim)) continue // the device was too slow to claim
    const other = await w.start(1).catch((error) => error)
    if (isMatrixError(other)) continue
    // the victim writes all the time until it dies, is paused, or can renew no longer
    let landedAt = 0
    w.disk.onLanded = (landed) => {
      if (landed.host === 'n0' && landed.purpose === 'data') landedAt = w.world.now
    }
    const write = () => void victim.psd.write(8 << 20, [Buffer.alloc(512)], { purpose: 'data' }).catch(() => {})
    victim.host.clock.every(3, write)
    await w.world.run(w.world.now + prng.below(2 * timings.leaseMs))
    const way = prng.pick(['crash', 'pause', 'cut', 'slow'] as const)
    if (way === 'crash') victim.host.crash()
    if (way === 'pause') {
      victim.host.pause()
      w.world.at(prng.below(4 * timings.leaseMs), () => victim.host.resume())
    }
    if (way === 'cut') w.disk.faults.add((io) => (io.host === 'n0' && io.purpose === 'lease' ? 'error' : undefined))
    if (way === 'slow') w.disk.faults.add((io) => (io.host === 'n0' ? { slowMs: timings.ioLifeMs } : undefined))
    const limit = w.world.now + 8 * timings.observedDeadMs
    await w.world.run(limit, () => other.watch.certainlyDead(victim.lease.life))
    if (w.world.now >= limit) {
      assert.ok(way === 'pause' || way === 'slow', `seed ${seed}: ${way} was never noticed`)
      continue
    }
    const certainAt = w.world.now
    assert.not(victim.lease.goodUntil() > certainAt, `seed ${seed}: ${way}: it still holds its lease`)
    await w.world.run(certainAt + 3 * timings.observedDeadMs)
    assert.ok(landedAt <= certainAt, `seed ${seed}: ${way}: landed ${landedAt - certainAt} ms after certainty`)
    if (landedAt > 0) lastLanded++
  }
  assert.ok(lastLanded > 50, 'the histories are not empty')
})

test('a clean leave and a newer incarnation are certainty at once', async () => {
  const w = new LeaseWorld(2)
  const a = await w.start(0)
  const b = await w.start(1, 'm')
  await w.world.settle(b.lease.release())
  await w.world.settle(a.watch.scan())
  assert.ok(a.watch.certainlyDead({ slot: 1, incarnation: 1 }))
  const again = await w.start(1, 'm')
  await w.world.settle(a.watch.scan())
  assert.ok(a.watch.certainlyDead({ slot: 1, incarnation: 1 }))
  assert.not(a.watch.certainlyDead(again.lease.life))
})

test('a watch that has just begun does not trust how long others say it has been', async () => {
  const w = new LeaseWorld(3)
  const victim = await w.start(1)
  victim.host.crash()
  await w.world.run(w.world.now + 10 * timings.observedDeadMs)
  const a = await w.start(0)
  await w.world.settle(a.watch.scan())
  assert.not(a.watch.certainlyDead(victim.lease.life))
  const from = w.world.now
  await w.world.run(from + 2 * timings.observedDeadMs, () => a.watch.certainlyDead(victim.lease.life))
  assert.ok(w.world.now - from > timings.observedDeadMs - timings.renewMs - 10)
  assert.ok(w.world.now - from < timings.observedDeadMs + 2 * timings.renewMs)
})

test('agent lease: the living victim finds the request, dies, and is fenced', async () => {
  const w = new LeaseWorld(4)
  const a = await w.start(0)
  const b = await w.start(1)
  const victim = sectorOf(await w.world.settle(a.watch.scan()), 1)
  const outcome = await w.world.settle(a.agent.fence(victim))
  assert.is(outcome, 'fenced')
  assert.equal(b.ends, [{ kind: 'fenced', by: { slot: 0, incarnation: 1 } }])
  assert.not(b.lease.goodUntil() > w.world.now)
  assert.ok(a.lease.goodUntil() > w.world.now)
})

test('R27 a request meant for a former life does not touch the present one', async () => {
  const w = new LeaseWorld(5)
  const a = await w.start(0)
  const b = await w.start(1, 'm')
  await w.world.settle(a.lease.requestFence([{ slot: 1, incarnation: 7 }]))
  await w.world.run(w.world.now + 2 * timings.leaseMs)
  assert.equal(b.ends, [])
})

test('R27 R39 nodes that ask each other to die: exactly one lives, whoever asked first (100 seeds)', async () => {
  for (let seed = 1; seed <= 100; seed++) {
    const w = new LeaseWorld(seed)
    const nodes = [await w.start(0), await w.start(1), await w.start(2)]
    const { prng } = w.world
    await w.world.run(w.world.now + prng.below(1000))
    const outcomes = nodes.map(async (node, i) => {
      const others = (await node.watch.scan()).filter((sector) => sector.slot !== i)
      await new Promise<void>((resolve) => node.host.clock.after(prng.below(2 * timings.renewMs), resolve))
      return Promise.all(others.map((victim) => node.agent.fence(victim)))
    })
    const settled = await w.world.settle(Promise.allSettled(outcomes))
    const alive = nodes.filter((node) => node.lease.goodUntil() > w.world.now)
    assert.ok(alive.length <= 1, `seed ${seed}: ${alive.length} live`)
    for (const [i, result] of settled.entries()) {
      const fencedAll = result.status === 'fulfilled' && result.value.every((outcome) => outcome === 'fenced')
      assert.ok(!fencedAll || alive[0] === nodes[i], `seed ${seed}: node ${i} believes it has won`)
    }
    const requested = nodes.map((node) => node.ends[0]?.kind ?? 'alive')
    assert.ok(alive.length === 1, `seed ${seed}: nobody lives: ${requested}`)
  }
})

test('agent kill: only on the same host; already gone counts; a stranger is left alone', async () => {
  const w = new LeaseWorld(6)
  const a = await w.start(0, 'm')
  const b = await w.start(1, 'm')
  const c = await w.start(2, 'elsewhere')
  const sectors = await w.world.settle(a.watch.scan())
  const agent = new KillAgent(a.processes, { clock: a.host.clock, orphanIoMs: () => 0 })
  assert.is(await agent.fence(sectorOf(sectors, 2)), 'unable')
  assert.ok(c.host.alive)
  assert.is(await agent.fence(sectorOf(sectors, 1)), 'fenced')
  assert.not(b.host.alive)
  assert.is(await agent.fence(sectorOf(sectors, 1)), 'fenced')
})

test('agent kill: nothing that a killed process had sent to a target lands once it is fenced (50 seeds)', async () => {
  let landed = 0
  for (let seed = 1; seed <= 50; seed++) {
    const w = new LeaseWorld(seed, [0.05, timings.ioTimeoutMs / 4], { hasOrphans: true })
    const a = await w.start(0, 'm')
    const b = await w.start(1, 'm')
    const victim = sectorOf(await w.world.settle(a.watch.scan()), 1)
    b.host.clock.every(3, () => void b.psd.write(8 << 20, [Buffer.alloc(512)], { purpose: 'data' }).catch(() => {}))
    await w.world.run(w.world.now + 100)
    const killedAt = w.world.now
    let fencedAt = Number.POSITIVE_INFINITY
    w.disk.onLanded = ({ by }) => {
      if (by !== b.host) return
      landed++
      assert.ok(w.world.now <= fencedAt, `seed ${seed}: ${w.world.now - fencedAt} ms after the fence`)
    }
    const { clock } = a.host
    const agent = new KillAgent(a.processes, { clock, orphanIoMs: () => timings.orphanIoMs })
    assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
    fencedAt = w.world.now
    assert.ok(a.processes.state(victim.process) === 'gone' && fencedAt > killedAt)
    await w.world.run(fencedAt + 2 * timings.ioLifeMs)
  }
  assert.ok(landed > 100, 'much lands after the kill')
})

test('fenceNode: agents in order, the first that can; each step logged; none is an error that says so', async () => {
  const w = new LeaseWorld(7)
  const a = await w.start(0)
  const b = await w.start(1)
  const victim = sectorOf(await w.world.settle(a.watch.scan()), 1)
  const lines: string[] = []
  const note = (fields: Record<string, unknown>) => void lines.push(`${fields['agent']} ${fields['outcome']}`)
  const log: Log = { ...silentLog, info: note, warn: note }
  const broken: FenceAgent = { name: 'switch', fence: () => Promise.reject(new Error('no route')) }
  const options = { clock: a.host.clock, log }
  const kill = new KillAgent(a.processes, { clock: a.host.clock, orphanIoMs: () => 0 })
  const by = await w.world.settle(fenceNode([broken, kill, a.agent], victim, options))
  assert.is(by, 'lease')
  assert.equal(lines, ['switch unable', 'kill unable', 'lease fenced'])
  assert.is(b.ends[0]?.kind, 'fenced')
  const error = await w.world.settle(fenceNode([broken], victim, options).catch((error) => error))
  assert.ok(isMatrixError(error, 'fence-failed'))
  assert.match(error.message, /node "n1".*by switch \(no route, 0 ms\)/)
})

test('an abandoned fence ends at once, unable', async () => {
  const w = new LeaseWorld(8)
  const a = await w.start(0)
  await w.start(1)
  const victim = sectorOf(await w.world.settle(a.watch.scan()), 1)
  const abort = new AbortController()
  const outcome = a.agent.fence(victim, abort.signal)
  w.world.at(50, () => abort.abort())
  const from = w.world.now
  assert.is(await w.world.settle(outcome), 'unable')
  assert.ok(w.world.now - from < 50 + 2 * timings.renewMs)
})

test.run()
