import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { type LeaseSector, registrationKey, ScsiPrAgent } from '../../../src/san/index.ts'
import { FakeReservations } from './fake-reservations.ts'
import { LeaseWorld, timings } from './lease-world.ts'

const test = suite('san: fence agent scsi-pr')

const own = registrationKey({ slot: 0, incarnation: 1 })
const theirs = registrationKey({ slot: 1, incarnation: 1 })
const third = registrationKey({ slot: 2, incarnation: 5 })

/** Node 0 fences node 1, which are registered at three LUNs, as is a third. The lease is on another disk, which knows no reservations here. */
async function scene(seed: number) {
  const w = new LeaseWorld(seed)
  const a = await w.start(0)
  const b = await w.start(1)
  const sectors = await w.world.settle(a.watch.scan())
  const victim = sectors.find(({ slot }) => slot === 1) as LeaseSector
  const luns = ['c', 'a', 'b'].map((uuid) => ({
    uuid,
    name: `lun-${uuid}`,
    reservations: new FakeReservations([own, theirs, third]),
  }))
  const lun = (uuid: string) => luns.find((each) => each.uuid === uuid)!.reservations
  const reasons: string[] = []
  const said: string[] = []
  const missing: string[] = []
  const note = (_fields: unknown, text: string) => void said.push(text)
  const agent = new ScsiPrAgent({
    ...{ clock: a.host.clock, watch: a.watch, timings, life: a.lease.life },
    lease: { requestFence: (victims) => a.lease.requestFence(victims) },
    log: { ...silentLog, info: note, warn: note, error: note },
    luns: () => luns,
    missing: () => missing,
    onReserved: (reason) => reasons.push(reason),
  })
  const failure = async () => {
    const error = await w.world.settle(
      agent.fence(victim).then(
        (outcome) => outcome,
        (caught) => caught,
      ),
    )
    assert.ok(isMatrixError(error, 'fence-failed'), String(error))
    return error.message
  }
  return { w, a, b, victim, agent, luns, lun, reasons, said, missing, failure }
}

test('at every LUN the registrations of a dead node are gone, and of nobody else, once its lease is over', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { w, b, victim, agent, luns } = await scene(seed)
    b.host.crash()
    const diedAt = w.world.now
    assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
    for (const { reservations } of luns) assert.equal(reservations.keys, [own, third], `seed ${seed}`)
    assert.ok(w.world.now - diedAt >= timings.leaseMs - timings.renewMs, `seed ${seed}`)
    assert.ok(w.world.now - diedAt <= 5 * timings.ioTimeoutMs, `seed ${seed}: ${w.world.now - diedAt} ms`)
  }
})

test('earlier lives of the slot go with it, a later one stays', async () => {
  const { w, b, victim, agent, lun } = await scene(2)
  const later = registrationKey({ slot: 1, incarnation: 2 })
  lun('b').keys.push(theirs, later)
  b.host.crash()
  assert.is(await w.world.settle(agent.fence({ ...victim })), 'fenced')
  assert.equal(lun('b').keys, [own, third, later])
})

test('a living node ends by itself when it is asked: nothing is preempted', async () => {
  const { w, victim, agent, luns, b } = await scene(3)
  const ended = w.world.settle(agent.fence(victim))
  const release = async () => {
    while (b.ends.length === 0) await new Promise((resolve) => b.host.clock.after(10, () => resolve(undefined)))
    await b.lease.release()
  }
  void release()
  assert.is(await ended, 'fenced')
  for (const { reservations } of luns) assert.equal(reservations.keys, [own, theirs, third])
})

test('one LUN that fails is enough to fence nobody; it is tried again from the top', async () => {
  const { w, b, victim, agent, lun, failure } = await scene(4)
  b.host.crash()
  lun('b').fails = 'preempt'
  assert.match(await failure(), /LUN lun-b: preempt failed/)
  assert.ok(lun('b').keys.includes(theirs))
  lun('b').fails = undefined
  assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
  assert.not(lun('b').keys.includes(theirs))
})

test('the first LUN decides: while it fails nothing else is preempted', async () => {
  const { b, lun, failure } = await scene(5)
  b.host.crash()
  lun('a').fails = 'preempt'
  assert.match(await failure(), /LUN lun-a: preempt failed/)
  assert.ok(lun('b').keys.includes(theirs) && lun('c').keys.includes(theirs))
})

test('a preemption that is answered and not done is found out', async () => {
  const { b, lun, failure } = await scene(6)
  b.host.crash()
  lun('c').lies = true
  assert.match(await failure(), /LUN lun-c: the victim is registered still, after it was preempted/)
})

test('without the reservation a registration that is gone keeps nobody out', async () => {
  const { b, lun, failure } = await scene(7)
  b.host.crash()
  lun('c').reservation = undefined
  assert.match(await failure(), /LUN lun-c: no reservation stands there/)
})

test('a LUN that is not reached cannot be preempted at', async () => {
  const { b, luns, missing, failure } = await scene(8)
  b.host.crash()
  missing.push('lun-d')
  assert.match(await failure(), /does not reach LUN lun-d/)
  for (const { reservations } of luns) assert.ok(reservations.keys.includes(theirs))
})

test('who was fenced itself fences nobody, and ends', async () => {
  const { b, lun, reasons, failure } = await scene(9)
  b.host.crash()
  lun('a').keys = [theirs, third]
  assert.match(await failure(), /the registration of this node is gone/)
  assert.is(reasons.length, 1)
  assert.ok(lun('b').keys.includes(theirs) && lun('c').keys.includes(theirs))
})

test('a device that cannot abort: what was under way has the life of an I/O', async () => {
  const { w, b, victim, agent, lun } = await scene(10)
  b.host.crash()
  await w.world.run(w.world.now + 4.2 * timings.ioTimeoutMs) // its lease is over, all but
  lun('c').how = 'preempted'
  const begunAt = w.world.now
  assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
  assert.ok(w.world.now - begunAt >= timings.ioLifeMs, `${w.world.now - begunAt} ms`)
})

test('a node that goes on writing its lease although it is registered nowhere is found out', async () => {
  const { b, lun, said, failure, a } = await scene(11)
  // it heeds no request, since none can be written
  a.lease.requestFence = () => Promise.reject(new Error('no way'))
  assert.match(await failure(), /is registered at no LUN and has renewed its lease since/)
  assert.ok(said.includes('a node whose registrations are gone goes on writing'))
  assert.not(lun('a').keys.includes(theirs))
  b.host.crash()
})

test.run()
