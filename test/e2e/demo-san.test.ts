/** `matrix demo --san`: LUNs at a target of its own, fencing there, and cables that are pulled and put back. */
// time limit: 240 s
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const demo = new Demo({ nodes: 3, lunSize: '256MiB', basePort: await freeBasePort(4), san: 'own' })
/** Longer than any takeover, with what a busy machine adds, ms. */
const PATIENCE_MS = 60_000

async function put(node: string, name: string, body: string): Promise<void> {
  const answer = await fetch(`${demo.node(node).http.url}${name}`, {
    method: 'PUT',
    body,
    signal: AbortSignal.timeout(30_000),
  })
  assert.ok(answer.ok, `PUT ${name} at ${node}: ${answer.status}`)
}

async function get(node: string, name: string): Promise<string> {
  const answer = await fetch(`${demo.node(node).http.url}${name}`, { signal: AbortSignal.timeout(30_000) })
  return `${answer.status} ${await answer.text()}`
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; ; await sleep(100)) {
    if (await holds()) return
    assert.ok(performance.now() < deadline, `${what}\n${demo.output}`)
  }
}

test('three nodes come up on the target, and say how to pull a cable', async () => {
  await demo.start()
  assert.match(demo.output, /an iSCSI target at 127\.0\.0\.1:\d+ and 127\.0\.0\.1:\d+/)
  assert.match(demo.output, /demo cut n2 san .* or .* demo cut n2 net/)
  assert.match(demo.matrix.luns[0]?.url ?? '', /^iscsi:\/\/127\.0\.0\.1:\d+,127\.0\.0\.1:\d+\/iqn/)
  await put('n1', 'a', 'of n1')
  assert.is(await get('n3', 'a'), '200 of n1')
})

for (const [node, cable] of [
  ['n2', 'san'],
  ['n3', 'net'],
] as const)
  test(`a node whose ${cable} cable is pulled ends; the others go on; put back, it comes back`, async () => {
    await put(node, `held-${cable}`, 'before')
    const { pid } = demo.node(node)
    await demo.drill('cut', node, cable)
    await until(`${node} ends`, () => demo.output.includes(`${node} has halted`))
    await until('the others go on with what it held', () =>
      put('n1', `held-${cable}`, 'meanwhile').then(
        () => true,
        () => false,
      ),
    )
    await demo.drill('heal', node)
    await until(`${node} is another process`, () => demo.node(node).pid !== pid && demo.node(node).pid !== 0)
    await until(`${node} serves what was written meanwhile`, () =>
      get(node, `held-${cable}`).then(
        (answer) => answer === '200 meanwhile',
        () => false,
      ),
    )
  })

test('a fence is tried: the node is cut off at the LUNs, recovered, and back, with the times of each', async () => {
  const ofN1 = ['--config', join(demo.dir, 'n1.toml')]
  const plan = demo.matrixCommand('fence', 'test', 'n2', '--dry-run', ...ofN1)
  assert.match(plan, /n2 \(slot 1, life \d+\) would be fenced by scsi-pr; nothing was done/)
  assert.match(await get('n2', 'a'), /of n1/)
  const told = demo.matrixCommand('fence', 'test', 'n2', ...ofN1)
  assert.match(told, /s {2}fenced by scsi-pr\n.*s {2}recovered.*\n.*s {2}back: n2 is a member again/)
  await until('n2 serves', () =>
    get('n2', 'a').then(
      (answer) => answer === '200 of n1',
      () => false,
    ),
  )
  assert.throws(() => demo.matrixCommand('fence', 'test', 'n1', ...ofN1), /is the node that was asked/)
  assert.throws(
    () => demo.matrixCommand('fence', 'test', 'n9', ...ofN1),
    /n9 is no member now; members beside this node: n2, n3|n3, n2/,
  )
})

test('nothing is wrong with the filesystem, and nothing is left running', async () => {
  assert.match(demo.check(), /filesystem home is sound/)
  const run = join(demo.dir, 'run/target.json')
  const { process: target } = JSON.parse(readFileSync(run, 'utf8'))
  await demo.stop()
  assert.is(JSON.parse(readFileSync(run, 'utf8')).state, 'stopped')
  assert.not.ok(existsSync(`/proc/${target.pid}/cwd`) && existsSync(join(demo.dir, 'matrix.json')))
})

test.after(() => demo.dispose())
test.run()
