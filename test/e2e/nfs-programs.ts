/**
 * `npm run e2e:programs`: two real Linux kernels mount two nodes of a demo by NFS with locks (no `nolock`), and run ordinary programs there that check
 * themselves, both at once: dbench, the file-locking stressors of stress-ng, fio, SQLite on one database, git. What one has written, the other one
 * verifies through its own node. Then the filesystem has to be sound, no lock may be left, and all locks must have come to the nodes.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { machine, save } from '../../bench/results.ts'
import { markdownTable } from '../helpers/markdown-table.ts'
import { scriptOptions, wrong } from '../helpers/script-options.ts'
import { Demo, type DemoNode } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { needPrograms } from './programs.ts'

const KERNEL_CLIENT = 'MATRIXFS_KERNEL_CLIENT'
const root = new URL('../..', import.meta.url).pathname
const guest = join(import.meta.dirname, 'nfs-programs.sh')

/** In this order: those of two at once come after what they look at. */
const steps = {
  dbench: 'four clients of a file server',
  flock: 'stress-ng: whole files',
  lockf: 'stress-ng: byte ranges of processes, waiting',
  'lockf-nonblock': 'stress-ng: the same, asking again',
  locka: 'stress-ng: byte ranges by fcntl',
  lockofd: 'stress-ng: byte ranges of open files',
  fio: 'random and sequential writes, each block verified',
  'fio-across': 'the blocks of the other, verified',
  sqlite: 'both add rows to one database',
  git: 'init, add, commit, clone, gc, fsck',
  'git-across': 'clone and fsck of what the other committed',
} as const
type Step = keyof typeof steps
const stepNames = Object.keys(steps) as Step[]

/** Where a program that is missing comes from. */
const programs = {
  cc: 'gcc',
  dbench: 'dbench',
  'stress-ng': 'stress-ng',
  fio: 'fio',
  sqlite3: 'sqlite3',
  git: 'git',
} as const

const usage = `Programs that lock and check themselves, in two Linux kernels that mount two nodes with locks. Needs root.
  --seconds N     for dbench, and for each stressor (20)
  --source DIR    the tree that git commits (src/gateway-nfs: such kernels fork slowly)
  --only A,B      only these: ${stepNames.join(', ')}
  --base-port P   of the demo
  --limit S       a kernel that has not ended by then has failed, s (3600)
  --save          the table into bench/results
  --help          this text

${KERNEL_CLIENT}=PROGRAM names a program that boots a Linux kernel, mounts --nfs-port P --pmap-port Q --export E there and runs
-c COMMANDS with $MNT, $OUT (--share) and $TMPDIR; --id N tells several apart.`

type Outcome = { readonly seconds: number; readonly isGood: boolean }
type Client = { readonly name: string; readonly node: DemoNode; readonly outcomes: Map<string, Outcome> }

const values = scriptOptions(
  {
    seconds: { type: 'string', default: '20' },
    source: { type: 'string', default: join(root, 'src/gateway-nfs') },
    only: { type: 'string', default: stepNames.join(',') },
    'base-port': { type: 'string' },
    limit: { type: 'string', default: '3600' },
    save: { type: 'boolean', default: false },
  },
  usage,
)
const seconds = wholeNumber('seconds', values.seconds)
const limit = wholeNumber('limit', values.limit)
const only = values.only
  .split(',')
  .map((word) => stepNames.find((name) => name === word) ?? wrong(`--only ${word}: of ${stepNames.join(', ')}`))
const found = process.env[KERNEL_CLIENT]
if (found === undefined || !existsSync(found))
  wrong(`${KERNEL_CLIENT}=${found ?? ''} names no program that boots a kernel; --help says more`)
needPrograms(Object.entries(programs).map(([program, debianPackage]) => ({ program, debianPackage })))

process.exitCode = (await main(found)) ? 0 : 1

/** True: all was right. */
async function main(program: string): Promise<boolean> {
  const basePort = values['base-port'] ? wholeNumber('base-port', values['base-port']) : await freeBasePort(2)
  const demo = new Demo({ nodes: 2, basePort })
  const shared = mkdtempSync(join(tmpdir(), 'matrixfs-programs-'))
  try {
    buildIpc(shared)
    await demo.start()
    const clients = ['n1', 'n2'].map((node, index): Client => {
      return { name: `kc${41 + index}`, node: demo.node(node), outcomes: new Map() }
    })
    const ends = await Promise.all(clients.map((client, index) => run(program, client, 41 + index, shared)))
    const wrongs = ends.flatMap((code, index) => (code === 0 ? [] : [`${clients[index]?.name} ended with ${code}`]))
    wrongs.push(...afterwards(demo))
    return report(clients, locksAsked(demo, clients), wrongs)
  } finally {
    await demo.dispose()
    rmSync(shared, { recursive: true, force: true })
  }
}

