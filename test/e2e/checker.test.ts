/** A slice of `npm run e2e:checker`: what clients of three nodes are told fits one order, while one node is killed and comes back. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { imagesEqual } from './checker/images.ts'
import { judge } from './checker/judge.ts'
import { protocols, run } from './checker/run.ts'
import { Demo, sanKind } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const SECONDS = 8

/** At a target everything goes through one I/O thread, and what a killed node had sent to it is waited for. */
const PACE = sanKind() ? 0.1 : 1

const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-checker-'))
let demo: Demo

test.before(async () => {
  demo = new Demo({ dir, lunSize: '512MiB', basePort: await freeBasePort(3), mount: true })
  await demo.start()
})
test.after(() => demo.dispose())

test('NFS, WebDAV and mounts of three nodes: every answer fits one order, through the death of a node', async () => {
  const { matrix } = demo
  const { operations, deaths } = await run({ matrix, seconds: SECONDS, protocols, clients: 2, seed: 1, kill: demo })
  const { objects, unexplained, undecided } = judge(operations, deaths)
  assert.equal([...unexplained, ...undecided], [])
  assert.is(deaths.length, 1)
  assert.ok(objects > 10 && operations.length > 500 * PACE, `${operations.length} operations on ${objects} objects`)
  for (const protocol of protocols) {
    const answered = operations.filter((operation) => operation.protocol === protocol && operation.answer !== undefined)
    assert.ok(answered.length > 100 * PACE, `${answered.length} answers by ${protocol}`)
  }
})

test('afterwards all images are equal row for row, and the filesystem is sound', async () => {
  assert.ok((await imagesEqual(demo.matrix.nodes.map(({ name }) => join(dir, name)))) > 0)
  assert.match(demo.check(), /sound/)
})

test.run()
