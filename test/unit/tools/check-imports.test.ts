import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkImports, FACES, type Face } from '../../../tools/check-imports.ts'
import { withTree } from './tree.ts'

const test = suite('tools/check-imports.ts')
const script = fileURLToPath(new URL('../../../tools/check-imports.ts', import.meta.url))

/** The findings in a tree of these files, as `file:line message`. */
function check(files: Record<string, string>, faces?: Face[]): string[] {
  return withTree(files, (root) => checkImports(root, faces).map((f) => `${f.file}:${f.line} ${f.message}`))
}

const imports = (...paths: string[]): string => paths.map((path) => `import '${path}'\n`).join('')

function only(found: string[], where: string, what: RegExp): void {
  assert.is(found.length, 1, found.join('\n'))
  assert.ok(found[0]!.startsWith(`${where} `), found[0])
  assert.match(found[0]!, what)
}

test('a well-built tree has no findings', () => {
  const found = check({
    'package.json': '{"dependencies":{"koa":"1","@zenfs/core":"1"}}',
    'src/base/crc.ts': '',
    'src/platform/clock.ts': imports('../base/crc.ts'),
    'src/platform/real/clock.ts': imports('../clock.ts'),
    'src/san/index.ts': imports('./lun.ts'),
    'src/san/lun.ts': imports('../platform/clock.ts', '../base/crc.ts', 'node:fs'),
    'src/san/lease-worker.ts': imports('../platform/real/clock.ts', './lun.ts'),
    'src/san/leases.ts': `new URL('./lease-worker.ts', import.meta.url)`,
    'src/config/index.ts': imports('../base/crc.ts'),
    'src/gateway-http/index.ts': imports('../san/index.ts', '../config/index.ts', 'koa', '@zenfs/core/path'),
    'src/node/main.ts': imports('../gateway-http/index.ts', '../platform/real/clock.ts', '../config/index.ts'),
    'src/cli/main.ts': `new URL('../node/main.ts', import.meta.url)`,
    'test/unit/lun.test.ts': imports('../../src/san/lun.ts', '../../src/platform/real/clock.ts', 'uvu'),
    'bench/lun.ts': imports('../src/san/lun.ts', '../src/platform/real/clock.ts'),
  })
  assert.equal(found, [])
})

test('imports upwards are caught, type imports and thread entries too', () => {
  const files = { 'src/locking/index.ts': '', 'src/san/index.ts': '' }
  for (const line of [
    `import { a } from '../locking/index.ts'`,
    `import type { A } from '../locking/index.ts'`,
    `export * from '../locking/index.ts'`,
    `type A = import('../locking/index.ts').A`,
    `new URL('../locking/index.ts', import.meta.url)`,
  ]) {
    only(
      check({ ...files, 'src/cluster/a.ts': `// a comment\n${line}\n` }),
      'src/cluster/a.ts:2',
      /floor 3\) must not import src\/locking \(upwards to floor 4/,
    )
  }
})

test('siblings are kept apart', () => {
  only(
    check({ 'src/admin/index.ts': '', 'src/gateway-nfs/a.ts': imports('../admin/index.ts') }),
    'src/gateway-nfs/a.ts:1',
    /a sibling on floor 9/,
  )
  only(check({ 'src/node/index.ts': '', 'src/cli/a.ts': imports('../node/index.ts') }), 'src/cli/a.ts:1', /sibling/)
})

test('another folder is entered by its face only', () => {
  const files = { 'src/san/index.ts': '', 'src/san/scsi/cdb.ts': '', 'src/cluster/a.ts': imports('../san/scsi/cdb.ts') }
  only(check(files), 'src/cluster/a.ts:1', /import src\/san\/index\.ts instead of src\/san\/scsi\/cdb\.ts/)
  assert.equal(check(files, [...FACES, { path: 'src/san/scsi/', reason: 'test' }]), [])
  assert.equal(check(files, [{ path: 'src/san/scsi/cdb.ts', reason: 'test' }]), [])
})

test('src/config is for the floors from 9 up', () => {
  const files = { 'src/config/index.ts': '' }
  only(check({ ...files, 'src/services/a.ts': imports('../config/index.ts') }), 'src/services/a.ts:1', /sibling/)
  only(check({ ...files, 'src/export/a.ts': imports('../config/index.ts') }), 'src/export/a.ts:1', /upwards/)
})

test('the real platform is for the top floor, workers of the SAN, tests and bench', () => {
  const files = { 'src/platform/real/clock.ts': '' }
  for (const file of ['src/platform/a.ts', 'src/san/a.ts', 'src/admin/a.ts', 'src/cluster/a-worker.ts']) {
    const path = file.startsWith('src/platform') ? './real/clock.ts' : '../platform/real/clock.ts'
    only(check({ ...files, [file]: imports(path) }), `${file}:1`, /src\/platform\/real may be imported only by/)
  }
})

test('circles between files are caught and spelled out', () => {
  only(
    check({
      'src/base/a.ts': imports('./b.ts'),
      'src/base/b.ts': `\nimport type { C } from './c.ts'`,
      'src/base/c.ts': imports('./a.ts'),
      'src/base/d.ts': imports('./a.ts'),
    }),
    'src/base/a.ts:1',
    /circle: src\/base\/a\.ts -> src\/base\/b\.ts -> src\/base\/c\.ts -> src\/base\/a\.ts$/,
  )
})

test('src knows nothing of test, bench and tools', () => {
  for (const folder of ['test', 'bench', 'tools']) {
    only(
      check({ [`${folder}/a.ts`]: '', 'src/base/a.ts': imports(`../../${folder}/a.ts`) }),
      'src/base/a.ts:1',
      /src never imports/,
    )
  }
})

test('files on no floor, missing files, unlisted packages and bare builtins are caught', () => {
  only(check({ 'src/attic/a.ts': '' }), 'src/attic/a.ts:1', /lies on no floor/)
  only(check({ 'src/a.ts': '' }), 'src/a.ts:1', /lies on no floor/)
  only(check({ 'src/base/a.ts': imports('./gone.ts') }), 'src/base/a.ts:1', /there is no src\/base\/gone\.ts/)
  only(check({ 'src/base/a.ts': imports('fs') }), 'src/base/a.ts:1', /write node:fs/)
  only(
    check({ 'package.json': '{"devDependencies":{"uvu":"1"}}', 'src/base/a.ts': imports('uvu/assert') }),
    'src/base/a.ts:1',
    /uvu is not among the dependencies/,
  )
})

test('the command prints findings and says so in its exit code', () => {
  const run = (root: string) => spawnSync(process.execPath, [script, '--root', root], { encoding: 'utf8' })
  withTree({ 'src/base/a.ts': '\nimport "../san/index.ts"', 'src/san/index.ts': '' }, (root) => {
    const { status, stdout } = run(root)
    assert.is(status, 1)
    assert.match(stdout, /^src\/base\/a\.ts:2: /)
  })
  withTree({ 'src/base/a.ts': '' }, (root) => assert.is(run(root).status, 0))
})

test.run()
