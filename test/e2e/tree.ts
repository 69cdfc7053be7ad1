/**
 * `npm run e2e:tree [-- --files 10000]`: a real tree (the project's own node_modules, repeated until there are enough files)
 * goes in through rclone over n1's WebDAV and through libnfs' nfs-cp at n2; every file is read back through the other nodes by HTTP
 * and by nfs-cat; checksums, modes and counts must agree. Shows R17, R19, R109.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { linkSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Demo, numberOption } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { HttpClient } from './http-client.ts'
import { NfsTree } from './nfs-tree.ts'
import { needPrograms, treePrograms } from './programs.ts'

const root = new URL('../..', import.meta.url).pathname
/** Clients at work at once: the machine is small. */
const PARALLEL = 4

type TreeFile = { readonly path: string; readonly source: string; readonly mode: number; readonly hash: string }

/** Regular files below node_modules, as `copy-K/path`, until there are `count`. */
export function collectTree(count: number): TreeFile[] {
  const base = join(root, 'node_modules')
  const paths = readdirSync(base, { recursive: true, encoding: 'utf8' })
    .filter((path) => lstatSync(join(base, path)).isFile())
    .sort()
  const once = paths.map((path) => {
    const source = join(base, path)
    return { path, source, mode: lstatSync(source).mode & 0o777, hash: sha256(readFileSync(source)) }
  })
  const out: TreeFile[] = []
  for (let copy = 1; out.length < count; copy++) {
    // big binaries once are enough
    const wanted =
      copy === 1 && count >= once.length ? once : once.filter((file) => lstatSync(file.source).size < 4 * 2 ** 20)
    out.push(...wanted.slice(0, count - out.length).map((file) => ({ ...file, path: `copy-${copy}/${file.path}` })))
  }
  return out
}

/** Runs the whole exchange on a started demo; throws at the first disagreement. Returns lines to print. */
export async function exchangeTree(demo: Demo, count: number, say: (line: string) => void): Promise<void> {
  needPrograms(treePrograms)
  const files = collectTree(count)
  const bytes = files.reduce((sum, file) => sum + lstatSync(file.source).size, 0)
  say(`${files.length} files, ${(bytes / 2 ** 20).toFixed(0)} MiB`)
  const stage = mkdtempSync(join(root, 'var/tree-stage-'))
  try {
    for (const file of files) {
      const target = join(stage, file.path)
      mkdirSync(join(target, '..'), { recursive: true })
      linkSync(file.source, target)
    }
    await timed(say, 'in by rclone at n1', () => copyInByRclone(demo, stage))
    await timed(say, 'in by nfs-cp at n2', () => copyInByNfs(demo, files))
  } finally {
    rmSync(stage, { recursive: true, force: true })
  }
  await timed(say, 'modes set at n2, seen at n1 and n3', () => agreeOnModes(demo, files))
  await timed(say, 'counts at every node', () => agreeOnCounts(demo, files))
  const [n1, n2, n3] = ['n1', 'n2', 'n3'].map((name) => demo.node(name))
  const http = [n2, n3, n1].map((node) => new HttpClient(node!.http.url))
  await timed(say, 'back by HTTP from the other nodes', () =>
    pool(files, async (file, i) => {
      compare(file, 'dav', await http[i % 2]!.get(`dav/${encodePath(file.path)}`)) // written at n1, read at n2 and n3
      compare(file, 'nfs', await http[1 + (i % 2)]!.get(`nfs/${encodePath(file.path)}`)) // written at n2, read at n3 and n1
    }),
  )
  for (const client of http) client.close()
  await timed(say, 'back by nfs-cat from the other nodes', () =>
    pool(files, async (file, i) => {
      compare(file, 'dav', await run('nfs-cat', [nfsUrl(demo, i % 2 ? 'n2' : 'n3', `dav/${file.path}`)]))
      compare(file, 'nfs', await run('nfs-cat', [nfsUrl(demo, i % 2 ? 'n3' : 'n1', `nfs/${file.path}`)]))
    }),
  )
}

