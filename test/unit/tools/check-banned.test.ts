import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkBanned, type Exemption } from '../../../tools/check-banned.ts'
import { withTree } from './tree.ts'

const test = suite('tools/check-banned.ts')
const script = fileURLToPath(new URL('../../../tools/check-banned.ts', import.meta.url))

function check(files: Record<string, string>, exemptions?: Exemption[]): string[] {
  return withTree(files, (root) => checkBanned(root, exemptions).map((f) => `${f.file}:${f.line} ${f.message}`))
}

const BELOW = [
  'Date.now()',
  'new Date()',
  'new Date(0)',
  'Date()',
  'performance.now()',
  'process.hrtime.bigint()',
  'setTimeout(f, 1)',
  'const later = setTimeout',
  'globalThis.setTimeout(f, 1)',
  'setInterval(f, 1)',
  'setImmediate(f)',
  'Math.random()',
  'Math\n.random()',
  'crypto.randomUUID()',
  'globalThis.crypto.getRandomValues(a)',
  `import { randomBytes } from 'node:crypto'`,
  `import { createHash, randomInt as r } from 'node:crypto'`,
  `import * as c from 'node:crypto'; c.randomBytes(4)`,
  `import c from 'node:crypto'; c.randomBytes(4)`,
  `import fs from 'node:fs'`,
  `import { open } from 'node:fs/promises'`,
  `import type { Socket } from 'node:net'`,
  `import 'node:tls'`,
  `import 'node:dgram'`,
  `import 'node:child_process'`,
  `import 'node:worker_threads'`,
  `import 'node:http'`,
  `import { setTimeout as sleep } from 'node:timers/promises'`,
  `await import('node:fs')`,
  `require('fs')`,
  '`${Date.now()}`',
]

test('below floor 7 each of these is caught, with what to use instead', () => {
  for (const text of BELOW) {
    for (const file of ['src/base/a.ts', 'src/platform/a.ts', 'src/san/iscsi/a.ts', 'src/recovery/a.ts']) {
      const found = check({ [file]: `\n${text}\n` })
      assert.is(found.length, 1, `${text}\n${found.join('\n')}`)
      assert.match(found[0]!, new RegExp(`^${file}:2 .*: (use|have) `))
    }
  }
})

test('src/platform/real may do all of it', () => {
  assert.equal(check({ 'src/platform/real/a.ts': BELOW.join('\n') }), [])
})

test('comments, strings, members and look-alikes are let through', () => {
  const found = check({
    'src/cluster/a.ts': `
// Date.now() and setTimeout(f, 1)
/* Math.random() */
const text = 'Date.now()' + "setTimeout(f)" + \`Math.random() \${clock.now()}\`
const pattern = /new Date()/
clock.setTimeout(f, 1)
const timers = { setTimeout: fake, setInterval: fake }
queueMicrotask(f)
const myDate = toDate(1), x = myMath.random()
random.randomInt(5)
function f(date: Date): void {}
import { createHash } from 'node:crypto'
import type { Cluster } from './cluster.ts'
`,
  })
  assert.equal(found, [])
})

test('from floor 7 up only the network is kept out, from floor 9 up nothing', () => {
  const all = BELOW.filter((text) => !/node:(net|tls|dgram|http)/.test(text)).join('\n')
  assert.equal(check({ 'src/export/a.ts': all, 'src/services/a.ts': all }), [])
  for (const file of ['src/export/a.ts', 'src/services/a.ts', 'src/config/a.ts']) {
    const found = check({ [file]: `import 'node:http'` })
    assert.is(found.length, 1)
    assert.match(found[0]!, /import of node:http: use the network/)
  }
  assert.equal(check({ 'src/gateway-nfs/a.ts': `import 'node:net'`, 'src/node/main.ts': `import 'node:net'` }), [])
})

test('console is for src/cli', () => {
  for (const file of ['src/base/a.ts', 'src/platform/real/a.ts', 'src/node/a.ts', 'src/admin/a.ts']) {
    const found = check({ [file]: `console.log('x')` })
    assert.is(found.length, 1)
    assert.match(found[0]!, /console\.log: use the log/)
  }
  assert.equal(check({ 'src/cli/a.ts': `console.log('x')`, 'src/base/b.ts': 'log.console.log()' }), [])
})

test('workers of the SAN may use threads, and nothing else', () => {
  assert.equal(check({ 'src/san/lease-worker.ts': `import 'node:worker_threads'` }), [])
  assert.is(check({ 'src/san/lease-worker.ts': `import 'node:fs'` }).length, 1)
  assert.is(check({ 'src/cluster/a-worker.ts': `import 'node:worker_threads'` }).length, 1)
})

test('an exemption lifts one rule for one file, wants a reason, and must be needed', () => {
  const files = { 'src/base/a.ts': 'Date.now(); Math.random()' }
  const exemption: Exemption = { file: 'src/base/a.ts', rule: 'clock', reason: 'because' }
  const found = check(files, [exemption])
  assert.is(found.length, 1)
  assert.match(found[0]!, /Math\.random/)
  assert.match(check(files, [{ ...exemption, reason: ' ' }]).join('\n'), /gives no reason/)
  assert.match(check({ 'src/base/a.ts': '' }, [exemption]).join('\n'), /no longer needed/)
})

test('the command prints findings and says so in its exit code', () => {
  const run = (root: string) => spawnSync(process.execPath, [script, '--root', root], { encoding: 'utf8' })
  withTree({ 'src/base/a.ts': '\nDate.now()' }, (root) => {
    const { status, stdout } = run(root)
    assert.is(status, 1)
    assert.is(stdout, 'src/base/a.ts:2: Date.now: use the clock that is handed in (src/platform)\n')
  })
  withTree({ 'src/base/a.ts': '' }, (root) => assert.is(run(root).status, 0))
})

test.run()
