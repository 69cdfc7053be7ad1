/** `npm run check`: all checks, each to its end even when another fails. */
import { spawn } from 'node:child_process'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = join(root, 'node_modules', '.bin')

const CHECKS: [string, string[]][] = [
  ['types', [join(bin, 'tsc'), '--noEmit']],
  ['types of the page', [join(bin, 'tsc'), '--noEmit', '-p', 'tsconfig.page.json']],
  ['types of the dashboard', [join(bin, 'tsc'), '--noEmit', '-p', join(root, 'tsconfig.ui.json')]],
  ['format and lint', [join(bin, 'biome'), 'check', '--error-on-warnings', '--max-diagnostics=100']],
  ['imports', [process.execPath, join(root, 'tools/check-imports.ts')]],
  ['banned calls', [process.execPath, join(root, 'tools/check-banned.ts')]],
]

function run([command, ...args]: string[]): Promise<{ ok: boolean; output: string; seconds: number }> {
  return new Promise((done) => {
    const started = performance.now()
    let output = ''
    const settle = (ok: boolean): void => done({ ok, output, seconds: (performance.now() - started) / 1000 })
    const env = { ...process.env, PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` }
    const child = spawn(command!, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const collect = (text: string): void => {
      output += text
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    child.on('error', (err) => {
      output += `${err.message}\n`
      settle(false)
    })
    child.on('close', (code) => settle(code === 0))
  })
}

const failed: string[] = []
const results = CHECKS.map(([, command]) => run(command))
for (const [i, [name]] of CHECKS.entries()) {
  const { ok, output, seconds } = await results[i]!
  process.stdout.write(`${ok ? 'ok  ' : 'FAIL'} ${name}  ${seconds.toFixed(1)} s\n`)
  if (!ok) {
    failed.push(name)
    process.stdout.write(`${output.trimEnd().replace(/^/gm, '     ')}\n`)
  }
}
process.stdout.write(failed.length > 0 ? `failed: ${failed.join(', ')}\n` : 'all checks passed\n')
process.exitCode = failed.length > 0 ? 1 : 0
