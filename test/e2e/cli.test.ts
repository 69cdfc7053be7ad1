/** Every command of `matrix` on a real matrix: what it says to people, what it says to programs, and how it fails. */
// time limit: 480 s
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { exitCodes } from '../../config/index.ts'
import { MiB } from '../../src/base/units.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const cli = join(new URL('../..', import.meta.url).pathname, 'src/cli/main.ts')
const demo = new Demo({ nodes: 2, lunSize: '256MiB', basePort: await freeBasePort(2) })

test.before(async () => {
  await demo.start()
  const { http } = demo.node('n1')
  for (const [name, text] of Object.entries({ hello: 'hello', 'docs/': '', 'docs/a': 'aaa' })) {
    const response = await fetch(`${http.url}${name}`, {
      method: name.endsWith('/') ? 'MKCOL' : 'PUT',
      body: text || null,
    })
    assert.ok(response.ok, `${name}: ${response.status}`)
  }
})
test.after(() => demo.dispose())

type Ended = { readonly status: number | null; readonly stdout: string; readonly stderr: string }

function matrix(words: readonly string[], env: Record<string, string> = {}): Ended {
  return spawnSync(process.execPath, [cli, ...words], { encoding: 'utf8', env: { ...process.env, ...env } })
}

/** It works, says `table` to people, and gives what `json` looks at. */
function works(words: readonly string[], table: RegExp, json: (value: never) => unknown): void {
  const { status, stdout, stderr } = matrix(words)
  assert.is(status, exitCodes.ok, `${words.join(' ')}: ${stdout}${stderr}`)
  assert.match(stdout, table, words.join(' '))
  givesJson(words, json)
}

function givesJson(words: readonly string[], json: (value: never) => unknown): void {
  const { status, stdout, stderr } = matrix([...words, '--json'])
  assert.is(status, exitCodes.ok, `${words.join(' ')} --json: ${stdout}${stderr}`)
  assert.ok(json(JSON.parse(stdout) as never), `${words.join(' ')} --json: ${stdout}`)
}

/** It fails with one clear line on standard error, and nothing on standard output. */
function fails(
  words: readonly string[],
  why: RegExp,
  code: number = exitCodes.failed,
  env: Record<string, string> = {},
): void {
  const { status, stdout, stderr } = matrix(words, env)
  assert.match(stderr, why, words.join(' '))
  assert.is(status, code, `${words.join(' ')}: ${stderr}`)
  assert.is(stdout, '', words.join(' '))
}

const config = () => ['--config', join(demo.dir, 'n1.toml')]
/** n2's plane, which is not that of the configuration. */
const plane = () => ['--node', new URL(demo.node('n2').admin?.url as string).origin]

