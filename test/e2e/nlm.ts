/**
 * `npm run e2e:nlm`: two real Linux kernels mount two nodes of a demo, with locks, and do to each other what locks are for. Shows R129:
 *
 *  1. a lock that one holds is denied to the other; who waits for it has it soon after it is free
 *  2. processes of both count under one lock: nothing is counted twice or lost, and a witness beside NFS never sees two of them inside
 *  3. both write to one SQLite database, which stays sound
 *  4. a client that dies keeps its locks until it has restarted and said so
 *  5. a node that is killed loses no lock of its clients, and who waited there goes on waiting
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Demo, type DemoNode } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { medianAndWorst } from './times.ts'

const KERNEL_CLIENT = 'MATRIXFS_KERNEL_CLIENT'
const guest = join(import.meta.dirname, 'nlm-guest.py')
/** A kernel boots in ten seconds where nothing else runs. */
const BOOT_LIMIT_MS = 240_000
const ANSWER_LIMIT_MS = 180_000

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    'base-port': { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

/** `at`: when it came, ms. The clocks of the kernels are not ours. */
type Answer = { readonly at: number; readonly error?: string } & Record<string, unknown>

/** A kernel that has mounted a node, and does what it is told. */
class Kernel {
  readonly #client: string
  readonly #id: number
  readonly #node: DemoNode
  readonly #shared: string
  readonly #answers = new Map<number, (answer: Answer) => void>()
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #number = 0
  #output = ''

  constructor(options: { client: string; id: number; node: DemoNode; shared: string }) {
    this.#client = options.client
    this.#id = options.id
    this.#node = options.node
    this.#shared = options.shared
  }

  get name(): string {
    return `kc${this.#id}`
  }

  /** Boots it; resolves once it has mounted. */
  async boot(): Promise<void> {
    const { nfs } = this.#node
    const number = ++this.#number
    const ready = this.#answer(number, BOOT_LIMIT_MS, 'mount')
    const child = spawn(
      this.#client,
      [
        ...[
          '--nfs-port',
          `${nfs.port}`,
          '--pmap-port',
          `${nfs.portmapPort}`,
          '--export',
          nfs.export,
          '--id',
          `${this.#id}`,
        ],
        ...['--share', this.#shared, '--timeout', '3600', '-c', `python3 '${guest}' ${this.name} nlm ${number}`],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    this.#child = child
    this.#ended = new Promise((resolve) => child.on('close', () => resolve()))
    let line = ''
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (line + chunk.toString()).split('\n')
      line = lines.pop() as string
      for (const each of lines) this.#heard(each.trim())
    })
    child.stderr.on('data', (chunk: Buffer) => (this.#output += chunk))
    await ready
  }

  /** Has it do something; resolves with what came of it. */
  ask(...order: readonly unknown[]): Promise<Answer> {
    const number = ++this.#number
    const answer = this.#answer(number, ANSWER_LIMIT_MS, String(order[0]))
    this.#write(number, order)
    return answer
  }

  async end(): Promise<void> {
    if (!this.#child) return
    this.#write(++this.#number, ['end'])
    await this.#ended
    this.#child = undefined
  }

  /** The kernel is gone at once, with everything in it. */
  async kill(): Promise<void> {
    for (const pid of childrenOf(this.#child?.pid ?? 0)) process.kill(pid, 'SIGKILL')
    await this.#ended
    this.#child = undefined
  }

  /** The file is there whole or not at all. */
  #write(number: number, order: readonly unknown[]): void {
    const file = join(this.#shared, `${this.name}.${number}`)
    writeFileSync(`${file}.new`, JSON.stringify(order))
    renameSync(`${file}.new`, file)
  }

  #answer(number: number, limitMs: number, what: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${this.name} did not answer ${what} within ${limitMs} ms\n${this.#output}`))
      }, limitMs)
      this.#answers.set(number, (answer) => {
        clearTimeout(timer)
        resolve(answer)
      })
    })
  }

  #heard(line: string): void {
    const match = /^RESULT (\d+) (.*)$/.exec(line)
    if (!match) this.#output += `${line}\n`
    else this.#answers.get(Number(match[1]))?.({ ...JSON.parse(match[2] as string), at: performance.now() })
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[1] === `${parent}`
      } catch {
        return false // it has ended meanwhile
      }
    })
    .map(Number)
}

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(`wrong: ${what}`)
}

async function main(): Promise<void> {
  const client = process.env[KERNEL_CLIENT]
  if (client === undefined || !existsSync(client))
    throw new Error(`${KERNEL_CLIENT}=${client ?? ''} names no program that boots a kernel; --help says more`)
  const rounds = Number(values.rounds)
  const demo = new Demo({ nodes: 2, basePort: Number(values['base-port'] ?? (await freeBasePort(2))) })
  const shared = mkdtempSync(join(tmpdir(), 'matrixfs-nlm-'))
  const kernels: Kernel[] = []
  try {
    await demo.start()
    const [one, two] = ['n1', 'n2'].map(
      (name, index) => new Kernel({ client, id: 31 + index, node: demo.node(name), shared }),
    ) as [Kernel, Kernel]
    kernels.push(one, two)
    await Promise.all([one.boot(), two.boot()])
    console.log('two kernels have mounted two nodes, with locks')
    await handOver(one, two, rounds)
    await count(one, two, rounds)
    await shareDatabase(one, two, rounds)
    await clientDies(one, two, demo)
    await nodeDies(one, two, demo)
    for (const kernel of kernels) await kernel.end()
    console.log(demo.check().trim())
    console.log('all was right')
  } finally {
    for (const kernel of kernels) await kernel.kill()
    await demo.dispose()
    rmSync(shared, { recursive: true, force: true })
  }
}

