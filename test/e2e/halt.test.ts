/**
 * A node that has to give up by itself: its lease is over, or its image is not what it was. Programs on its mount get an error at
 * once and never hang; the node is started again by whoever looks after it (here the demo), and serves as before.
 */
// time limit: 180 s
import { type ChildProcess, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultTimings } from '../../src/base/timings.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const dir = fs.mkdtempSync(join(tmpdir(), 'matrixfs-e2e-halt-'))
const demo = new Demo({ dir, nodes: 1, lunSize: '256MiB', basePort: await freeBasePort(1), mount: true })
/** Until a node that has halted serves again, ms. */
const BACK_MS = 30_000
/** What a program may be told, by calls under way and by later ones. */
const GONE = /^(EIO|ENOTCONN|ECONNABORTED)$/

/** A program with a file open: for every line on its standard input it reads, and says the content or the error. */
const reader = `
import errno, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
print("open", flush=True)
for line in sys.stdin:
    try: print(os.pread(fd, 100, 0).decode(), flush=True)
    except OSError as error: print(errno.errorcode[error.errno], flush=True)
`

class Program {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(path: string) {
    this.#child = spawn('python3', ['-c', reader, path], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  }

  ask(): void {
    this.#child.stdin?.write('read\n')
  }

  /** The next line it says; rejects after `limitMs`. */
  async says(limitMs: number): Promise<string> {
    const late = sleep(limitMs, undefined, { ref: false }).then(() => {
      throw new Error(`the program says nothing within ${limitMs} ms: its call hangs`)
    })
    return (await Promise.race([this.#lines.next(), late])).value
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

/** Resolves once the demo says so, counted from `from` of its output. */
async function demoSays(pattern: RegExp, from: number): Promise<void> {
  const deadline = performance.now() + BACK_MS
  while (!pattern.test(demo.output.slice(from))) {
    if (performance.now() > deadline) throw new Error(`not said within ${BACK_MS} ms: ${pattern}\n${demo.output}`)
    await sleep(50)
  }
}

const mount = () => demo.node('n1').mount as string

test.before(async () => {
  await demo.start()
  fs.writeFileSync(`${mount()}/file`, 'stable', { flush: true })
})

test('a lease is lost while files are open: an error at once, no hang, and all is well after the node is back', async () => {
  const program = new Program(`${mount()}/file`)
  assert.is(await program.says(5000), 'open')
  program.ask()
  assert.is(await program.says(5000), 'stable')

  const { pid } = demo.node('n1')
  const said = demo.output.length
  process.kill(pid, 'SIGSTOP')
  program.ask()
  await sleep(defaultTimings.leaseMs + 1000)
  process.kill(pid, 'SIGCONT')
  assert.match(await program.says(2000), GONE)
  program.ask()
  assert.match(await program.says(2000), GONE)
  program.end()

  await demoSays(/n1 has halted, and is started again[\s\S]*n1 serves again/, said)
  assert.not.equal(demo.node('n1').pid, pid)
  assert.is(fs.readFileSync(`${mount()}/file`, 'utf8'), 'stable')
  fs.appendFileSync(`${mount()}/file`, ', and more')
  assert.is(fs.readFileSync(`${mount()}/file`, 'utf8'), 'stable, and more')
})

for (const [what, harm] of [
  ['deleted', (image: string) => fs.rmSync(image)],
  ['cut to nothing', (image: string) => fs.truncateSync(image, 0)],
] as const) {
  test(`the image file is ${what} under a running node: it withdraws, builds it anew, and serves again`, async () => {
    fs.writeFileSync(`${mount()}/file`, what, { flush: true })
    const images = fs.readdirSync(join(dir, 'n1')).filter((name) => /^home\.sqlite(-b)?$/.test(name))
    assert.is(images.length, 1)
    const said = demo.output.length
    harm(join(dir, 'n1', images[0] as string))
    await demoSays(/n1 has halted, and is started again[\s\S]*n1 serves again/, said)
    assert.match(
      fs.readFileSync(join(dir, 'n1.log'), 'utf8'),
      /image-damaged|the image .* (is gone|was cut|cannot be used)/,
    )
    assert.is(fs.readFileSync(`${mount()}/file`, 'utf8'), what)
  })
}

test('nothing is wrong with the filesystem', async () => {
  assert.match(demo.check(), /filesystem home is sound/)
})

test.after(async () => {
  await demo.dispose()
  fs.rmSync(dir, { recursive: true, force: true })
})

test.run()
