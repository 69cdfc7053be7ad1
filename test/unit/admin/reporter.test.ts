/** Nodes that ask each other over a real mesh: what comes of those that say too much, nonsense, or nothing. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LockReport, Sample } from '../../../src/admin/api/node-report.ts'
import { type OwnReports, Reporter } from '../../../src/admin/reporter.ts'
import { MatrixError } from '../../../src/base/errors.ts'
import { Prng } from '../../../src/base/prng.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { ClusterNode, type View } from '../../../src/cluster/index.ts'
import { silentLog } from '../../../src/platform/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { createTcpTransport } from '../../../src/platform/real/transport.ts'
import { freePort } from '../../helpers/free-port.ts'

type Context = { nodes: ClusterNode[]; reporters: Reporter[]; says: (OwnReports | undefined)[] }
const test = suite<Context>('admin reporter', {} as Context)

const lock = (name: string): LockReport => ({
  ...{ filesystem: 'home', name, type: 'I', number: 7, master: 'n0', heat: 1 },
  ...{ holders: [{ slot: 0, mode: 'EX', absent: false }], waiters: [] },
})
const never = new Promise<never>(() => {})

test.before(async (c) => {
  const ports = [await freePort(), await freePort(), await freePort()]
  const all = ports.map((port, slot) => ({ slot, name: `n${slot}`, address: { host: '127.0.0.1', port } }))
  const views: View[] = []
  c.says = []
  c.nodes = all.map((self) => {
    const node = new ClusterNode({
      self: { ...self, incarnation: 1 },
      peers: all.filter(({ slot }) => slot !== self.slot),
      ...{
        matrixName: 'm',
        clock: realClock,
        timings: timingsFrom(1000),
        prng: new Prng(self.slot + 1),
        log: silentLog,
      },
      transport: createTcpTransport({ secret: 'sesame', matrixName: 'm', log: silentLog }),
    })
    node.addListener({ blocked() {}, installed: (view) => void views.push(view) })
    return node
  })
  c.reporters = c.nodes.map((node, slot) => {
    const own: OwnReports = {
      node: () => c.says[slot]?.node() ?? never,
      locks: () => c.says[slot]?.locks() ?? [],
      samples: (since) => c.says[slot]?.samples(since) ?? [],
    }
    return new Reporter(node.mesh, own, { slot, name: `n${slot}` })
  })
  await Promise.all(c.nodes.map((node) => node.start()))
  for (let waited = 0; views.filter(({ members }) => members.length === 3).length < 3; waited += 20) {
    assert.ok(waited < 20_000, 'they never met')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
})
test.after(async (c) => {
  for (const node of c.nodes) await node.stop()
})

test('everybody answers, each for itself', async (c) => {
  c.says = [0, 1, 2].map((slot) => ({ node: () => never, locks: () => [lock(`I:${slot}`)], samples: () => [] }))
  for (const reporter of c.reporters) {
    const answers = await reporter.locks()
    assert.equal(
      answers.map(({ slot, node, value }) => [slot, node, value?.[0]?.name]),
      [
        [0, 'n0', 'I:0'],
        [1, 'n1', 'I:1'],
        [2, 'n2', 'I:2'],
      ],
    )
  }
})

test('who says too much, or nonsense, is shown as such, and stays a member', async (c) => {
  c.says = [
    { node: () => never, locks: () => [lock('I:0')], samples: () => [] },
    { node: () => never, locks: () => [lock('x'.repeat(5_000_000))], samples: () => [] },
    { node: () => never, locks: () => [{ heat: 'hot' } as unknown as LockReport], samples: () => [] },
  ]
  const [own, large, odd] = await c.reporters[0]!.locks()
  assert.is(own?.value?.length, 1)
  assert.match(large?.error ?? '', /5000\d{3} bytes to say; 4194304 are allowed/)
  assert.match(odd?.error ?? '', /malformed report of locks/)
  assert.is(c.nodes[0]!.mesh.view?.members.length, 3)
})

test('who does not answer is waited for a moment only; nor does one own failure keep the others back', async (c) => {
  const failing = async () => {
    throw new MatrixError('withdrawn', 'it is about to end')
  }
  c.says = [{ node: failing, locks: () => [], samples: () => [] }]
  const answers = await c.reporters[0]!.nodes()
  assert.equal(
    answers.map(({ error }) => error),
    [
      'it is about to end',
      'no answer from slot 1 on channel report within 1500 ms',
      'no answer from slot 2 on channel report within 1500 ms',
    ],
  )
})

test('samples are asked for from a moment on, of each node its own', async (c) => {
  const asked: number[] = []
  c.says = [0, 1, 2].map((slot) => ({
    node: () => never,
    locks: () => [],
    samples: (since) => {
      asked[slot] = since
      return [] as Sample[]
    },
  }))
  await c.reporters[1]!.samples((slot) => 100 + slot)
  assert.equal(asked, [100, 101, 102])
})

test.run()
