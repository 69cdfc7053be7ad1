/** Services, applications and devices of one node (R30, R32) in virtual time: repaired here first, then they count against the node, by policy. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MatrixError } from '../../../src/base/errors.ts'
import type { ByteStream, ProgramEnd } from '../../../src/platform/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { type ProbeTools, type Service, ServiceKeeper } from '../../../src/services/index.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const test = suite('services: keeper')
const script = (path: string) => ({ path, timeoutMs: 5_000 })
const service: Service = {
  ...{ type: 'service', name: 'web', hosts: ['www'], policy: 'AUTORECOVER', weight: 1 },
  check: { kind: 'tcp', at: { host: 'x', port: 80 }, intervalMs: 1000, timeoutMs: 500, retries: 2 },
  ...{ startsFirst: false, restarts: 1, recoverAfterMs: 60_000 },
}
const application: Service = { ...service, type: 'application', start: script('/start'), stop: script('/stop') }

/** A service that runs or not; its scripts do what they should, unless they are among `broken`; those among `slow` end only when they are killed. */
function kept(what: Service) {
  const world = new SimWorld(1)
  const { clock } = new SimHost(world, 'n1')
  const real = { runs: false, broken: new Set<string>(), slow: new Set<string>(), needed: true }
  const done: string[] = []
  const events: string[] = []
  const stream = { reset() {}, write() {} } as unknown as ByteStream
  const tools: ProbeTools = {
    dialer: {
      dial: () =>
        real.runs ? Promise.resolve(stream) : Promise.reject(new MatrixError('peer-gone', 'nobody listens there')),
    },
    tls: { dial: () => Promise.reject(new Error('no TLS here')) },
    programs: {
      async run({ path, args, abort }): Promise<ProgramEnd> {
        const [action = ''] = args
        assert.is(path, `/${action}`)
        done.push(action)
        if (real.slow.has(action)) {
          await new Promise<void>((resolve) => abort?.addEventListener('abort', () => resolve()))
          done.push(`${action} killed`)
          return { how: 'aborted', output: [] }
        }
        if (real.broken.has(action)) return { how: 'exited', code: 3, output: ['it is broken'] }
        real.runs = action !== 'stop'
        return { how: 'exited', code: 0, output: [] }
      },
    },
    whyNot: () => undefined,
  }
  const keeper = new ServiceKeeper(what, {
    ...{ node: 'n1', clock, log: silentLog, tools, isNeeded: () => real.needed, onChange: () => {} },
    publish: ({ kind }) => events.push(kind),
  })
  return { world, real, keeper, done, told: () => events.splice(0), did: () => done.splice(0) }
}

test('a service that was never asked counts against its node; once it answers it does not', async () => {
  const { world, real, keeper, told } = kept(service)
  assert.ok(keeper.counts)
  real.runs = true
  keeper.begin()
  await world.run(1_100)
  assert.not(keeper.counts)
  assert.equal(told(), ['service-up'])
})

test('a service without a repair counts once it is down, and no more once it is up', async () => {
  const { world, real, keeper, told } = kept(service)
  real.runs = true
  keeper.begin()
  await world.run(10)
  real.runs = false
  await world.run(2_900)
  assert.not(keeper.counts, 'two failures')
  await world.run(3_100)
  assert.ok(keeper.counts)
  real.runs = true
  await world.run(4_100)
  assert.not(keeper.counts)
  assert.equal(told(), ['service-up', 'service-down', 'service-up'])
})

test('it is repaired here first, and counts meanwhile only where its host is not', async () => {
  const { world, real, keeper, told, did } = kept({ ...service, recover: script('/recover') })
  real.runs = true
  keeper.begin()
  await world.run(10)
  real.runs = false
  real.slow.add('recover')
  await world.run(3_100)
  assert.is(keeper.look().state, 'repairing')
  assert.not(keeper.counts)
  real.needed = false
  assert.ok(keeper.counts)
  keeper.end()
  await world.run(3_200)
  assert.equal(did(), ['recover', 'recover killed'])
  assert.equal(told(), ['service-up', 'service-down'])
})