for (const [how, asked] of [
  ['the node of this machine', config],
  ['any node by its admin plane', plane],
] as const) {
  test(`what looks, asked of ${how}`, () => {
    const at = asked()
    works(
      ['status', ...at],
      /n1 +0 [\s\S]*lun1 +256 MiB[\s\S]*home/,
      (value: { filesystems: { name: string }[] }) => value.filesystems[0]?.name === 'home',
    )
    works(['fs', 'list', ...at], /^filesystem +LUNs/, (value: { name: string }[]) => value[0]?.name === 'home')
    works(['lun', 'show', ...at], /lun1 +256 MiB +n1[\s\S]*up/, (value: { lun: string; node: string }[]) =>
      value.some(({ lun, node }) => lun === 'lun1' && node === 'n2'),
    )
    works(['export', 'list', ...at], /^\/home +home/m, (value: { path: string }[]) => value[0]?.path === '/home')
    works(['mount', ...at], /^nothing is mounted$/m, (value: unknown[]) => value.length === 0)
    works(['locks', ...at], /^covers +lock +held by/, (value: { masters: unknown[] }) => value.masters.length === 2)
    works(['locks', 'home', ...at], /^no bytes are locked$/m, (value: unknown[]) => value.length === 0)
    works(['waits', ...at], /^nobody waits$/m, (value: unknown[]) => value.length === 0)
    works(['log', ...at], /warned of nothing|Z {2}(warn|error)/, (value: { node: string }) =>
      /^n[12]$/.test(value.node),
    )
    works(
      ['counters', ...at],
      /^membership\.serving +true$/m,
      (value: { membership: { serving: boolean } }) => value.membership.serving,
    )
    works(['timeline', ...at, '--last', '1'], /view \d+: n1/, (value: { step: string }[]) =>
      value.some(({ step }) => step === 'view'),
    )
    works(
      ['sql', 'select path(ino) p from inode where size = 3', ...at],
      /^p\n\/docs\/a$/m,
      (value: { rows: unknown }) => JSON.stringify(value.rows) === '[["/docs/a"]]',
    )
    works(['vhost', 'list', ...at], /^no virtual host is configured$/m, (value: unknown[]) => value.length === 0)
    const { stdout } = matrix(['report', 'matrix', ...at])
    assert.is(JSON.parse(stdout).answeredBy, at[0] === '--node' ? 'n2' : 'n1')
    fails(['locks', 'hme', ...at], /no filesystem hme is in service at this node; it has home/)
    fails(['sql', 'drop table inode', ...at], /only SELECT, WITH, VALUES and EXPLAIN/)
    fails(['sql', 'select 1', '--rows', '0', ...at], /whole number 1…10000/, exitCodes.usage)
    fails(['report', 'weather', ...at], /Allowed choices are matrix, luns/, exitCodes.usage)
  })
}

test('who cannot be asked, or cannot be asked for this', () => {
  const missing = ['--config', join(demo.dir, 'n9.toml')]
  const looking = [
    ['export', 'list'],
    ['mount'],
    ['locks'],
    ['waits'],
    ['log'],
    ['counters'],
    ['sql', 'select 1'],
    ['vhost', 'list'],
  ]
  const changing = [
    ['export', 'reload'],
    ['umount', '/x'],
    ['fence', 'test', 'n2'],
    ['lun', 'remove', 'lun1'],
    ['lun', 'scan'],
  ]
  for (const words of [
    ...looking,
    ...changing,
    ['timeline'],
    ['support'],
    ['status'],
    ['lun', 'show'],
    ['fs', 'restore', 'home'],
  ])
    fails([...words, ...missing], /n9\.toml: there is no such file/, exitCodes.config)
  for (const words of [...looking, ['timeline'], ['status'], ['lun', 'show']])
    fails([...words, '--node', 'http://127.0.0.1:1'], /http:\/\/127\.0\.0\.1:1 cannot be asked: .*ECONNREFUSED/)
  fails(['waits', ...config(), ...plane()], /one of --node and --config/, exitCodes.usage)
  fails(['status', '--dir', demo.dir, ...plane()], /one of --node, --lun, --config and --dir/, exitCodes.usage)
  // nothing is changed through the plane: that is told before anything happens
  const env = { MATRIX_NODE: plane()[1] as string }
  for (const words of [
    ['export', 'reload'],
    ['umount', '/x'],
    ['fence', 'test', 'n2'],
    ['lun', 'remove', 'x'],
    ['vhost', 'move', 'a', 'b'],
  ])
    if (words[0] !== 'lun')
      fails(words, /changes something: run the command on the machine of node n2/, exitCodes.failed, env)
  assert.match(matrix(['waits'], env).stdout, /nobody waits/)
})

