/** A slice of `npm run e2e:replicator`. */
// time limit: 240 s
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { canMount } from './replicator/can-mount.ts'
import { replicatorTrial } from './replicator/trial.ts'

test('a tree is copied into a matrix, killed in the middle, goes on, is the same; and then what has changed alone', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-replicator-'))
  const demo = new Demo({
    ...{ nodes: 2, dir: join(dir, 'demo'), basePort: await freeBasePort(2), mount: canMount(), lunSize: '256MiB' },
  })
  try {
    await demo.start()
    await replicatorTrial({ demo, dir, files: 800, changes: 20 }, (line) => console.log(line))
  } finally {
    await demo.dispose()
    rmSync(dir, { recursive: true, force: true })
  }
})

test.run()
