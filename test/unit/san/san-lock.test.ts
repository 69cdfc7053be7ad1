/**
 * SAN locks (R91, R99): lives that see nothing but sectors try, hold, release, die and come back, on one partition and on three of which
 * one fails or forgets; at no moment do two living ones hold the locks.
 */

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Life, sameLife } from '../../../src/base/life.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { MiB } from '../../../src/base/units.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { Partitions, SAN_LOCK_OFFSET, SanLock, sanLockOffset } from '../../../src/san/index.ts'
import { SimDisk, SimLun } from '../../sim/lun.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('san: SAN lock')
const timings = timingsFrom(400)

class Contest {
  readonly world: SimWorld
  readonly disks: readonly SimDisk[]
  readonly dead: Life[] = []
  readonly terms = new Map<number, Life>()
  holder: Life | undefined

  constructor(seed: number, partitions: 1 | 3) {
    this.world = new SimWorld(seed)
    this.disks = Array.from(
      { length: partitions },
      () => new SimDisk(this.world, 64 * MiB, { ioLifeMs: timings.ioLifeMs, latencyMs: [0.05, 20] }),
    )
  }

  life(slot: number, incarnation: number) {
    const host = new SimHost(this.world, `n${slot}`)
    const luns = this.disks.map((disk) => new SimLun(disk, host))
    const life = { slot, incarnation }
    const partitions = new Partitions(luns, { clock: host.clock, timings })
    return { host, life, lock: new SanLock({ partitions, life, log: silentLog }) }
  }

  isDead = async (life: Life): Promise<boolean> => this.dead.some((other) => sameLife(other, life))

  /** What an owner's claim must fit. */
  took(term: number, life: Life): void {
    const before = this.terms.get(term)
    assert.ok(!before || sameLife(before, life), `term ${term} has two owners`)
    this.terms.set(term, life)
    assert.ok(!this.holder || sameLife(this.holder, life), `${JSON.stringify([this.holder, life])} hold the locks`)
    this.holder = life
  }
}

for (const partitions of [1, 3] as const) {
  test(`random lives on ${partitions} partition(s): one owner per term, one living holder`, async () => {
    let held = 0
    let overDead = 0
    for (let seed = 1; seed <= 24; seed++) {
      const contest = new Contest(seed, partitions)
      const { world } = contest
      const random = world.prng.fork()
      let tries = 0
      const node = async (slot: number): Promise<void> => {
        for (let incarnation = 1; incarnation <= 3; incarnation++) {
          const { host, life, lock } = contest.life(slot, incarnation)
          const crashAt = random.chance(0.7) ? random.float() * 400 : Number.POSITIVE_INFINITY
          let over = false
          world.at(Math.min(crashAt, 1e6), () => {
            over = true
            if (crashAt < 1e6) host.crash()
          })
          while (!over && tries++ < 120) {
            const outcome = await Promise.race([lock.acquire(contest.isDead).catch(() => undefined), pause(world, 300)])
            if (over || !outcome) break
            if (outcome.kind !== 'held') {
              await pause(world, random.float() * 60)
              continue
            }
            contest.took(outcome.term, life)
            held++
            await pause(world, random.float() * 80)
            if (over) break
            if (random.chance(0.5)) {
              contest.holder = undefined
              await Promise.race([lock.release(outcome.term).catch(() => undefined), pause(world, 300)])
            }
          }
          // its last I/O lands or is lost before it counts as dead, or a next life begins
          host.crash()
          await pause(world, timings.ioLifeMs + 1)
          contest.dead.push(life)
          if (contest.holder && sameLife(contest.holder, life)) {
            contest.holder = undefined
            overDead++
          }
        }
      }
      if (partitions === 3) {
        const lost = contest.disks[seed % 3] as SimDisk
        let cut = true
        lost.faults.add(() => (cut ? 'error' : undefined))
        world.at(150, () => {
          cut = false
          // it comes back with what a restored backup would have
          if (seed % 2) for (let slot = 0; slot < 3; slot++) lost.poke(sanLockOffset(slot), Buffer.alloc(4096))
        })
      }
      await world.settle(Promise.all([0, 1, 2].map(node)))
    }
    assert.ok(held > 40 && overDead > 4, `${held} takings, ${overDead} from the dead`)
  })
}

test('a damaged sector is an error on one partition, and no hindrance on three', async () => {
  for (const partitions of [1, 3] as const) {
    const contest = new Contest(7, partitions)
    const a = contest.life(0, 1)
    assert.is((await contest.world.settle(a.lock.acquire(contest.isDead))).kind, 'held')
    contest.disks[0]?.poke(SAN_LOCK_OFFSET + 30, Buffer.from('damage'))
    const b = contest.life(1, 1)
    const outcome = await contest.world.settle(b.lock.acquire(contest.isDead).catch((error) => error))
    if (partitions === 1) assert.match(String(outcome), /SAN lock sector of slot 0 is damaged/)
    else assert.equal(outcome, { kind: 'owned', owner: { term: 1, life: a.life, released: false } })
  }
})

test('a life that comes back finds that its former one owned the locks, and takes the next term', async () => {
  const contest = new Contest(8, 1)
  const { world } = contest
  const first = contest.life(2, 1)
  assert.equal(await world.settle(first.lock.acquire(contest.isDead)), { kind: 'held', term: 1 })
  assert.equal(await world.settle(first.lock.acquire(contest.isDead)), { kind: 'held', term: 1 })
  first.host.crash()
  const second = contest.life(2, 2)
  assert.is((await world.settle(second.lock.acquire(contest.isDead))).kind, 'owned')
  contest.dead.push(first.life)
  assert.equal(await world.settle(second.lock.acquire(contest.isDead)), { kind: 'held', term: 2 })
  await world.settle(second.lock.release(2))
  assert.equal(await world.settle(contest.life(0, 1).lock.acquire(contest.isDead)), { kind: 'held', term: 3 })
})

function pause(world: SimWorld, ms: number): Promise<undefined> {
  return new Promise((resolve) => world.at(ms, () => resolve(undefined)))
}

test.run()
