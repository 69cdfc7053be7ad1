// time limit: 240 s
/**
 * Two filesystems, each on a LUN of its own, and the LUN of one fails (R31, R61–R63): it goes out of service everywhere, and the other goes on at every node as if nothing
 * had happened. When the LUN is back, so is the filesystem, with all that was durable.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../src/base/errors.ts'
import { ROOT_INO } from '../../src/base/ids.ts'
import { KiB } from '../../src/base/units.ts'
import { sleep } from '../../src/platform/index.ts'
import { durable, ROOT } from './calls.ts'
import type { SimFault } from './lun.ts'
import { OTHER_FSID, SimMatrix, type SimNode } from './matrix.ts'
import { SimWorld } from './world.ts'

const SEEDS = 4

async function started(seed: number) {
  const world = new SimWorld(seed)
  const matrix = new SimMatrix(world, { nodes: 3, fencing: ['kill', 'lease'], journalBytes: 256 * KiB, other: true })
  await world.settle(matrix.format())
  await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
  return { world, matrix }
}

function otherAt(node: SimNode) {
  return node.core?.mounts.find(({ record }) => record.fsid === OTHER_FSID)
}

function homeAt(node: SimNode) {
  assert.ok(node.mount, `${node.name} serves home`)
  return node.mount
}

const make = (mount: NonNullable<SimNode['mount']>, name: string) =>
  Promise.resolve(mount.fs.create(ROOT, ROOT_INO, name, { mode: 0o644 }, 'guarded')).then(async ({ inode }) => {
    await durable(mount.fs)
    return inode.ino
  })

/** A small file with its content: of what fails the content is written first. */
const store = async (mount: NonNullable<SimNode['mount']>, name: string) => {
  await mount.fs.store(ROOT, ROOT_INO, name, Buffer.from(name), { mode: 0o644 })
  await durable(mount.fs)
}

/** Files are made in `home` at every node until it is over. How many; rejects with the first error that anybody got, and when anybody waited too long. */
function working({ nodes, timings }: SimMatrix, world: SimWorld) {
  let isOver = false
  const at = async (node: SimNode): Promise<number> => {
    for (let i = 0; ; i++) {
      if (isOver) return i
      const began = world.now
      await make(homeAt(node), `${node.name}-${began}-${i}`)
      assert.ok(world.now - began < 2 * timings.ioTimeoutMs, `${node.name} has waited for ${world.now - began} ms`)
      await sleep(node.host!.clock, 20)
    }
  }
  const all = Promise.all(nodes.map(at))
  all.catch(() => {})
  return {
    end: () => {
      isOver = true
      return all
    },
  }
}

async function until(world: SimWorld, what: string, limitMs: number, holds: () => boolean): Promise<void> {
  for (const from = world.now; !holds(); await world.run(world.now + 20))
    assert.ok(world.now - from < limitMs, `${what}, within ${limitMs} ms`)
}

const ways: readonly (readonly [string, (ioTimeoutMs: number) => SimFault])[] = [
  ['answers every command with an error', () => 'error'],
  ['hangs, and fails everything in the end', (ms) => ({ slowMs: 4 * ms, fails: true })],
]

const losses = [
  { what: 'a file is made', lose: make },
  { what: 'a file is stored', lose: store },
]

for (const [way, faultOf, what, lose] of ways.flatMap((each) =>
  losses.map(({ what, lose }) => [...each, what, lose] as const),
))
  test(`a LUN that fails everywhere isolates its filesystem, and nothing else: it ${way} when ${what} (${SEEDS} seeds)`, async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { world, matrix } = await started(seed)
      const { nodes, timings } = matrix
      const kept = await world.settle(make(otherAt(nodes[0]!)!, 'kept'))
      const lives = nodes.map(({ host }) => host)
      const work = working(matrix, world)
      await world.run(world.now + world.prng.below(500))

      const fault = faultOf(timings.ioTimeoutMs)
      const hook = () => fault
      matrix.otherDisk!.faults.add(hook)
      const lost = nodes.map((node) => lose(otherAt(node)!, `lost-${node.name}`).catch((error) => error))
      await until(world, `seed ${seed}: isolated at every node`, 12 * timings.ioLifeMs, () =>
        nodes.every((node) => !otherAt(node)),
      )
      assert.match(String(await world.settle(matrix.readError(1))), /^LUN other can be used by no node: /)
      for (const error of await world.settle(Promise.all(lost))) assert.instance(error, Error)
      const made = await world.settle(work.end())
      assert.ok(
        made.every((count) => count > 0),
        `${made}`,
      )
      assert.equal(
        nodes.map(({ host, core }) => host?.alive && !core?.halted && host),
        lives,
        'no node has ended',
      )

      // the LUN is mended: nodes that had the filesystem have to be restarted first
      matrix.otherDisk!.faults.delete(hook)
      const restore = (node: SimNode) =>
        node.core!.lunVerbs.restoreFilesystem('other').then(
          () => undefined,
          (error) => error,
        )
      const refused = await world.settle(restore(nodes[1]!))
      assert.ok(isMatrixError(refused, 'in-use'), String(refused))
      assert.match(refused.message, /was in use at n1, n2, n3 when it failed: restart matrixd there first/)
      for (const node of nodes) {
        await world.settle(matrix.stop(node))
        await world.settle(matrix.boot(node), 60_000)
      }
      for (let tries = 0; ; tries++) {
        const answer = await world.settle(restore(nodes[2]!), 60_000)
        if (answer === undefined) break
        assert.ok(isMatrixError(answer, 'view-changed', 'timeout') && tries < 100, String(answer))
        await world.run(world.now + 100)
      }
      await until(world, `seed ${seed}: in service again`, 60_000, () =>
        nodes.every((node) => otherAt(node)?.state === 'serving'),
      )
      for (const node of nodes) {
        assert.is((await world.settle(Promise.resolve(otherAt(node)!.fs.getattr(kept)))).ino, kept)
        await world.settle(make(otherAt(node)!, `after-${node.name}`))
      }
      assert.is(await world.settle(matrix.readError(1)), undefined)
      for (const node of nodes) node.host?.crash()
    }
  })

test(`a node that alone has lost its way to a LUN ends; the others serve both filesystems (${SEEDS} seeds)`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { world, matrix } = await started(seed)
    const { nodes, timings } = matrix
    const victim = nodes[seed % 3]!
    const others = nodes.filter((node) => node !== victim)
    matrix.otherDisk!.faults.add(({ host }) => (host === victim.name ? 'error' : undefined))
    await world.settle(
      make(otherAt(victim)!, 'lost').catch(() => {}),
      60_000,
    )
    await until(world, 'it has ended', 12 * timings.ioLifeMs, () => victim.core?.halted === true)
    for (const node of others) {
      await world.settle(make(otherAt(node)!, `other-${node.name}`), 60_000)
      await world.settle(make(homeAt(node), `home-${node.name}`), 60_000)
    }
    assert.is(await world.settle(matrix.readError(1)), undefined)
    for (const node of nodes) node.host?.crash()
  }
})

test.run()
