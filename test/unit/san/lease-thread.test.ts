// Real processes, threads and files: whatever the simulator takes for granted.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { SECTOR_SIZE } from '../../../src/base/limits.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { MiB } from '../../../src/base/units.ts'
import { sleep } from '../../../src/platform/clock.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { realHost } from '../../../src/platform/real/host.ts'
import { realProcesses } from '../../../src/platform/real/processes.ts'
import { realThreads } from '../../../src/platform/real/threads.ts'
import type { Thread, Threads } from '../../../src/platform/threads.ts'
import {
  decodeLease,
  KillAgent,
  type LeaseEnd,
  type LeaseSector,
  leaseOffset,
  openLun,
  startLeaseThread,
} from '../../../src/san/index.ts'

const IO_TIMEOUT_MS = 200
const script = fileURLToPath(new URL('./lease-claimant.ts', import.meta.url))

const test = suite('san: lease thread', { path: '', children: [] as ChildProcess[] })

test.before.each((context) => {
  context.path = join(mkdtempSync(join(tmpdir(), 'matrixfs-lease-')), 'lun')
  writeFileSync(context.path, '')
  truncateSync(context.path, 64 * MiB)
})
test.after.each((context) => {
  for (const child of context.children.splice(0)) child.kill('SIGKILL')
  rmSync(join(context.path, '..'), { recursive: true })
})

type Said = { claimed?: number; refused?: string; message?: string; good?: boolean; ended?: object }

/** A claimant process; `next` gives its next line. */
function claimant({ path, children }: { path: string; children: ChildProcess[] }) {
  const child = spawn(process.execPath, [script, path, '0', String(IO_TIMEOUT_MS)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  children.push(child)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<Said> => JSON.parse((await lines.next()).value ?? '{}')
  const ask = (command: string) => {
    child.stdin.write(`${command}\n`)
    return next()
  }
  return { child, next, ask }
}

async function sectorOf(path: string): Promise<LeaseSector> {
  const lun = await openLun(path, realHost)
  const sector = Buffer.alloc(SECTOR_SIZE)
  await lun.read(leaseOffset(0), sector)
  await lun.close()
  return decodeLease(0, sector) as LeaseSector
}

test('two processes claim one slot at the same time: one gets it, the other is told by whom it is used', async (context) => {
  const said = await Promise.all([claimant(context).next(), claimant(context).next()])
  const owner = await sectorOf(context.path)
  const winners = said.filter((line) => line.claimed !== undefined)
  const losers = said.filter((line) => line.refused === 'node-in-use')
  assert.is(winners.length, 1, JSON.stringify(said))
  assert.is(losers.length, 1, JSON.stringify(said))
  assert.match(
    losers[0].message as string,
    new RegExp(`node "n0" \\(slot 0\\) is already running: process ${owner.process.pid} `),
  )
  assert.is(owner.state, 'active')
})

test('a main thread that is busy for longer than a lease keeps it; a process killed by the agent is succeeded at once', async (context) => {
  const first = claimant(context)
  assert.equal(await first.next(), { claimed: 1 })
  assert.equal(await first.ask('block'), { good: true })
  const victim = await sectorOf(context.path)
  assert.is(victim.process.pid, first.child.pid)
  assert.is(await new KillAgent(realProcesses, { clock: realClock, orphanIoMs: () => 0 }).fence(victim), 'fenced')
  assert.is(realProcesses.state(victim.process), 'gone')
  const second = claimant(context)
  assert.equal(await second.next(), { claimed: 2 })
  assert.equal(await second.ask('release'), { ended: { kind: 'released' } })
  assert.equal(await second.next(), { good: false })
  assert.is((await sectorOf(context.path)).state, 'clean')
})

test('a thread that dies is a lost lease: the deadline is withdrawn, nothing can be asked of it any more', async ({
  path,
}) => {
  const ends: LeaseEnd[] = []
  let thread: Thread | undefined
  const threads: Threads = { start: (entry, data) => (thread = realThreads.start(entry, data)) }
  const options = {
    threads,
    lunUrls: [path],
    partitions: 1,
    timings: timingsFrom(50),
    orphanIoMs: 0,
    log: silentLog,
    onEnd: (end: LeaseEnd) => void ends.push(end),
  }
  const owner = {
    slot: 1,
    nodeName: 'n1',
    hostName: 'here',
    address: { host: '127.0.0.1', port: 1 },
    process: realProcesses.self(),
    nonce: randomUUID(),
  }
  const lease = await startLeaseThread({ ...options, owner })
  assert.ok(lease.goodUntil() > realClock.now())
  await lease.requestFence([{ slot: 5, incarnation: 1 }])
  thread?.stop()
  while (ends.length === 0) await sleep(realClock, 5)
  assert.is(lease.goodUntil(), Number.NEGATIVE_INFINITY)
  assert.match(JSON.stringify(ends), /"lost".*the thread of the disk lease ended/)
  const error = await lease.setState('active').catch((error) => error)
  assert.ok(isMatrixError(error, 'fenced'))
  await lease.release()

  const missing = await startLeaseThread({ ...options, owner, lunUrls: [`${path}-none`] }).catch((error) => error)
  assert.ok(isMatrixError(missing, 'not-found'), String(missing))
  assert.is(ends.length, 1)
})

test.run()
