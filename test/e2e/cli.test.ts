/** Every command of `matrix` on a real matrix: what it says to people, what it says to programs, and how it fails. */
// time limit: 480 s
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { exitCodes } from '../../config/index.ts'
import { MiB } from '../../src/base/units.ts'
import { matrixCommand as matrix } from '../helpers/matrix-command.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

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

/** It works, says `table` to people, and gives what `json` looks at. */
async function works(words: readonly string[], table: RegExp, json: (value: never) => unknown): Promise<void> {
  const { status, stdout, stderr } = await matrix(words)
  assert.is(status, exitCodes.ok, `${words.join(' ')}: ${stdout}${stderr}`)
  assert.match(stdout, table, words.join(' '))
  await givesJson(words, json)
}

async function givesJson(words: readonly string[], json: (value: never) => unknown): Promise<void> {
  const { status, stdout, stderr } = await matrix([...words, '--json'])
  assert.is(status, exitCodes.ok, `${words.join(' ')} --json: ${stdout}${stderr}`)
  assert.ok(json(JSON.parse(stdout) as never), `${words.join(' ')} --json: ${stdout}`)
}

/** It fails with one clear line on standard error, and nothing on standard output. */
async function fails(
  words: readonly string[],
  why: RegExp,
  code: number = exitCodes.failed,
  env: Record<string, string> = {},
): Promise<void> {
  const { status, stdout, stderr } = await matrix(words, env)
  assert.match(stderr, why, words.join(' '))
  assert.is(status, code, `${words.join(' ')}: ${stderr}`)
  assert.is(stdout, '', words.join(' '))
}

const config = () => ['--config', join(demo.dir, 'n1.toml')]
/** n2's plane, which is not that of the configuration. */
const plane = () => ['--node', new URL(demo.node('n2').admin?.url as string).origin]

test('log level: of one part, at once, and back', async () => {
  for (const at of [config(), plane()]) {
    const nfs = (level: string) => (value: { subsystem: string; level: string }[]) =>
      value.some((each) => each.subsystem === 'nfs' && each.level === level)
    await works(['log', 'level', 'nfs', 'debug', ...at], /^nfs +debug +info after a restart$/m, nfs('debug'))
    await works(['log', 'level', ...at], /^nfs +debug/m, nfs('debug'))
    await works(['log', 'level', 'nfs', 'configured', ...at], /^nfs +info$/m, nfs('info'))
  }
  await fails(
    ['log', 'level', 'nfs', 'loud', ...config()],
    /level: "loud" is none; allowed is debug, info, warn, error, configured/,
    exitCodes.usage,
  )
  await fails(['log', 'level', 'nfs', ...config()], /level: is missing/, exitCodes.usage)
  await fails(
    ['log', 'level', 'disks', 'debug', ...config()],
    /subsystem: "disks" is none; allowed is cluster, san/,
    exitCodes.usage,
  )
})