async function copyInByRclone(demo: Demo, stage: string): Promise<void> {
  const url = demo.node('n1').http.url
  await run('rclone', [
    'copy',
    stage,
    ':webdav:dav',
    '--webdav-url',
    url,
    '--webdav-vendor',
    'owncloud',
    '--transfers',
    `${PARALLEL}`,
    '--config',
    '/dev/null',
    '-q',
  ])
}

async function copyInByNfs(demo: Demo, files: readonly TreeFile[]): Promise<void> {
  const tree = await NfsTree.connect(demo.node('n2'))
  const directories = new Set<string>()
  for (const file of files) {
    const parts = `nfs/${file.path}`.split('/').slice(0, -1)
    for (let i = 1; i <= parts.length; i++) directories.add(parts.slice(0, i).join('/'))
  }
  for (const directory of [...directories].sort()) await tree.makePath(directory)
  tree.close()
  await pool(files, (file) => run('nfs-cp', [file.source, nfsUrl(demo, 'n2', `nfs/${file.path}`)]).then(() => {}))
}

async function agreeOnModes(demo: Demo, files: readonly TreeFile[]): Promise<void> {
  const writer = await NfsTree.connect(demo.node('n2'))
  const readers = await Promise.all(['n1', 'n3'].map((name) => NfsTree.connect(demo.node(name))))
  for (const tree of ['dav', 'nfs']) {
    await pool(files, async (file) => {
      const path = `${tree}/${file.path}`
      await writer.setMode(await writer.walk(path), file.mode)
      for (const reader of readers) {
        const mode = await reader.mode(await reader.walk(path))
        if (mode !== file.mode) throw new Error(`${path}: mode ${mode.toString(8)}, set to ${file.mode.toString(8)}`)
      }
    })
  }
  for (const tree of [writer, ...readers]) tree.close()
}

async function agreeOnCounts(demo: Demo, files: readonly TreeFile[]): Promise<void> {
  for (const node of demo.matrix.nodes) {
    for (const tree of ['dav', 'nfs']) {
      const listing = await run('rclone', [
        'lsf',
        '-R',
        '--files-only',
        `:webdav:${tree}`,
        '--webdav-url',
        node.http.url,
        '--webdav-vendor',
        'owncloud',
        '--config',
        '/dev/null',
      ])
      const found = listing.toString().split('\n').filter(Boolean).length
      if (found !== files.length) throw new Error(`${tree} at ${node.name}: ${found} files, should be ${files.length}`)
    }
  }
}

function compare(file: TreeFile, tree: string, body: Buffer | undefined): void {
  if (!body) throw new Error(`${tree}/${file.path} is missing`)
  if (sha256(body) !== file.hash) throw new Error(`${tree}/${file.path} differs from what was written`)
}

function nfsUrl(demo: Demo, name: string, path: string): string {
  const { nfs } = demo.node(name)
  return `nfs://${nfs.host}${nfs.export}/${path}?version=3&nfsport=${nfs.port}&mountport=${nfs.mountPort}`
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Runs a program to its end; its standard output. */
function run(program: string, args: readonly string[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const out: Buffer[] = []
    let errors = ''
    child.stdout.on('data', (chunk) => out.push(chunk))
    child.stderr.on('data', (chunk) => (errors += chunk))
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0
        ? resolve(Buffer.concat(out))
        : reject(new Error(`${program} ${args.join(' ')}: exit ${code}\n${errors}`)),
    )
  })
}

async function pool<T>(items: readonly T[], work: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const index = next++
      await work(items[index] as T, index)
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, worker))
}

async function timed(say: (line: string) => void, what: string, work: () => Promise<void>): Promise<void> {
  const began = performance.now()
  await work()
  say(`${what}: ${((performance.now() - began) / 1000).toFixed(1)} s`)
}

if (import.meta.main) {
  mkdirSync(join(root, 'var'), { recursive: true })
  const demo = new Demo({ dir: join(root, 'var/e2e-tree'), basePort: await freeBasePort(3) })
  rmSync(demo.dir, { recursive: true, force: true })
  try {
    console.log(`demo ready in ${((await demo.start()) / 1000).toFixed(1)} s`)
    await exchangeTree(demo, numberOption('files', 10_000), console.log)
    console.log(demo.check().trim())
    console.log('every file is the same everywhere')
  } finally {
    await demo.dispose()
  }
}
