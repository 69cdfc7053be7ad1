import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, MatrixError } from '../../../src/base/errors.ts'
import { sleep } from '../../../src/platform/clock.ts'
import { silentLog } from '../../../src/platform/log.ts'
import type { ProgramEnd, ProgramRun } from '../../../src/platform/programs.ts'
import { fenceNode, type LeaseSector, ScriptAgent } from '../../../src/san/index.ts'
import { LeaseWorld, timings } from './lease-world.ts'

const test = suite('san: fence agent script')

const done: ProgramEnd = { how: 'exited', code: 0, output: [''] }

/** Node 0 fences node 1 by a script that does `work`. `deaf`: nobody can be asked through the disk. */
async function scene(
  seed: number,
  work: (run: ProgramRun) => Promise<ProgramEnd>,
  { deaf = false, dryRun = false } = {},
) {
  const w = new LeaseWorld(seed)
  const a = await w.start(0)
  const b = await w.start(1)
  const sectors = await w.world.settle(a.watch.scan())
  const victim = sectors.find(({ slot }) => slot === 1) as LeaseSector
  const runs: ProgramRun[] = []
  const said: string[] = []
  const note = (_fields: unknown, text: string) => void said.push(text)
  const agent = new ScriptAgent({
    ...{ clock: a.host.clock, watch: a.watch, timings, script: '/fence', timeoutMs: 5000, dryRun },
    lease: { requestFence: (victims) => (deaf ? Promise.reject(new Error('no way')) : a.lease.requestFence(victims)) },
    log: { ...silentLog, info: note, warn: note, error: note },
    addresses: ({ address }) => [address, { host: 'fd00::2', port: 7 }],
    programs: {
      run: (run) => {
        runs.push(run)
        return work(run)
      },
    },
  })
  return { w, a, b, victim, agent, runs, said }
}

test('the script is told whom to fence, as arguments and in its environment', async () => {
  const { w, b, victim, agent, runs } = await scene(1, async () => {
    b.host.crash()
    return done
  })
  assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
  const [run] = runs
  assert.is(run?.path, '/fence')
  assert.is(run?.timeoutMs, 5000)
  assert.equal(run?.args, ['n1', '1', '1', 'm1', '127.0.0.1:20002', '[fd00::2]:7'])
  assert.equal(run?.env, {
    MATRIXFS_NODE: 'n1',
    MATRIXFS_SLOT: '1',
    MATRIXFS_INCARNATION: '1',
    MATRIXFS_HOST: 'm1',
    MATRIXFS_ADDRESSES: '127.0.0.1:20002 [fd00::2]:7',
  })
})

test('its dry run: the same arguments behind --dry-run, what it says, and nothing else happens', async () => {
  const outcomes: (ProgramEnd | MatrixError)[] = [
    { how: 'exited', code: 0, output: ['power is on', ''] },
    { how: 'exited', code: 3, output: ['no controller'] },
    { how: 'timeout', output: [] },
    new MatrixError('not-found', 'cannot start /fence'),
  ]
  const { w, a, b, victim, agent, runs } = await scene(
    1,
    async () => {
      const next = outcomes.shift() as ProgramEnd | MatrixError
      if (next instanceof MatrixError) throw next
      return next
    },
    { dryRun: true },
  )
  const rehearse = () => w.world.settle(agent.rehearse(victim))
  assert.equal(await rehearse(), { able: true, said: '/fence --dry-run ended with 0\n  power is on' })
  assert.equal(runs[0]?.args, ['--dry-run', 'n1', '1', '1', 'm1', '127.0.0.1:20002', '[fd00::2]:7'])
  assert.is(runs[0]?.env['MATRIXFS_DRY_RUN'], '1')
  assert.equal(await rehearse(), { able: false, said: '/fence --dry-run ended with 3\n  no controller' })
  assert.equal(await rehearse(), { able: false, said: '/fence --dry-run was killed, it hung for 5000 ms' })
  assert.equal(await rehearse(), { able: false, said: 'cannot start /fence' })
  assert.ok(b.lease.goodUntil() > w.world.now && !a.watch.certainlyDead(victim))
})

test('a script that is not said to know a dry run is not run for one', async () => {
  const { w, victim, agent, runs } = await scene(1, async () => done)
  const { able, said } = await w.world.settle(agent.rehearse(victim))
  assert.ok(able)
  assert.match(said, /was not run.*script_dry_run/)
  assert.is(runs.length, 0)
})

test('a dead node is fenced once its lease is over, and within five I/O time-outs of its death (20 seeds)', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { w, a, b, victim, agent } = await scene(seed, async () => {
      await sleep(a.host.clock, w.world.prng.below(2 * timings.ioTimeoutMs))
      return done
    })
    await w.world.run(w.world.now + w.world.prng.below(2 * timings.renewMs))
    const goodUntil = b.lease.goodUntil()
    b.host.crash()
    const diedAt = w.world.now
    // whoever waits for a heartbeat that does not come is later than this
    await w.world.run(diedAt + w.world.prng.below(timings.suspectMs))
    assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
    assert.ok(w.world.now > goodUntil, `seed ${seed}: its lease was good`)
    assert.ok(w.world.now - diedAt < 5 * timings.ioTimeoutMs + 20, `seed ${seed}: ${w.world.now - diedAt} ms`)
  }
})

