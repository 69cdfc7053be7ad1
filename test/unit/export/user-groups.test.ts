/** Groups of users as the node knows them. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isPromise, type MaybePromise } from '../../../src/base/maybe-promise.ts'
import { UserGroups } from '../../../src/export/index.ts'
import { type ProgramEnd, type ProgramRun, silentLog, sleep } from '../../../src/platform/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { realPrograms } from '../../../src/platform/real/programs.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

function scene() {
  const world = new SimWorld(1)
  const { clock } = new SimHost(world, 'n1')
  const runs: string[][] = []
  const state: { answer: ProgramEnd | Error } = { answer: { how: 'exited', code: 0, output: ['100 27 1000'] } }
  const programs = {
    async run({ args }: ProgramRun): Promise<ProgramEnd> {
      runs.push([...args])
      await sleep(clock, 1)
      if (state.answer instanceof Error) throw state.answer
      return state.answer
    },
  }
  const groups = new UserGroups({ programs, clock, log: silentLog })
  const settle = async <T>(answer: MaybePromise<T>) => (isPromise(answer) ? world.settle(answer) : answer)
  return { world, runs, state, groups, of: (uid: number) => settle(groups.of(uid)) }
}

test('asked once, then known at once, and renewed behind the back of who uses them', async () => {
  const { world, runs, state, groups, of } = scene()
  const [first, second] = await world.settle(Promise.all([groups.of(7), groups.of(7)]))
  assert.equal(first, [100, 27, 1000])
  assert.is(first, second)
  assert.equal(runs, [['-G', '7']])
  assert.is(groups.of(7), first, 'no promise')
  state.answer = { how: 'exited', code: 0, output: ['100'] }
  await world.run(world.now + 301_000)
  assert.is(groups.of(7), first, 'the old answer while the new one is on its way')
  await world.run(world.now + 10)
  assert.equal(await of(7), [100])
  assert.is(runs.length, 2)
})

test('an unknown user has none; when the program fails, the last answer holds, and without one nothing is granted', async () => {
  const { world, state, groups, of } = scene()
  assert.equal(await of(7), [100, 27, 1000])
  state.answer = { how: 'exited', code: 1, output: ['id: ‘8’: no such user'] }
  assert.equal(await of(8), [])
  state.answer = { how: 'timeout', output: [''] }
  assert.equal(await of(9), [])
  await world.run(world.now + 400_000)
  groups.of(7)
  await world.run(world.now + 10)
  assert.equal(await of(7), [100, 27, 1000])
  await world.run(world.now + 3_700_000)
  assert.equal(await of(7), [])
  state.answer = { how: 'exited', code: 0, output: ['nonsense'] }
  assert.equal(await of(10), [])
  state.answer = { how: 'exited', code: 0, output: ['5 6'] }
  await world.run(world.now + 11_000)
  assert.equal(await of(10), [5, 6], 'a failure is tried again soon')
})

test('a thousand groups, of four programs at a time', async () => {
  const { world, state, groups } = scene()
  state.answer = { how: 'exited', code: 0, output: [Array.from({ length: 1000 }, (_, i) => i).join(' ')] }
  const all = await world.settle(Promise.all(Array.from({ length: 50 }, (_, uid) => groups.of(uid))))
  assert.ok(all.every((gids) => gids.length === 1000))
})

test('the real program', async () => {
  const groups = new UserGroups({ programs: realPrograms, clock: realClock, log: silentLog })
  assert.ok((await groups.of(0)).includes(0))
  assert.equal(await groups.of(4_000_000_000), [])
})

test.run()