test('exports, mounts, fencing, virtual hosts', () => {
  works(
    ['export', 'reload', ...config()],
    /^\/home +home/m,
    (value: { restart: unknown[] }) => value.restart.length === 0,
  )
  works(
    ['fence', 'test', 'n2', '--dry-run', ...config()],
    /n2 \(slot 1, life \d+\) would be fenced by/,
    (value: { slot: number }) => value.slot === 1,
  )
  fails(['fence', 'test', 'n9', '--dry-run', ...config()], /n9/)
  fails(['vhost', 'move', 'files', 'n2', ...config()], /no \[\[virtual_hosts\]\]/)
  fails(['mount', 'home', ...config()], /say where to mount it/, exitCodes.usage)
  fails(['mount', 'hme', demo.dir, ...config()], /hme/)
  fails(['umount', '/nowhere', ...config()], /\/nowhere/)
  if (process.getuid?.() !== 0 || !existsSync('/dev/fuse'))
    return console.log('mounts were not tried: no root, or no /dev/fuse')
  const directory = join(demo.dir, 'here')
  mkdirSync(directory)
  const mounted = matrix(['mount', 'home', directory, ...config(), '--json'])
  assert.equal(JSON.parse(mounted.stdout), { filesystem: 'home', directory })
  assert.is(readFileSync(join(directory, 'hello'), 'utf8'), 'hello')
  assert.match(matrix(['mount', ...config()]).stdout, new RegExp(`^home +${directory}$`, 'm'))
  assert.equal(JSON.parse(matrix(['umount', directory, ...config(), '--json']).stdout), { directory })
})

test('a LUN comes, grows, is drained and goes', () => {
  const path = join(demo.dir, 'lun3.img')
  const url = `file:${path}`
  writeFileSync(path, '')
  truncateSync(path, 128 * MiB)
  const json = (...words: string[]) => {
    const { status, stdout, stderr } = matrix([...words, ...config(), '--json'])
    assert.is(status, 0, `${words.join(' ')}: ${stderr}`)
    return JSON.parse(stdout)
  }
  const says = (table: RegExp, ...words: string[]) => {
    const { status, stdout, stderr } = matrix([...words, ...config()])
    assert.is(status, 0, `${words.join(' ')}: ${stderr}`)
    assert.match(stdout, table)
  }
  says(/no LUN yet: matrix lun add/, 'lun', 'scan', path)
  assert.is(json('lun', 'scan', path)[0].kind, 'unlabelled')
  assert.is(json('lun', 'add', url, '--name', 'lun3').name, 'lun3')
  says(/is LUN lun3 of matrix \S+, 128 MiB: every node has opened it/, 'lun', 'add', url)
  assert.equal(
    json('fs', 'grow', 'home', 'lun3').map(({ lun }: { lun: string }) => lun),
    ['lun3'],
  )
  says(/is on LUN lun3, too; its space had been added before/, 'fs', 'grow', 'home', 'lun3')
  truncateSync(path, 192 * MiB)
  assert.ok(json('lun', 'grow', 'lun3').bytes > 32 * MiB)
  says(/LUN lun3 is used whole/, 'lun', 'grow', 'lun3')
  assert.is(json('lun', 'drain', 'lun3', '--stop').lun, 'lun3')
  says(/LUN lun3 is drained/, 'lun', 'drain', 'lun3')
  assert.is(json('lun', 'remove', 'lun3').name, 'lun3')
  assert.is(json('lun', 'import', url).url, url)
  says(/LUN lun3 is none of matrix/, 'lun', 'remove', 'lun3')
  says(/is LUN lun3 of matrix \S+ again/, 'lun', 'import', url)
  for (const [words, why] of [
    [['lun', 'add', 'file:/nowhere.img'], /nowhere/],
    [['lun', 'import', 'file:/nowhere.img'], /nowhere/],
    [['lun', 'grow', 'lun9'], /has no LUN lun9; it has lun1, lun2, lun3/],
    [['lun', 'drain', 'lun9'], /has no LUN lun9/],
    [['lun', 'remove', 'lun1'], /lun1|LUN/],
    [['fs', 'grow', 'home', 'lun9'], /has no LUN lun9/],
    [['fs', 'restore', 'hme'], /hme/],
  ] as const)
    fails([...words, ...config()], why)
})