test('a script that ends late is followed by the time in which a healthy LUN is done with what is under way', async () => {
  const { w, a, b, victim, agent } = await scene(2, async () => {
    await sleep(a.host.clock, 5 * timings.ioTimeoutMs)
    return done
  })
  b.host.crash()
  const from = w.world.now
  assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
  assert.ok(w.world.now - from >= 6 * timings.ioTimeoutMs)
})

test('a victim that lives is asked first, and ends by itself: no script is run', async () => {
  const { w, a, b, victim, agent, runs } = await scene(9, async () => done)
  // as NodeCore does when its lease is over
  const answer = () => void (b.ends.length > 0 && b.lease.release())
  b.host.clock.every(1, answer)
  const from = w.world.now
  assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
  assert.is(runs.length, 0)
  assert.ok(w.world.now - from <= 3 * timings.renewMs && a.watch.certainlyDead(victim))
})

test('a script that has done nothing is found out by the renewals of its victim, and the next agent is asked', async () => {
  const { w, a, b, victim, agent, said } = await scene(3, async () => done, { deaf: true })
  const error = await w.world.settle(agent.fence(victim).catch((caught) => caught))
  assert.ok(isMatrixError(error, 'fence-failed'), String(error))
  assert.ok(b.lease.goodUntil() > w.world.now)
  assert.ok(said.includes('the fence script says fenced, the node goes on'))
  const by = await w.world.settle(fenceNode([agent, a.agent], victim, { clock: a.host.clock, log: silentLog }))
  assert.is(by, 'lease')
})

test('a frozen node that the script has let live is fenced when its lease is over, and writes nothing after it woke (20 seeds)', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { w, b, victim, agent } = await scene(seed, async () => done)
    let landedAt = 0
    w.disk.onLanded = ({ host, purpose }) => {
      if (host === 'n1' && purpose === 'data') landedAt = w.world.now
    }
    const write = () => void b.psd.write(8 << 20, [Buffer.alloc(512)], { purpose: 'data' }).catch(() => {})
    b.host.clock.every(3, write)
    await w.world.run(w.world.now + w.world.prng.below(1000))
    const frozenAt = w.world.now
    b.host.pause()
    assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
    const fencedAt = w.world.now
    assert.ok(fencedAt - frozenAt < 6 * timings.ioTimeoutMs)
    b.host.resume()
    await w.world.run(fencedAt + 5 * timings.observedDeadMs)
    assert.ok(landedAt > 0 && landedAt < fencedAt, `seed ${seed}: landed ${landedAt - fencedAt} ms after`)
    assert.not(b.lease.goodUntil() > w.world.now)
  }
})

test('a script that exits with anything but 0, hangs or cannot be started has fenced nobody', async () => {
  for (const [end, reason] of [
    [{ how: 'exited', code: 1, output: ['no route'] }, /script \(unable/],
    [{ how: 'killed', output: [''] }, /script \(unable/],
    [{ how: 'aborted', output: [''] }, /script \(unable/],
    [{ how: 'timeout', output: [''] }, /script \(\/fence was killed, it hung for 5000 ms/],
    [new Error('/fence cannot be started: ENOENT'), /script \(\/fence cannot be started: ENOENT/],
  ] as const) {
    const { w, a, b, victim, agent } = await scene(4, () =>
      end instanceof Error ? Promise.reject(end) : Promise.resolve(end),
    )
    b.host.crash()
    const fence = fenceNode([agent], victim, { clock: a.host.clock, log: silentLog })
    const error = await w.world.settle(fence.catch((caught) => caught))
    assert.ok(isMatrixError(error, 'fence-failed'), String(error))
    assert.match(error.message, reason)
  }
})

test('a script that has done its work is not run again because the lease could not be read; one that lied is', async () => {
  const { w, b, victim, agent, runs } = await scene(5, async () => done)
  b.host.crash()
  const fault = () => 'error' as const
  w.disk.faults.add(fault)
  assert.is(await w.world.settle(agent.fence(victim)), 'unable')
  w.disk.faults.delete(fault)
  assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
  assert.is(runs.length, 1)

  const liar = await scene(6, async () => done, { deaf: true })
  for (let i = 0; i < 2; i++) await liar.w.world.settle(liar.agent.fence(liar.victim).catch(() => {}))
  assert.is(liar.runs.length, 2)
})

test('a node that has left is fenced without a script', async () => {
  const { w, a, b, victim, agent, runs } = await scene(7, async () => done)
  await w.world.settle(b.lease.release())
  await w.world.settle(a.watch.scan())
  assert.is(await w.world.settle(agent.fence(victim)), 'fenced')
  assert.is(runs.length, 0)
})

test('an abandoned fence ends at once, unable', async () => {
  const { w, b, victim, agent } = await scene(8, async () => done)
  b.host.crash()
  const abort = new AbortController()
  const outcome = agent.fence(victim, abort.signal)
  const from = w.world.now
  w.world.at(50, () => abort.abort())
  assert.is(await w.world.settle(outcome), 'unable')
  assert.ok(w.world.now - from < 50 + 2 * timings.renewMs)
})

test.run()
