/**
 * `npm run build`: the package as plain JavaScript in dist/, with what is served as it is: the file page's assets.
 *
 *     node tools/build.ts [--out DIR]
 */
import { spawnSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const ASSETS = 'src/gateway-http/page/assets'

const { values } = parseArgs({ options: { out: { type: 'string', default: join(root, 'dist') } } })
const tsc = join(root, 'node_modules/.bin/tsc')
const { status } = spawnSync(tsc, ['-p', join(root, 'tsconfig.build.json'), '--outDir', values.out], {
  stdio: 'inherit',
})
if (status === 0) {
  // Names that are no more must not be served.
  rmSync(join(values.out, ASSETS), { recursive: true, force: true })
  cpSync(join(root, ASSETS), join(values.out, ASSETS), { recursive: true })
}
process.exitCode = status ?? 1
