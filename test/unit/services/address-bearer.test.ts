/** What a node does to bear an address and to give it up (R23): in which order, for how long, and what is so when something fails. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MatrixError } from '../../../src/base/errors.ts'
import { defaultTimings, timingsFrom } from '../../../src/base/timings.ts'
import type { HostAddress, HostAddresses } from '../../../src/platform/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { AddressBearer, type AddressedGateway, type VirtualHost } from '../../../src/services/index.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('services: bearing addresses')
const host: VirtualHost = {
  ...{ name: 'files', address: '10.0.0.50', prefix: 24, interface: 'eth0' },
  ...{ nodes: ['n1'], policy: 'AUTOFAILBACK', monitors: [] },
}

function scene(timings = defaultTimings) {
  const world = new SimWorld(1)
  const { clock } = new SimHost(world, 'n1')
  const done: string[] = []
  const lives: number[] = []
  const node = { goodUntil: timings.leaseMs, isThere: false, fails: '', drainMs: 0, announcesLong: false }
  const act = (verb: string) => async () => {
    done.push(verb)
    if (node.fails === verb) throw new MatrixError('config', `${verb} failed`)
  }
  const addresses: HostAddresses = {
    lateMs: 1000,
    async add(_address: HostAddress, lifeMs: number) {
      lives.push(lifeMs)
      await act('add')()
      node.isThere = true
    },
    async remove() {
      await act('remove')()
      node.isThere = false
    },
    deafen: act('deafen'),
    announce: async (_address, abort) => {
      await act('announce')()
      if (!node.announcesLong) return
      await new Promise((resolve) => abort.addEventListener('abort', resolve))
      done.push('silent')
    },
    async has() {
      if (node.fails === 'has') throw new MatrixError('not-found', 'no interface eth0')
      return node.isThere
    },
  }
  const gateway: AddressedGateway = {
    open: act('open'),
    async drain() {
      done.push('drain')
      await new Promise<void>((resolve) => clock.after(node.drainMs, resolve))
    },
    closeAt: () => void done.push('close'),
  }
  const bearer = new AddressBearer({
    ...{ hosts: [host], addresses, gateways: [gateway], clock, timings, log: silentLog },
    goodUntil: () => node.goodUntil,
    settle: act('settle'),
    services: {
      start: async (_host, when) => void done.push(`start ${when}`),
      stop: async () => void done.push('stop'),
    },
  })
  /** What was done; starts and stops of applications only where they are asked for. */
  const told = (withServices = false) => done.splice(0).filter((each) => withServices || !/^st(art|op)\b/.test(each))
  return { world, bearer, node, lives, told }
}

test('the address is there before it is listened at, and announced after; at the end what was taken is answered before it goes', async () => {
  const { world, bearer, told } = scene()
  await world.settle(bearer.take(host, false))
  await world.run(world.now + 1)
  assert.equal(told(), ['add', 'open', 'announce'])
  assert.equal(bearer.bears('files')?.serves, true)
  await world.settle(bearer.release(host))
  assert.equal(told(), ['settle', 'drain', 'deafen', 'close', 'remove'])
  assert.is(bearer.bears('files'), undefined)
  await world.run(world.now + 20_000)
  assert.equal(told(), [], 'nothing is announced or renewed any more')
})

test('an announcement that is under way ends before the address goes to another', async () => {
  const { world, bearer, node, told } = scene()
  node.announcesLong = true
  await world.settle(bearer.take(host, false))
  await world.run(world.now + 1)
  await world.settle(bearer.release(host))
  assert.equal(told().slice(-2), ['silent', 'remove'])
})

test('a request that hangs holds up the move for a second, no longer', async () => {
  const { world, bearer, node } = scene()
  await world.settle(bearer.take(host, false))
  node.drainMs = 60_000
  const began = world.now
  await world.settle(bearer.release(host))
  assert.is(world.now - began, 1_030)
})

test('its life ends with the lease, less what the system is late; it is renewed in time, and not when the lease is near its end', async () => {
  const { world, bearer, node, lives } = scene()
  await world.settle(bearer.take(host, false))
  assert.equal(lives, [7_000])
  for (let second = 1; second <= 10; second++) {
    await world.run(second * 1000)
    node.goodUntil = world.now + defaultTimings.leaseMs
  }
  assert.ok(lives.length >= 4 && lives.every((life) => life <= 7_000 && life >= 5_000), String(lives))
  node.goodUntil = world.now + 2_900
  const before = lives.length
  await world.run(world.now + 10_000)
  assert.is(lives.length, before, 'a lease that ends in less than three seconds gives no life')
  const error = await world.settle(bearer.take({ ...host }, false).catch((caught) => caught))
  assert.is(error, undefined, 'it still serves what it has')
})