test('a bundle for support', () => {
  const file = join(demo.dir, 'a.tar.gz')
  const { stdout } = matrix(['support', ...config(), '--out', file, '--json'])
  const said = JSON.parse(stdout)
  assert.equal([said.file, said.without], [file, []])
  assert.match(matrix(['support', ...config(), '--out', join(demo.dir, 'b.tar.gz')]).stdout, /b\.tar\.gz: \d+ files/)
  fails(['support', ...config(), '--out', file], /is there already/)
})

test('offline, on LUNs: format, create, check, dump, isolate', async () => {
  await demo.stop()
  const dir = ['--dir', demo.dir]
  works(['status', ...dir], /n1 +0 +down/, (value: { nodes: { seen: string }[] }) => value.nodes[0]?.seen === 'down')
  works(
    ['fs', 'check', 'home', ...dir],
    /filesystem home is sound: 4 inodes/,
    (value: { findings: unknown[] }) => value.findings.length === 0,
  )
  const { stdout } = matrix(['fs', 'dump', 'home', ...dir])
  assert.match(stdout, /^d\d{4} +\d+ \S+ +\d+ \S+Z \/docs$/m)
  assert.match(stdout, /^-\d{4} +1 65534:65534 +5 \S+Z \/hello$/m)
  const lines = matrix(['fs', 'dump', 'home', ...dir, '--json'])
    .stdout.trim()
    .split('\n')
  assert.equal(lines.map((line) => JSON.parse(line).path).sort(), ['/', '/docs', '/docs/a', '/hello'])
  const file = join(demo.dir, 'home.sqlite')
  assert.is(JSON.parse(matrix(['fs', 'dump', 'home', ...dir, '--out', file, '--json']).stdout).inodes, 4)
  const database = new DatabaseSync(file, { readOnly: true })
  assert.is(database.prepare('SELECT size FROM inode JOIN dirent USING (ino) WHERE name = ?').get('hello')?.['size'], 5)
  database.close()
  fails(['fs', 'dump', 'home', ...dir, '--out', file], /is there already; choose another --out/)
  fails(['fs', 'dump', 'hme', ...dir], /no filesystem hme/)
  fails(['fs', 'check', 'hme', ...dir], /no filesystem hme/)
  fails(['fs', 'isolate', 'hme', ...dir], /no filesystem hme/)
  fails(['fs', 'list', '--lun', 'file:/nowhere.img'], /nowhere/)

  const luns = ['one', 'two'].map((name) => {
    const path = join(demo.dir, `${name}.img`)
    writeFileSync(path, '')
    truncateSync(path, 128 * MiB)
    return `file:${path}`
  })
  const [one, two] = luns as [string, string]
  assert.is(JSON.parse(matrix(['lun', 'format', one, '--matrix', 'other', '--json']).stdout)[0].matrixName, 'other')
  assert.match(
    matrix(['lun', 'format', two, '--into', one, '--name', 'b']).stdout,
    /is now LUN b of matrix other: 128 MiB/,
  )
  fails(['lun', 'format', one, '--matrix', 'third'], /--force/)
  works(['lun', 'show', one], /LUN lun1 .* of matrix other/, (value: { url: string }[]) => value[0]?.url === one)
  const small = ['--slots', '2', '--journal', '1MiB', '--checkpoint', '1MiB']
  const made = matrix(['fs', 'create', 'home', '--on', 'lun1', ...small, '--lun', ...luns, '--json'])
  assert.is(JSON.parse(made.stdout).slots, 2, made.stderr)
  assert.match(matrix(['fs', 'create', 'more', '--lun', ...luns, ...small]).stdout, /filesystem more made on 1 LUNs/)
  fails(['fs', 'create', 'more', '--lun', ...luns], /has a filesystem more already/)
  works(
    ['fs', 'isolate', 'more', '--lun', ...luns],
    /marked in error/,
    (value: { filesystem: string }) => value.filesystem === 'more',
  )
})

test.run()
