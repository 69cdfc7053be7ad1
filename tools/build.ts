/**
 * `npm run build`: the package as plain JavaScript in dist/, with what browsers run as it is: the file page's assets and the dashboard.
 *
 *     node tools/build.ts [--out DIR]
 */
import { spawnSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** Folders that are copied, not compiled. */
const COPIED = ['src/admin/ui', 'src/gateway-http/page/assets']

const { values } = parseArgs({ options: { out: { type: 'string', default: join(root, 'dist') } } })
const out = resolve(values.out)
rmSync(out, { recursive: true, force: true })
const compiler = join(root, 'node_modules', '.bin', 'tsc')
const { status } = spawnSync(compiler, ['-p', join(root, 'tsconfig.build.json'), '--outDir', out], { stdio: 'inherit' })
if (status === 0) for (const folder of COPIED) cpSync(join(root, folder), join(out, folder), { recursive: true })
process.exitCode = status ?? 1