async function handOver(one: Kernel, two: Kernel, rounds: number): Promise<void> {
  const delays: number[] = []
  let [holder, other] = [one, two]
  await holder.ask('lock', 'try')
  for (let round = 0; round < rounds; round++) {
    const denied = await other.ask('lock', 'try')
    must(denied.error === 'EAGAIN' || denied.error === 'EACCES', `${other.name} got a lock that ${holder.name} holds`)
    let granted: Answer | undefined
    const waiting = other.ask('lock', 'wait').then((answer) => (granted = answer))
    await new Promise((resolve) => setTimeout(resolve, 300))
    must(granted === undefined, `${other.name} was granted what ${holder.name} holds`)
    const { at } = await holder.ask('unlock')
    delays.push((await waiting).at - at)
    ;[holder, other] = [other, holder]
  }
  await holder.ask('unlock')
  console.log(`handed over ${rounds} times; granted after its release: ${medianAndWorst(delays)}`)
}

async function count(one: Kernel, two: Kernel, rounds: number): Promise<void> {
  const before = Number((await one.ask('counted'))['count'])
  const results = await Promise.all([one.ask('contend', rounds, 3), two.ask('contend', rounds, 3)])
  must(
    results.every(({ twice }) => twice === 0),
    'the lock was held twice',
  )
  const wanted = results.reduce((sum, each) => sum + Number(each['rounds']), before)
  const { count: found } = await two.ask('counted')
  must(found === wanted, `${String(found)} counted under the lock, and ${wanted} have to be`)
  console.log(`six processes counted to ${wanted} under one lock; it was never held twice`)
}

async function shareDatabase(one: Kernel, two: Kernel, rounds: number): Promise<void> {
  await one.ask('sqlite', 1)
  await Promise.all([one.ask('sqlite', rounds), two.ask('sqlite', rounds)])
  for (const kernel of [one, two]) {
    const { rows, last, sound } = await kernel.ask('checked')
    must(
      rows === 2 * rounds + 1 && last === rows && sound === 'ok',
      `SQLite at ${kernel.name}: ${rows} rows, last ${last}, ${sound}`,
    )
  }
  console.log(`both wrote to one SQLite database: ${2 * rounds + 1} rows, each the next of the one before`)
}

async function clientDies(one: Kernel, two: Kernel, demo: Demo): Promise<void> {
  await two.ask('lock', 'try')
  await two.kill()
  must((await one.ask('lock', 'try')).error !== undefined, 'the lock of a client that may live was given away')
  const waiting = one.ask('lock', 'wait')
  await two.boot()
  const { port } = demo.node('n2').nfs
  must(Number((await two.ask('notify', port, two.name))['reply']) > 0, 'the notification was not answered')
  await waiting
  await one.ask('unlock')
  console.log('a client was killed; its lock was free once it had restarted')
}

async function nodeDies(one: Kernel, two: Kernel, demo: Demo): Promise<void> {
  await two.ask('lock', 'try')
  demo.kill('n2')
  await new Promise((resolve) => setTimeout(resolve, 3000))
  must((await one.ask('lock', 'try')).error !== undefined, 'the lock of a client of a dead node was given away')
  await demo.startNode('n2')
  must((await one.ask('lock', 'try')).error !== undefined, 'the lock of a client was lost with its node')
  const first = one.ask('lock', 'wait')
  await two.ask('unlock')
  await first
  console.log('a node was killed; its client kept its lock, and gave it up later')
  let granted = false
  const second = two.ask('lock', 'wait').then(() => (granted = true))
  await new Promise((resolve) => setTimeout(resolve, 1000))
  demo.kill('n2')
  await demo.startNode('n2')
  await new Promise((resolve) => setTimeout(resolve, 3000))
  must(!granted, 'who waited at a node that died was granted what another holds')
  await one.ask('unlock')
  await second
  await two.ask('unlock')
  console.log('a node was killed at which somebody waited: the lock came once it was free')
}

if (values.help) {
  console.log(`npm run e2e:nlm -- [options]      (as root)

  --rounds N        how often a lock goes from one to the other, and how often each process counts (20)
  --base-port P     of the demo

${KERNEL_CLIENT}=PROGRAM names a program that boots a Linux kernel, mounts --nfs-port P --pmap-port Q --export E there and runs
-c COMMANDS with $MNT, $OUT (--share) and $SRV; --id N tells several apart.`)
} else await main()