test('a repair that helps is told; one more within five minutes than there may be, and it counts', async () => {
  const { world, real, keeper, told, did } = kept({ ...service, recover: script('/recover') })
  real.runs = true
  keeper.begin()
  await world.run(10)
  real.runs = false
  await world.run(4_000)
  assert.is(keeper.look().state, 'up')
  assert.equal(told(), ['service-up', 'service-down', 'service-restarted'])
  real.runs = false
  real.broken.add('recover')
  await world.run(8_000)
  assert.ok(keeper.counts)
  assert.equal(told(), ['service-down', 'service-failed'])
  await world.run(60_000)
  assert.equal(told(), [], 'it is told once')
  assert.ok(did().length > 3, 'and tried again and again')
  real.broken.clear()
  await world.run(80_000)
  assert.not(keeper.counts)
  assert.equal(told(), ['service-restarted'])
})

test('NOAUTORECOVER: what has failed counts until a person says otherwise, although it answers', async () => {
  const { world, real, keeper, told } = kept({ ...service, policy: 'NOAUTORECOVER' })
  real.runs = true
  keeper.begin()
  await world.run(10)
  real.runs = false
  await world.run(4_000)
  real.runs = true
  await world.run(100_000)
  assert.is(keeper.look().state, 'up')
  assert.ok(keeper.counts)
  keeper.clearFailure()
  assert.not(keeper.counts)
  assert.equal(told(), ['service-up', 'service-down', 'service-up', 'service-cleared'])
})

test('NOFAILOVER: it is repaired and told, and never counts', async () => {
  const { world, real, keeper, told } = kept({ ...service, policy: 'NOFAILOVER', recover: script('/recover') })
  assert.not(keeper.counts)
  real.broken.add('recover')
  keeper.begin()
  await world.run(10_000)
  assert.not(keeper.counts)
  assert.equal(told(), ['service-down', 'service-failed'])
})

test('an application is started, probed, and stopped', async () => {
  const { world, keeper, told, did } = kept(application)
  assert.not(keeper.counts, 'it does not run here, and may')
  keeper.begin()
  await world.run(5_000)
  assert.equal(did(), [])
  void keeper.start()
  await world.run(6_000)
  assert.is(keeper.look().state, 'up')
  void keeper.stop()
  await world.run(7_000)
  assert.is(keeper.look().state, 'idle')
  assert.equal(did(), ['start', 'stop'])
  assert.equal(told(), ['application-started', 'application-stopped'])
})

test('an application that dies is started again here; one that cannot start counts here, also once its host has gone, until it may be tried again', async () => {
  const { world, real, keeper, told, did } = kept(application)
  void keeper.start()
  await world.run(1_000)
  real.runs = false
  await world.run(5_000)
  assert.is(keeper.look().state, 'up')
  assert.equal(did(), ['start', 'stop', 'start'])
  assert.equal(told(), ['application-started', 'service-down', 'service-restarted'])
  real.runs = false
  real.broken.add('start')
  await world.run(9_000)
  assert.ok(keeper.counts)
  real.needed = false
  void keeper.stop()
  await world.run(10_000)
  assert.equal(told(), ['service-down', 'service-failed', 'application-stopped'])
  assert.ok(keeper.counts, 'it has failed here')
  await world.run(60_000)
  assert.ok(keeper.counts)
  await world.run(70_000)
  assert.not(keeper.counts)
  assert.equal(told(), ['service-cleared'])
})

test('a start that hangs is killed when the host goes, before the stop script runs', async () => {
  const { world, real, keeper, did } = kept(application)
  real.slow.add('start')
  void keeper.start()
  await world.run(100)
  void keeper.stop()
  await world.run(200)
  assert.equal(did(), ['start', 'start killed', 'stop'])
  assert.is(keeper.look().state, 'idle')
})

test('an application that may still run counts here; a former life is stopped before this one joins', async () => {
  const { world, real, keeper, told, did } = kept(application)
  void keeper.clear()
  await world.run(10)
  assert.equal(did(), ['stop'])
  void keeper.start()
  await world.run(1_000)
  real.broken.add('stop')
  void keeper.stop()
  await world.run(2_000)
  assert.ok(keeper.counts)
  assert.match(keeper.reason, 'it may still run: stop: exit code 3: it is broken')
  assert.equal(told(), ['application-started', 'application-not-stopped'])
})

test('a device that fails is told as one', async () => {
  const { world, real, keeper, told } = kept({ ...service, type: 'device' })
  real.runs = true
  keeper.begin()
  await world.run(10)
  real.runs = false
  await world.run(4_000)
  assert.ok(keeper.counts)
  assert.equal(told(), ['device-up', 'device-failed'])
})

test.run()
