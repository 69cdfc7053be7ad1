// time limit: 180 s
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../src/base/prng.ts'
import { Coverage, detailed, neverReached, sentences } from './coverage.ts'
import { drawMix, mixNames } from './mix.ts'
import { runSeed } from './seed-pool.ts'
import { SimHost, SimWorld } from './world.ts'

const SRC = new URL('../../src', import.meta.url).pathname

/** A seed of each mix, with a short phase of faults. */
const SEEDS = [2, 3, 4, 28]

test('some seeds of whole matrices hold, and each is the same run every time', async () => {
  const mixes = new Set<string>()
  for (const seed of SEEDS) {
    const outcome = await runSeed(seed, { faultyMs: 4000 }, true)
    if ('failure' in outcome) throw new Error(outcome.failure)
    const { result } = outcome
    mixes.add(result.mix)
    assert.ok(result.operations > 0 && result.grants > 0 && result.lockPairs > result.grants, JSON.stringify(result))
    assert.ok((result.coverage['log view installed'] ?? 0) > 0)
  }
  assert.equal([...mixes].sort(), ['calm', 'damaged', 'dense', 'steady'])
})

test('coverage names what was never reached, every sentence of the source among it', () => {
  const said = sentences(SRC)
  for (const sentence of detailed) assert.ok(said.includes(sentence), sentence)
  assert.ok(said.includes('view installed') && said.includes('fence agent has answered') && said.length > 40)
  const coverage = new Coverage()
  const all = neverReached(coverage.counts, ['power loss'], SRC)
  assert.ok(all.includes('fault power loss') && all.includes('log view installed'))
  coverage.count('fault power loss')
  coverage.count('lease lost: no renewal')
  const fewer = neverReached(coverage.counts, ['power loss'], SRC)
  assert.equal(
    all.filter((name) => !fewer.includes(name)),
    ['fault power loss', 'lease lost'],
  )
})

test('a machine whose clock is fast sees its timers fire early by the world’s time, and never by its own', async () => {
  const world = new SimWorld(1)
  const host = new SimHost(world, 'n1', { rate: 1.25, startMs: 1000, wallErrorMs: -5 })
  const fired: number[] = []
  const began = host.clock.now()
  host.clock.after(100, () => fired.push(world.now, host.clock.now() - began))
  await world.run(1000)
  assert.equal(fired, [80, 100])
  assert.is(host.worldTime(host.clock.now()), 1000)
})

test('a slow machine does one thing after another, in order, and catches up when it is slow no more', async () => {
  const world = new SimWorld(1)
  const host = new SimHost(world, 'n1')
  const done: [number, number][] = []
  host.slowDown(10)
  for (let i = 0; i < 20; i++) world.at(i, () => host.enter(() => done.push([i, world.now])))
  world.at(30, () => host.slowDown(0))
  world.at(31, () => host.enter(() => done.push([20, world.now])))
  await world.run(1000)
  assert.equal(
    done.map(([i]) => i),
    Array.from({ length: 21 }, (_, i) => i),
  )
  assert.ok((done[19]?.[1] ?? 0) > 40, 'the last waited for those before it')
  assert.is(done[20]?.[1], done[19]?.[1], 'what came later waited, too, but took no time')
})

test('mixes are drawn by seed, all of them', () => {
  const drawn = new Map<string, number>()
  for (let seed = 0; seed < 200; seed++) {
    const { name } = drawMix(new Prng(seed))
    drawn.set(name, (drawn.get(name) ?? 0) + 1)
  }
  for (const name of mixNames) assert.ok((drawn.get(name) ?? 0) > 5, name)
})

test.run()