test('with a lease of less than five seconds the life is short, but there is one', async () => {
  const { world, bearer, node, lives } = scene(timingsFrom(400))
  node.goodUntil = 1_600
  await world.settle(bearer.take(host, false))
  assert.equal(lives, [600])
  node.goodUntil = world.now - 1
  await world.settle(bearer.release(host))
  assert.match(String(await world.settle(bearer.take(host, false).catch((error) => error))), 'lease')
  assert.is(bearer.bears('files'), undefined)
})

test('what cannot be served is given back', async () => {
  const { world, bearer, node, told } = scene()
  node.fails = 'open'
  assert.match(String(await world.settle(bearer.take(host, false).catch((error) => error))), 'open failed')
  assert.equal(told(), ['add', 'open', 'close', 'remove'])
  assert.is(bearer.bears('files'), undefined)
})

test('an address that cannot be removed is borne until its life is over, and so it is said', async () => {
  const { world, bearer, node } = scene()
  await world.settle(bearer.take(host, false))
  node.fails = 'remove'
  const releasing = bearer.release(host)
  await world.run(world.now + 5_000)
  assert.equal(bearer.bears('files'), { serves: false, byHand: false })
  node.isThere = false // the system has dropped it
  await world.settle(releasing)
  assert.ok(world.now >= 8_000, `${world.now}`)
  assert.is(bearer.bears('files'), undefined)
})

test('one that outlives its life stays borne; taken again here it is removed first, as it may be deaf', async () => {
  const { world, bearer, node, told } = scene()
  await world.settle(bearer.take(host, true))
  node.fails = 'remove'
  assert.match(String(await world.settle(bearer.release(host).catch((error) => error))), 'remove failed')
  assert.is(bearer.bears('files')?.serves, false)
  node.fails = ''
  node.goodUntil = world.now + 8_000
  told()
  await world.settle(bearer.take(host, false))
  assert.equal(told().slice(0, 3), ['remove', 'add', 'open'])
  assert.equal(bearer.bears('files')?.byHand, false)
})

test('a node that halts takes nothing more, and removes what it has at once', async () => {
  const { world, bearer, told } = scene()
  await world.settle(bearer.take(host, false))
  told()
  await world.settle(bearer.drop())
  assert.equal(told(), ['remove'])
  assert.match(
    String(await world.settle(bearer.take(host, false).catch((error) => error))),
    'lease of this node is over',
  )
})

test('without its interface a node is unfit for a host, and goes on; an address of its own stops it', async () => {
  const { world, bearer, node } = scene()
  node.fails = 'has'
  await world.settle(bearer.clear())
  assert.is(bearer.unfit('files'), 'no interface eth0')
  assert.match(String(await world.settle(bearer.take(host, false).catch((error) => error))), 'no interface eth0')
  assert.is(bearer.bears('files'), undefined)
  node.fails = ''
  await world.settle(bearer.take(host, false))
  assert.is(bearer.unfit('files'), undefined)
})

test('what a former life has left is removed before anything else', async () => {
  const { world, bearer, node, told } = scene()
  await world.settle(bearer.clear())
  assert.equal(told(), [])
  node.isThere = true
  await world.settle(bearer.clear())
  assert.equal(told(), ['remove'])
})

test('applications are started before the address or once it is served, and stopped while it still is; a node that halts does not wait for them', async () => {
  const { world, bearer, told } = scene()
  await world.settle(bearer.take(host, false))
  await world.run(world.now + 1)
  assert.equal(told(true), ['start before', 'add', 'open', 'start after', 'announce'])
  await world.settle(bearer.release(host))
  // once more in its turn, for what a take that was under way may have started
  assert.equal(told(true), ['stop', 'stop', 'settle', 'drain', 'deafen', 'close', 'remove'])
  await world.settle(bearer.take(host, false))
  told()
  await world.settle(bearer.drop())
  assert.equal(told(true), ['stop', 'remove'])
})

test.run()
