/**
 * A matrix of two nodes whose LUNs are at an iSCSI target: made with the commands of an operator, served by two `matrixd`; one dies by SIGKILL, the
 * other goes on, and what was answered as stable is there. Where the target can lose its power, that loses nothing either.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { freeBasePort } from '../e2e/free-ports.ts'

export interface MatrixTarget {
  /** With two LUNs, 1 and 2. */
  url(lun: number): string
  start(): Promise<unknown>
  dispose(): Promise<void>
  /** Resolves once it serves again. */
  powerLoss?(): Promise<void>
}

const root = new URL('../..', import.meta.url).pathname
const READY_MS = 40_000

/** Declares the tests. `missing`: why they cannot run here. */
export async function testMatrixOn(target: MatrixTarget, missing: string | undefined): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-iscsi-'))
  const base = await freeBasePort(2)
  const running = new Map<string, ChildProcess>()
  const configOf = (node: number) => join(dir, `n${node}.toml`)
  const fileUrl = (node: number, name: string) => `http://127.0.0.1:${base + 100 * node + 80}/home/${name}`

  function configure(node: number): void {
    const nodes = [1, 2].map(
      (n) => `[[nodes]]\nname = "n${n}"\nslot = ${n - 1}\nmesh = "127.0.0.1:${base + 100 * n + 1}"\n`,
    )
    writeFileSync(
      configOf(node),
      `[matrix]\nname = "san"\nsecret_file = "secret"\n[node]\nname = "n${node}"\nstate_dir = "n${node}"\n${nodes.join('')}
[[luns]]\nurl = "${target.url(1)}"\n[[luns]]\nurl = "${target.url(2)}"\n[timings]\nio_timeout = "1s"
[http]\nlisten = "127.0.0.1:${base + 100 * node + 80}"\nuid = 0\ngid = 0\n[[exports]]\npath = "/home"\nfilesystem = "home"\n`,
    )
  }

  function matrix(...args: string[]): { status: number | null; text: string } {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'src/cli/main.ts'), ...args], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    return { status, text: stdout + stderr }
  }

  async function startNode(node: number): Promise<void> {
    const child = spawn(process.execPath, [join(root, 'src/node/main.ts'), '--config', configOf(node)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    running.set(`n${node}`, child)
    child.stderr.pipe(createWriteStream(join(dir, `n${node}.log`), { flags: 'a' }))
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string) =>
        reject(new Error(`n${node} ${why}\n${readFileSync(join(dir, `n${node}.log`), 'utf8')}`))
      const limit = setTimeout(() => fail('is not ready'), READY_MS)
      child.once('exit', (code, signal) => {
        clearTimeout(limit)
        fail(`has ended: ${code ?? signal}`)
      })
      child.stdout.on('data', (chunk) => {
        if (!String(chunk).includes('matrixd ready')) return
        clearTimeout(limit)
        resolve()
      })
    })
  }

  async function put(node: number, name: string, body: string): Promise<void> {
    const answer = await fetch(fileUrl(node, name), { method: 'PUT', body, signal: AbortSignal.timeout(30_000) })
    assert.ok(answer.ok, `PUT ${name} at n${node}: ${answer.status}`)
  }

  async function get(node: number, name: string): Promise<string> {
    const answer = await fetch(fileUrl(node, name), { signal: AbortSignal.timeout(30_000) })
    return `${answer.status} ${await answer.text()}`
  }

  /** Until nothing is in the way any more. */
  async function soon(work: () => Promise<void>): Promise<void> {
    const deadline = performance.now() + READY_MS
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (performance.now() > deadline) throw error
        await sleep(200)
      }
    }
  }

  async function ended(node: number, signal: NodeJS.Signals): Promise<void> {
    const child = running.get(`n${node}`) as ChildProcess
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await gone
    running.delete(`n${node}`)
  }

  test.before(async () => {
    if (missing) return
    await target.start()
    writeFileSync(join(dir, 'secret'), 'sixteen characters at least\n', { mode: 0o600 })
    for (const node of [1, 2]) {
      mkdirSync(join(dir, `n${node}`))
      configure(node)
    }
  })

  const check = missing ? test.skip : test
  if (missing) process.stderr.write(`skipped: ${missing}\n`)

  check('a matrix is made on LUNs of a target, and a file written at one node is read at the other', async () => {
    const formatted = matrix('lun', 'format', target.url(1), target.url(2), '--matrix', 'san')
    assert.is(formatted.status, 0, formatted.text)
    assert.match(matrix('lun', 'show', target.url(1)).text, /LUN lun1 .*of matrix san/)
    const made = matrix('fs', 'create', 'home', '--config', configOf(1), '--slots', '4')
    assert.is(made.status, 0, made.text)
    await Promise.all([startNode(1), startNode(2)])
    await put(1, 'a', 'written at n1')
    assert.is(await get(2, 'a'), '200 written at n1')
    await put(2, 'b', 'x'.repeat(3_000_000))
    assert.is(await get(1, 'b'), `200 ${'x'.repeat(3_000_000)}`)
  })

  check('one node dies: the other goes on with what it held', async () => {
    await put(1, 'last', 'of n1')
    await ended(1, 'SIGKILL')
    await soon(async () => assert.is(await get(2, 'last'), '200 of n1'))
    await soon(() => put(2, 'last', 'of n2'))
    await startNode(1)
    await soon(async () => assert.is(await get(1, 'last'), '200 of n2'))
  })

  if (target.powerLoss)
    check('the target loses its power: both go on, with all that was answered', async () => {
      for (let loss = 0; loss < 3; loss++) {
        await put(1, `before${loss}`, 'x'.repeat(100_000))
        await target.powerLoss?.()
        await soon(() => put(2, `after${loss}`, 'y'))
        await soon(async () => assert.is(await get(2, `before${loss}`), `200 ${'x'.repeat(100_000)}`))
        await soon(async () => assert.is(await get(1, `after${loss}`), '200 y'))
      }
    })

  check('nothing is wrong with the filesystem after both have ended', async () => {
    await ended(1, 'SIGTERM')
    await ended(2, 'SIGTERM')
    const checked = matrix('fs', 'check', 'home', '--config', configOf(1))
    assert.match(checked.text, /filesystem home is sound/)
  })

  test.after(async () => {
    for (const child of running.values()) child.kill('SIGKILL')
    await target.dispose()
    rmSync(dir, { recursive: true, force: true })
  })
}