for (const [how, asked] of [
  ['the node of this machine', config],
  ['any node by its admin plane', plane],
] as const) {
  test(`what looks, asked of ${how}`, async () => {
    const at = asked()
    await works(
      ['status', ...at],
      /n1 +0 [\s\S]*lun1 +256 MiB[\s\S]*home/,
      (value: { filesystems: { name: string }[] }) => value.filesystems[0]?.name === 'home',
    )
    await works(['fs', 'list', ...at], /^filesystem +LUNs/, (value: { name: string }[]) => value[0]?.name === 'home')
    await works(['lun', 'show', ...at], /lun1 +256 MiB +n1[\s\S]*up/, (value: { lun: string; node: string }[]) =>
      value.some(({ lun, node }) => lun === 'lun1' && node === 'n2'),
    )
    await works(['export', 'list', ...at], /^\/home +home/m, (value: { path: string }[]) => value[0]?.path === '/home')
    await works(['mount', ...at], /^nothing is mounted$/m, (value: unknown[]) => value.length === 0)
    await works(
      ['locks', ...at],
      /^covers +lock +held by/,
      (value: { masters: unknown[] }) => value.masters.length === 2,
    )
    await works(['locks', 'home', ...at], /^no bytes are locked$/m, (value: unknown[]) => value.length === 0)
    await works(['waits', ...at], /^nobody waits$/m, (value: unknown[]) => value.length === 0)
    await works(['log', ...at], /warned of nothing|Z {2}(warn|error)/, (value: { node: string }) =>
      /^n[12]$/.test(value.node),
    )
    await works(['log', 'level', ...at], /^nfs +info$/m, (value: { subsystem: string; level: string }[]) =>
      value.some(({ subsystem, level }) => subsystem === 'nfs' && level === 'info'),
    )
    await works(
      ['counters', ...at],
      /^membership\.serving +true$/m,
      (value: { membership: { serving: boolean } }) => value.membership.serving,
    )
    await works(['timeline', ...at, '--last', '1'], /view \d+: n1/, (value: { step: string }[]) =>
      value.some(({ step }) => step === 'view'),
    )
    await works(
      ['sql', 'select path(ino) p from inode where size = 3', ...at],
      /^p\n\/docs\/a$/m,
      (value: { rows: unknown }) => JSON.stringify(value.rows) === '[["/docs/a"]]',
    )
    await works(
      ['notify', 'list', ...at],
      /^no rule is configured/,
      (value: { rules: unknown[] }) => value.rules.length === 0,
    )
    await works(['notify', 'dead', ...at], /^everything was delivered/, (value: unknown[]) => value.length === 0)
    await works(['vhost', 'list', ...at], /^no virtual host is configured$/m, (value: unknown[]) => value.length === 0)
    const { stdout } = await matrix(['report', 'matrix', ...at])
    assert.is(JSON.parse(stdout).answeredBy, at[0] === '--node' ? 'n2' : 'n1')
    await fails(['locks', 'hme', ...at], /no filesystem hme is in service at this node; it has home/)
    await fails(['sql', 'drop table inode', ...at], /only SELECT, WITH, VALUES and EXPLAIN/)
    await fails(['sql', 'select 1', '--rows', '0', ...at], /whole number 1…10000/, exitCodes.usage)
    await fails(['report', 'weather', ...at], /Allowed choices are matrix, luns/, exitCodes.usage)
  })
}

test('who cannot be asked, or cannot be asked for this', async () => {
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
    await fails([...words, ...missing], /n9\.toml: there is no such file/, exitCodes.config)
  for (const words of [...looking, ['timeline'], ['status'], ['lun', 'show']])
    await fails([...words, '--node', 'http://127.0.0.1:1'], /http:\/\/127\.0\.0\.1:1 cannot be asked: .*ECONNREFUSED/)
  await fails(['waits', ...config(), ...plane()], /one of --node and --config/, exitCodes.usage)
  await fails(['status', '--dir', demo.dir, ...plane()], /one of --node, --lun, --config and --dir/, exitCodes.usage)
  // operators change something through the plane, too; here everybody on this machine is one
  const env = { MATRIX_NODE: plane()[1] as string }
  assert.is((await matrix(['export', 'reload'], env)).status, exitCodes.ok)
  await fails(['umount', '/x'], /\/x/, exitCodes.failed, env)
  await fails(['vhost', 'move', 'a', 'b'], /virtual_hosts/, exitCodes.failed, env)
  assert.match((await matrix(['waits'], env)).stdout, /nobody waits/)
})

