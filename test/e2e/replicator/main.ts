/** `npm run e2e:replicator [-- --files 10000]`: trial.ts with a tree of ten thousand files. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { scriptOptions } from '../../helpers/script-options.ts'
import { canMount } from '../can-mount.ts'
import { Demo } from '../demo.ts'
import { freeBasePort } from '../free-ports.ts'
import { replicatorTrial } from './trial.ts'

const values = scriptOptions(
  { files: { type: 'string', default: '10000' }, changes: { type: 'string', default: '100' } },
  `usage: npm run e2e:replicator -- [options]

  --files N      real files in the tree (10000)
  --changes N    of them are changed afterwards (100)`,
)

const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-replicator-'))
const demo = new Demo({ nodes: 2, dir: join(dir, 'demo'), basePort: await freeBasePort(2), mount: canMount() })
const began = performance.now()
const say = (line: string) => console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${line}`)
try {
  await demo.start()
  await replicatorTrial({ demo, dir, files: Number(values.files), changes: Number(values.changes) }, say)
  say('done')
} finally {
  await demo.dispose()
  rmSync(dir, { recursive: true, force: true })
}
