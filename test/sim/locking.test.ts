/** Locks of whole matrices in virtual time: random users, crashes, rejoins, views that change while they change. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import {
  CR,
  CW,
  EX,
  GROUP_LOCK,
  type Hold,
  inodeLock,
  type Mode,
  PR,
  PW,
  resourceId,
  SETTINGS_LOCK,
} from '../../src/locking/index.ts'
import { sleep } from '../../src/platform/clock.ts'
import { type Broken, LockMatrix, type LockNode } from './lock-matrix.ts'
import { SimWorld } from './world.ts'

const SEEDS = 40
const FAULTS_UNTIL_MS = 4000
const USERS_UNTIL_MS = 5000
const SETTLED_BY_MS = 12_000

const rids = [
  inodeLock(1),
  inodeLock(64),
  inodeLock(65),
  inodeLock(66),
  resourceId(GROUP_LOCK, 3),
  resourceId(SETTINGS_LOCK, 0),
]
const someModes: readonly Mode[] = [PR, PR, PR, EX, EX, CR, CW, PW]

type Outcome = {
  readonly hash: string
  readonly granted: number
  readonly denied: number
  readonly timedOut: number
  readonly grantedEarly: number
  readonly crashes: number
  readonly cuts: number
  readonly repeats: number
}

async function simulate(
  seed: number,
  options: { broken?: Broken; calm?: boolean; cachedLocksMax?: number } = {},
): Promise<Outcome> {
  const world = new SimWorld(seed)
  const matrix = new LockMatrix({
    world,
    nodes: world.prng.between(3, 5),
    rids,
    broken: options.broken,
    cachedLocksMax: options.cachedLocksMax,
  })
  const counts = { granted: 0, denied: 0, timedOut: 0 }
  const start = (node: LockNode) => {
    for (let i = 0; i < 4; i++) runUser(node, world.prng.fork(), counts).catch((error) => world.fail(error as Error))
  }
  matrix.changeView()
  for (const node of matrix.nodes) start(node)
  if (!options.calm) {
    const faults = world.prng.fork()
    const fault = () => {
      if (world.now > FAULTS_UNTIL_MS) return
      const dead = matrix.nodes.filter((node) => !node.host.alive)
      if (dead.length > 0 && faults.chance(0.6)) {
        const slot = faults.pick(dead).slot
        matrix.rejoin(slot)
        start(matrix.nodes[slot] as LockNode)
      } else if (matrix.live.length > 1 && faults.chance(0.5)) matrix.crash(faults.pick(matrix.live))
      else if (matrix.inside.length > 1 && faults.chance(0.6))
        matrix.cutOff(matrix.inside.slice(1).filter((_, i) => i === 0 || faults.chance(0.4)))
      else matrix.changeView()
      world.at(faults.chance(0.3) ? faults.float() * 80 : faults.float() * 600, fault)
    }
    world.at(300, fault)
  }
  await world.run(SETTLED_BY_MS, matrix.check)
  matrix.checkMasters()
  await world.run(SETTLED_BY_MS)
  const stuck = matrix.live.flatMap((node) => [...node.waiting.values()].map((what) => `n${node.slot} ${what}`))
  if (stuck.length > 0) throw new Error(`seed ${seed}: never granted: ${stuck.join(', ')}`)
  return {
    hash: world.hash,
    ...counts,
    grantedEarly: matrix.grantedEarly,
    crashes: matrix.crashes,
    cuts: matrix.cuts,
    repeats: matrix.repeats,
  }
}

/** Uses locks at random until it is told to stop, or its node dies. */
async function runUser(
  node: LockNode,
  prng: Prng,
  counts: { granted: number; denied: number; timedOut: number },
): Promise<void> {
  const { cache } = node.space
  const clock = node.host.clock
  const waitFor = async <T>(what: string, wanted: T | Promise<T>): Promise<T> => {
    if (!(wanted instanceof Promise)) return wanted
    const key = {}
    node.waiting.set(key, what)
    try {
      return await wanted
    } finally {
      node.waiting.delete(key)
    }
  }
  const use = async (holds: readonly Hold[], processScope = false) => {
    counts.granted += holds.length
    for (const hold of holds) node.began(hold, processScope)
    for (let i = prng.below(3); i >= 0; i--) {
      for (const hold of holds) {
        if (hold.mode === EX) node.write(hold.rid)
        else node.look(hold.rid, hold.mode)
      }
      if (prng.chance(0.1)) node.commit()
      if (i > 0) await sleep(clock, prng.float() * 10)
    }
    for (const hold of holds) node.ended(hold)
  }
  while (node.matrix.world.now < USERS_UNTIL_MS && node.host.alive) {
    const rid = prng.pick(rids)
    const mode = prng.pick(someModes)
    switch (prng.below(7)) {
      case 0: {
        const hold = await waitFor('no queue', cache.acquire(rid, mode, { noQueue: true }))
        if (hold) await use([hold])
        else counts.denied++
        break
      }
      case 1:
        try {
          const hold = await waitFor('in time', cache.acquire(rid, mode, { timeoutMs: prng.float() * 40 }))
          if (hold) await use([hold])
        } catch (error) {
          if (!isMatrixError(error, 'timeout')) throw error
          counts.timedOut++
        }
        break
      case 2: {
        const wanted = new Map([[rid, mode]])
        for (let i = 0; i < 2; i++) wanted.set(prng.pick(rids), prng.pick(someModes))
        await use(await waitFor('all of many', cache.acquireAll(wanted)))
        break
      }
      case 3: {
        const hold = await waitFor('process scope', cache.acquire(rid, mode, { scope: 'process' }))
        if (hold) await use([hold], true)
        break
      }
      case 4:
        if (cache.holds(rid, EX)) node.write(rid)
        else if (cache.holds(rid, PR)) node.look(rid, PR)
        break
      default:
        await use([await waitFor('one lock', cache.acquire(rid, mode))])
    }
    await sleep(clock, prng.float() * (prng.chance(0.1) ? 200 : 20))
  }
}

test(`R7, R8, R11–R16, R53: ${SEEDS} matrices with crashes and rejoins stay coherent, and every waiter is served`, async () => {
  const sum = { granted: 0, denied: 0, timedOut: 0, grantedEarly: 0, crashes: 0, cuts: 0, repeats: 0 }
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulate(seed, { cachedLocksMax: seed % 4 === 0 ? 3 : undefined })
    for (const key of Object.keys(sum) as (keyof typeof sum)[]) sum[key] += outcome[key]
  }
  for (const [what, count] of Object.entries(sum)) assert.ok(count >= SEEDS, `some were ${what}: ${count}`)
})

test('a seed repeats', async () => {
  assert.is((await simulate(3)).hash, (await simulate(3)).hash)
  assert.is.not((await simulate(3)).hash, (await simulate(4)).hash)
})

for (const broken of ['flush-on-surrender', 'vector-on-surrender', 'read-journals-of-the-dead'] as const) {
  test(`a broken rule is noticed: ${broken}`, async () => {
    for (let seed = 1; seed <= 20; seed++) {
      try {
        await simulate(seed, { broken })
      } catch {
        return
      }
    }
    assert.unreachable('no seed noticed')
  })
}

test.run()