test('exports, mounts, fencing, virtual hosts', async () => {
  await works(
    ['export', 'reload', ...config()],
    /^\/home +home/m,
    (value: { restart: unknown[] }) => value.restart.length === 0,
  )
  await works(
    ['fence', 'test', 'n2', '--dry-run', ...config()],
    /n2 \(slot 1, life \d+\) would be fenced by/,
    (value: { slot: number }) => value.slot === 1,
  )
  await fails(['fence', 'test', 'n9', '--dry-run', ...config()], /n9/)
  await works(['notify', 'retry', ...config()], /^0 of them/, (value: { again: number }) => value.again === 0)
  await fails(['notify', 'test', 'pager', ...config()], /no \[\[notify\]\] has the name pager; this node has none/)
  await fails(['notify', 'retry', '--rule', 'pager', ...config()], /has the name pager/)
  await fails(['vhost', 'move', 'files', 'n2', ...config()], /no \[\[virtual_hosts\]\]/)
  await fails(['mount', 'home', ...config()], /say where to mount it/, exitCodes.usage)
  await fails(['mount', 'hme', demo.dir, ...config()], /hme/)
  await fails(['umount', '/nowhere', ...config()], /\/nowhere/)
  if (process.getuid?.() !== 0 || !existsSync('/dev/fuse'))
    return console.log('mounts were not tried: no root, or no /dev/fuse')
  const directory = join(demo.dir, 'here')
  mkdirSync(directory)
  const mounted = await matrix(['mount', 'home', directory, ...config(), '--json'])
  assert.equal(JSON.parse(mounted.stdout), { filesystem: 'home', directory })
  assert.is(readFileSync(join(directory, 'hello'), 'utf8'), 'hello')
  assert.match((await matrix(['mount', ...config()])).stdout, new RegExp(`^home +${directory}$`, 'm'))
  assert.equal(JSON.parse((await matrix(['umount', directory, ...config(), '--json'])).stdout), { directory })
})

test('a LUN comes, grows, is drained and goes', async () => {
  const path = join(demo.dir, 'lun3.img')
  const url = `file:${path}`
  writeFileSync(path, '')
  truncateSync(path, 128 * MiB)
  const json = async (...words: string[]) => {
    const { status, stdout, stderr } = await matrix([...words, ...config(), '--json'])
    assert.is(status, 0, `${words.join(' ')}: ${stderr}`)
    return JSON.parse(stdout)
  }
  const says = async (table: RegExp, ...words: string[]) => {
    const { status, stdout, stderr } = await matrix([...words, ...config()])
    assert.is(status, 0, `${words.join(' ')}: ${stderr}`)
    assert.match(stdout, table)
  }
  await says(/no LUN yet: matrix lun add/, 'lun', 'scan', path)
  assert.is((await json('lun', 'scan', path))[0].kind, 'unlabelled')
  assert.is((await json('lun', 'add', url, '--name', 'lun3')).name, 'lun3')
  await says(/is LUN lun3 of matrix \S+, 128 MiB: every node has opened it/, 'lun', 'add', url)
  assert.equal(
    (await json('fs', 'grow', 'home', 'lun3')).map(({ lun }: { lun: string }) => lun),
    ['lun3'],
  )
  await says(/is on LUN lun3, too; its space had been added before/, 'fs', 'grow', 'home', 'lun3')
  truncateSync(path, 192 * MiB)
  assert.ok((await json('lun', 'grow', 'lun3')).bytes > 32 * MiB)
  truncateSync(path, 224 * MiB)
  await says(/LUN lun3 is used whole: its filesystem has \S+ MiB more/, 'lun', 'grow', 'lun3')
  assert.is((await json('lun', 'drain', 'lun3', '--stop')).lun, 'lun3')
  await says(/LUN lun3 is drained/, 'lun', 'drain', 'lun3')
  assert.is((await json('lun', 'remove', 'lun3')).name, 'lun3')
  assert.is((await json('lun', 'import', url)).url, url)
  await says(/LUN lun3 is none of matrix/, 'lun', 'remove', 'lun3')
  await says(/is LUN lun3 of matrix \S+ again/, 'lun', 'import', url)
  for (const [words, why] of [
    [['lun', 'add', 'file:/nowhere.img'], /nowhere/],
    [['lun', 'import', 'file:/nowhere.img'], /nowhere/],
    [['lun', 'grow', 'lun3'], /is used whole: enlarge the device first/],
    [['lun', 'grow', 'lun9'], /has no LUN lun9; it has lun1, lun2, lun3/],
    [['lun', 'drain', 'lun9'], /has no LUN lun9/],
    [['lun', 'remove', 'lun1'], /lun1|LUN/],
    [['fs', 'grow', 'home', 'lun9'], /has no LUN lun9/],
    [['fs', 'restore', 'hme'], /hme/],
  ] as const)
    await fails([...words, ...config()], why)
})

