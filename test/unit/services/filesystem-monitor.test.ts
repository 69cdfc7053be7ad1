/** Filesystem monitors (R28): what should be mounted is, while its filesystem serves, and not after. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FilesystemMonitor } from '../../../src/services/index.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('services: filesystem monitor')
const home = { filesystem: 'home', directory: '/home' }

function kept() {
  const world = new SimWorld(1)
  const { clock } = new SimHost(world, 'n1')
  const real = { isMounted: true, service: 'serving' as 'serving' | 'pausing' | 'ended', fails: '' }
  const events: string[] = []
  const monitor = new FilesystemMonitor({
    ...{ wanted: [home], clock, serviceOf: () => real.service, isMounted: () => real.isMounted },
    mount: async () => {
      if (real.fails !== '') throw new Error(real.fails)
      real.isMounted = true
    },
    unmount: async () => void (real.isMounted = false),
    publish: ({ kind }) => events.push(kind),
  })
  monitor.begin()
  return { world, real, monitor, told: () => events.splice(0), state: () => monitor.look()[0]?.state }
}

test('what somebody else has unmounted is mounted again; what a person has unmounted is not, until asked for', async () => {
  const { world, real, monitor, told, state } = kept()
  await world.run(1_000)
  assert.equal(told(), [])
  real.isMounted = false
  await world.run(3_000)
  assert.is(state(), 'mounted')
  assert.equal(told(), ['filesystem-unmounted', 'filesystem-mounted'])
  real.isMounted = false
  monitor.byHand('/home', false)
  await world.run(9_000)
  assert.is(state(), 'unmounted by hand')
  monitor.byHand('/home', true)
  await world.run(12_000)
  assert.is(state(), 'mounted')
})

test('a filesystem whose service has ended is unmounted, and mounted once it serves again; a recovery is no end', async () => {
  const { world, real, told, state } = kept()
  await world.run(1_000)
  real.service = 'pausing'
  await world.run(5_000)
  assert.is(state(), 'mounted')
  real.service = 'ended'
  await world.run(7_000)
  assert.is(state(), 'waits')
  real.service = 'serving'
  await world.run(9_000)
  assert.equal(told(), ['filesystem-unmounted', 'filesystem-mounted'])
})

test('what cannot be mounted is told once, and tried again', async () => {
  const { world, real, monitor, told, state } = kept()
  await world.run(1_000)
  real.isMounted = false
  real.fails = 'the directory is gone'
  await world.run(20_000)
  assert.is(state(), 'failed')
  assert.is(monitor.look()[0]?.reason, 'the directory is gone')
  assert.equal(told(), ['filesystem-unmounted', 'filesystem-not-mounted'])
  real.fails = ''
  await world.run(23_000)
  assert.equal(told(), ['filesystem-mounted'])
})

test.run()