/** What the kernel of the client may lack (sysv-ipc.c). */
function buildIpc(folder: string): void {
  const args = ['-shared', '-fPIC', '-O2', '-o', join(folder, 'sysv-ipc.so'), join(import.meta.dirname, 'sysv-ipc.c')]
  const { status, stderr } = spawnSync('cc', args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`cc ended with ${status}: ${stderr}`)
}

/** Boots a kernel, has it do everything, and hears what came of it; gives its exit code. */
function run(program: string, { name, node, outcomes }: Client, id: number, shared: string): Promise<number | null> {
  const { port, portmapPort, export: path } = node.nfs
  const other = name === 'kc41' ? 'kc42' : 'kc41'
  const args = Object.entries({
    ...{ 'nfs-port': port, 'pmap-port': portmapPort, export: path, id, share: shared, timeout: limit },
  }).flatMap(([option, value]) => [`--${option}`, `${value}`])
  const what = `bash '${guest}' ${name} ${other} ${seconds} '${values.source}' ${only.join(' ')}`
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args, '-c', what], { stdio: ['ignore', 'pipe', 'pipe'] })
    let rest = ''
    const hear = (chunk: Buffer): void => {
      const lines = (rest + chunk.toString()).split(/[\r\n]+/)
      rest = lines.pop() as string
      for (const line of lines) {
        console.log(`${name}: ${line}`)
        const match = /^RESULT (\S+) (\d+) (ok|FAILED)$/.exec(line)
        if (match) outcomes.set(match[1] as string, { seconds: Number(match[2]), isGood: match[3] === 'ok' })
      }
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.on('error', reject)
    child.on('close', (code) => resolve(code))
  })
}

/** What is wrong with the filesystem, and with its locks. */
function afterwards(demo: Demo): string[] {
  const wrongs: string[] = []
  try {
    console.log(demo.check().trim())
  } catch (error) {
    wrongs.push(String(error))
  }
  const left = demo.matrixCommand('locks', 'home', '--config', join(demo.dir, 'n1.toml')).trim()
  if (left !== 'no bytes are locked') wrongs.push(`locks are left of programs that have ended:\n${left}`)
  return wrongs
}

/** How many locks each client asked for: with `nolock` its kernel would ask for none. */
function locksAsked(demo: Demo, clients: readonly Client[]): number[] {
  return clients.map(({ node }) => demo.counters(node.name).nfs.nlm['LOCK'] ?? 0)
}

function report(clients: readonly Client[], locks: readonly number[], wrongs: string[]): boolean {
  const cell = (outcome: Outcome | undefined): string =>
    outcome ? `${outcome.isGood ? 'ok' : 'FAILED'}, ${outcome.seconds} s` : 'not reached'
  const table = markdownTable(
    ['program', 'what', ...clients.map(({ name, node }) => `${name} at ${node.name}`)],
    only.map((step) => [step, steps[step], ...clients.map(({ outcomes }) => cell(outcomes.get(step)))]),
  )
  for (const [index, { name, outcomes }] of clients.entries()) {
    const bad = only.filter((step) => outcomes.get(step)?.isGood !== true)
    if (bad.length > 0) wrongs.push(`${name}: ${bad.join(', ')}`)
    if (locks[index] === 0) wrongs.push(`${name} asked for no lock`)
  }
  const verdict = wrongs.length === 0 ? 'All was right.' : `Wrong:\n\n${wrongs.map((each) => `- ${each}`).join('\n')}`
  const asked = `NLM LOCK calls: ${clients.map(({ node }, index) => `${locks[index]} at ${node.name}`).join(', ')}.`
  const text = `${table}\n\n${asked} Afterwards the filesystem was checked, and looked through for locks that were left. ${verdict}\n`
  console.log(`\n${text}`)
  if (values.save) {
    const head = `# Programs with locks in two kernel clients\n\n${seconds} s each for dbench and the stressors, on ${machine()}.\n\n`
    const outcomes = clients.map(({ name, outcomes }) => ({ name, outcomes: Object.fromEntries(outcomes) }))
    console.log(`saved in ${save('nfs-programs-', head + text, { outcomes, locks, wrongs })}`)
  }
  return wrongs.length === 0
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) wrong(`--${name} takes a whole number from 1, not ${text}`)
  return value
}