test('a bundle for support', async () => {
  const file = join(demo.dir, 'a.tar.gz')
  const { stdout } = await matrix(['support', ...config(), '--out', file, '--json'])
  const said = JSON.parse(stdout)
  assert.equal([said.file, said.without], [file, []])
  assert.match(
    (await matrix(['support', ...config(), '--out', join(demo.dir, 'b.tar.gz')])).stdout,
    /b\.tar\.gz: \d+ files/,
  )
  await fails(['support', ...config(), '--out', file], /is there already/)
})

test('offline, on LUNs: format, create, check, dump, isolate', async () => {
  await demo.stop()
  const dir = ['--dir', demo.dir]
  await works(
    ['status', ...dir],
    /n1 +0 +down/,
    (value: { nodes: { seen: string }[] }) => value.nodes[0]?.seen === 'down',
  )
  await works(
    ['fs', 'check', 'home', ...dir],
    /filesystem home is sound: 4 inodes/,
    (value: { findings: unknown[] }) => value.findings.length === 0,
  )
  const { stdout } = await matrix(['fs', 'dump', 'home', ...dir])
  assert.match(stdout, /^d\d{4} +\d+ \S+ +\d+ \S+Z \/docs$/m)
  assert.match(stdout, /^-\d{4} +1 \d+:\d+ +5 \S+Z \/hello$/m)
  const lines = (await matrix(['fs', 'dump', 'home', ...dir, '--json'])).stdout.trim().split('\n')
  assert.equal(lines.map((line) => JSON.parse(line).path).sort(), ['/', '/docs', '/docs/a', '/hello'])
  const file = join(demo.dir, 'home.sqlite')
  assert.is(JSON.parse((await matrix(['fs', 'dump', 'home', ...dir, '--out', file, '--json'])).stdout).inodes, 4)
  const database = new DatabaseSync(file, { readOnly: true })
  assert.is(database.prepare('SELECT size FROM inode JOIN dirent USING (ino) WHERE name = ?').get('hello')?.['size'], 5)
  database.close()
  await fails(['fs', 'dump', 'home', ...dir, '--out', file], /is there already; choose another --out/)
  await fails(['fs', 'dump', 'hme', ...dir], /no filesystem hme/)
  await fails(['fs', 'check', 'hme', ...dir], /no filesystem hme/)
  await fails(['fs', 'isolate', 'hme', ...dir], /no filesystem hme/)
  await fails(['fs', 'list', '--lun', 'file:/nowhere.img'], /nowhere/)

  const luns = ['one', 'two'].map((name) => {
    const path = join(demo.dir, `${name}.img`)
    writeFileSync(path, '')
    truncateSync(path, 128 * MiB)
    return `file:${path}`
  })
  const [one, two] = luns as [string, string]
  assert.is(
    JSON.parse((await matrix(['lun', 'format', one, '--matrix', 'other', '--json'])).stdout)[0].matrixName,
    'other',
  )
  assert.match(
    (await matrix(['lun', 'format', two, '--into', one, '--name', 'b'])).stdout,
    /is now LUN b of matrix other: 128 MiB/,
  )
  await fails(['lun', 'format', one, '--matrix', 'third'], /--force/)
  await works(['lun', 'show', one], /LUN lun1 .* of matrix other/, (value: { url: string }[]) => value[0]?.url === one)
  const small = ['--slots', '2', '--journal', '1MiB', '--checkpoint', '1MiB']
  const made = await matrix(['fs', 'create', 'home', '--on', 'lun1', ...small, '--lun', ...luns, '--json'])
  assert.is(JSON.parse(made.stdout).slots, 2, made.stderr)
  assert.match(
    (await matrix(['fs', 'create', 'more', '--lun', ...luns, ...small])).stdout,
    /filesystem more made on 1 LUNs/,
  )
  await fails(['fs', 'create', 'more', '--lun', ...luns], /has a filesystem more already/)
  await works(
    ['fs', 'isolate', 'more', '--lun', ...luns],
    /marked in error/,
    (value: { filesystem: string }) => value.filesystem === 'more',
  )
})

test.run()
