/**
 * `npm run e2e:fence [-- --trials 500 --target tgt,own]`: a victim, a process of its own, writes as fast as it can to two LUNs at an iSCSI target. It is fenced
 * there by the agent `scsi-pr`; then its successor writes the same blocks, and reads them for a while. Every few trials the victim is stopped
 * (SIGSTOP) before the fence and woken (SIGCONT) after the successor has written.
 *
 * A violation is
 *  - something of the victim on a LUN after the first write of the successor there;
 *  - a write that the victim began after its key was preempted at a LUN, and that was answered there as done;
 *  - a victim that no LUN refuses.
 *
 * The agent is the real one. Its view of the victim's lease is the worst there is: over for long, although the victim writes; so nothing but the
 * reservations keeps it out. The successor and the target are processes of their own as well.
 *
 * A device that cannot abort (tgt) has the life of an I/O to carry out what was under way, for which the agent waits. Here that is SETTLE_MS, far less than what a
 * node with the default waits (4 s): tgt with one I/O thread per LUN carries everything out in order.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Life } from '../../src/base/life.ts'
import { Prng } from '../../src/base/prng.ts'
import { timingsFrom } from '../../src/base/timings.ts'
import { silentLog } from '../../src/platform/log.ts'
import { realHost } from '../../src/platform/real/host.ts'
import {
  type LeaseSector,
  type Lun,
  openLun,
  Registration,
  type Reservations,
  ScsiPrAgent,
} from '../../src/san/index.ts'
import { freePort } from '../helpers/free-port.ts'
import { wrong } from '../helpers/script-options.ts'
import { TargetProcess } from '../helpers/target-process.ts'
import { noTgt, Tgt } from '../helpers/tgt.ts'
import {
  BLOCKS_AT,
  IO_TIMEOUT_MS,
  type LunReport,
  monotonicMs,
  type VictimMessage,
  type VictimOrder,
} from './fence-victim.ts'
import { medianAndWorst } from './times.ts'
import { type TargetName, targetNames, trialOptions } from './trial-options.ts'

const LUNS = 2
const SUCCESSOR: Life = { slot: 0, incarnation: 1 }
const VICTIM_SLOT = 1
const SETTLE_MS = 200
/** Of a write: most go with their command, large ones are asked for by the target in parts. */
const BLOCK_BYTES = [4096, 4096, 131_072]
/** So long the successor reads what it has written. */
const READ_MS = 100
/** In every so many trials the victim is stopped. */
const STOP_EVERY = 4
/** A victim that says nothing for so long never will. */
const ANSWER_MS = 60_000

const usage = `A victim that writes as fast as it can is fenced at its LUNs by the agent scsi-pr, over and over: nothing of it may be found there
after the first write of its successor. In one of ${STOP_EVERY} trials it is stopped before the fence, and woken after it.

  --trials N       at each target (500)
  --target LIST    of ${targetNames.join(',')} (both): Debian's tgt, and the target of this project
  --seed N         of depths and moments (1)
  --help           this text

Exit codes: 0 nothing was violated, 1 something was, 2 wrong option, or this machine lacks something (it is said what).`

export type TrialOptions = {
  readonly target: TargetName
  readonly trials: number
  readonly seed: number
  readonly say?: (line: string) => void
  /** Left out by whoever wants to know whether violations are seen. */
  readonly fences?: boolean
}

export type TrialsReport = {
  readonly trials: number
  readonly stopped: number
  readonly violations: readonly string[]
  /** Of victims: writes that were done, and that were refused. */
  readonly acknowledged: number
  readonly conflicts: number
  /** From the moment a preemption is sent to the first write that is refused there, one for each LUN and victim that ran, ms. */
  readonly refusedAfterMs: readonly number[]
  /** From SIGCONT, where the victim was stopped. */
  readonly wokenAfterMs: readonly number[]
  readonly aborted: number
  readonly preempted: number
}

/** A LUN as the successor has it, which notes when the victim was preempted there. */
class WatchedLun {
  readonly lun: Lun
  sentAt = 0
  preemptedAt = Number.POSITIVE_INFINITY
  readonly answers = { aborted: 0, preempted: 0 }

  constructor(lun: Lun) {
    this.lun = lun
  }

  get reservations(): Reservations {
    const real = this.lun.reservations as Reservations
    return {
      readKeys: () => real.readKeys(),
      readReservation: () => real.readReservation(),
      register: (key) => real.register(key),
      unregister: (key) => real.unregister(key),
      reserve: (key) => real.reserve(key),
      preempt: async (own, victim) => {
        this.sentAt = monotonicMs()
        const how = await real.preempt(own, victim)
        this.preemptedAt = monotonicMs()
        this.answers[how]++
        return how
      },
    }
  }
}

/** The victim's process, which lives through all trials: one life after another, with sessions of its own each. */
class Victim {
  readonly #child: ChildProcess
  #messages: VictimMessage[] = []
  #wake = (): void => {}

  static async start(): Promise<Victim> {
    const victim = new Victim(fork(new URL('fence-victim.ts', import.meta.url).pathname, { stdio: 'inherit' }))
    await victim.hears('ready')
    return victim
  }

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (message: VictimMessage) => {
      this.#messages.push(message)
      this.#wake()
    })
    child.once('exit', (code, signal) => {
      this.#messages.push({ kind: 'failed', why: `it has ended with ${code ?? signal}` })
      this.#wake()
    })
  }

  tell(order: VictimOrder): void {
    this.#child.send(order)
  }

  /** What was said before is forgotten. Undefined when it is not said in time. */
  async hears<K extends VictimMessage['kind']>(kind: K): Promise<Extract<VictimMessage, { kind: K }> | undefined> {
    const until = monotonicMs() + ANSWER_MS
    while (monotonicMs() < until) {
      const message = this.#messages.shift()
      if (message?.kind === kind) return message as Extract<VictimMessage, { kind: K }>
      if (message?.kind === 'failed') throw new Error(`the victim: ${message.why}`)
      if (message) continue
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, until - monotonicMs())
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return undefined
  }

  /** Returns once it stands still. */
  async stop(): Promise<void> {
    this.#child.kill('SIGSTOP')
    const state = () => /\) (\S)/.exec(readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1'))?.[1]
    while (state() !== 'T') await sleep(1)
  }

  wake(): void {
    this.#child.kill('SIGCONT')
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

/** Plays all trials at one target. Rejects when a trial could not be played. */
export async function playTrials({
  target: name,
  trials,
  seed,
  say = () => {},
  fences = true,
}: TrialOptions): Promise<TrialsReport> {
  const prng = new Prng(seed)
  const target =
    name === 'tgt' ? new Tgt({ luns: LUNS }) : new TargetProcess({ luns: LUNS, basePort: await freePort() })
  let victim: Victim | undefined
  const abandon = () => {
    victim?.end()
    target.abandon()
  }
  process.once('exit', abandon)
  const opened: Lun[] = []
  try {
    await target.start()
    const urls = Array.from({ length: LUNS }, (_, index) => target.url(index + 1))
    const registration = new Registration(SUCCESSOR)
    for (const url of urls) {
      const lun = await openLun(url, realHost, { timings: timingsFrom(IO_TIMEOUT_MS) })
      opened.push(lun)
      await registration.admit(lun)
    }
    victim = await Victim.start()
    const all: Trial[] = []
    for (let number = 1; number <= trials; number++) {
      const isStopped = number % STOP_EVERY === 0
      const trial = new Trial(number, opened, isStopped)
      await trial.play(victim, {
        urls,
        lanes: prng.between(8, 32),
        blockBytes: prng.pick(BLOCK_BYTES),
        runsMs: prng.between(2, 60),
        fences,
      })
      all.push(trial)
      for (const violation of trial.violations) say(`VIOLATION ${violation}`)
      if (number % 25 === 0 || number === trials)
        say(`${name}: ${number}/${trials} trials, ${all.flatMap(({ violations }) => violations).length} violations`)
    }
    return summaryOf(all)
  } finally {
    victim?.end()
    await Promise.allSettled(opened.map((lun) => lun.close()))
    await target.dispose()
    process.off('exit', abandon)
  }
}

type TrialPlan = {
  readonly urls: readonly string[]
  readonly lanes: number
  readonly blockBytes: number
  readonly runsMs: number
  readonly fences: boolean
}

class Trial {
  readonly number: number
  readonly isStopped: boolean
  readonly luns: readonly WatchedLun[]
  readonly violations: string[] = []
  reports: readonly LunReport[] = []
  wokenAt = 0

  constructor(number: number, luns: readonly Lun[], isStopped: boolean) {
    this.number = number
    this.isStopped = isStopped
    this.luns = luns.map((lun) => new WatchedLun(lun))
  }

  async play(victim: Victim, { urls, lanes, blockBytes, runsMs, fences }: TrialPlan): Promise<void> {
    const life = { slot: VICTIM_SLOT, incarnation: this.number }
    victim.tell({ kind: 'write', urls, ...life, lanes, blockBytes })
    if (!(await victim.hears('writing'))) throw new Error(`trial ${this.number}: the victim does not write`)
    await sleep(runsMs)
    if (this.isStopped) await victim.stop()
    if (fences) await this.#fence(life)
    const mark = Buffer.alloc(blockBytes, `successor of ${this.number}. `)
    const marks = Array.from({ length: lanes }, () => mark)
    await Promise.all(this.luns.map(({ lun }) => lun.write(BLOCKS_AT, marks, { purpose: 'data', durable: true })))
    await this.#readFor(READ_MS, marks)
    if (this.isStopped) {
      this.wokenAt = monotonicMs()
      victim.wake()
    }
    if (fences && !(await victim.hears('refused'))) this.violations.push(`trial ${this.number}: no LUN refuses`)
    await this.#readFor(READ_MS / 2, marks)
    victim.tell({ kind: 'end' })
    const report = await victim.hears('report')
    if (!report) throw new Error(`trial ${this.number}: the victim does not end`)
    this.reports = report.luns
    await this.#readFor(0, marks)
    for (const [index, { preemptedAt }] of this.luns.entries()) {
      const { lastBegunAt } = this.reports[index] as LunReport
      if (lastBegunAt <= preemptedAt) continue
      const lateMs = (lastBegunAt - preemptedAt).toFixed(1)
      this.violations.push(
        `trial ${this.number}: LUN ${index + 1} has done a write that began ${lateMs} ms after the preemption`,
      )
    }
  }

  async #fence(life: Life): Promise<void> {
    const sector: LeaseSector = {
      ...{ ...life, nodeName: 'victim', state: 'active', counter: 1, ioTimeoutMs: SETTLE_MS / 2 },
      ...{ process: { bootId: 'boot', pid: 1, startTime: 1 }, address: { host: '127.0.0.1', port: 1 } },
      ...{ hostName: 'host', nonce: '00000000-0000-0000-0000-000000000001' },
    }
    const reasons: string[] = []
    const agent = new ScsiPrAgent({
      ...{ clock: realHost.clock, log: silentLog, timings: timingsFrom(SETTLE_MS / 2), life: SUCCESSOR },
      // it was silent for so long that nobody asks it, and nobody waits for its lease
      watch: {
        scan: () => Promise.resolve([sector]),
        sectors: [sector],
        stillMs: () => Number.POSITIVE_INFINITY,
        certainlyDead: () => false,
      },
      lease: { requestFence: () => Promise.resolve() },
      luns: () => this.luns.map(({ reservations }, i) => ({ uuid: `${i}`, name: `lun${i + 1}`, reservations })),
      missing: () => [],
      onReserved: (reason) => reasons.push(reason),
    })
    const outcome = await agent.fence(sector)
    if (outcome !== 'fenced') throw new Error(`trial ${this.number}: fencing says ${outcome} (${reasons.join()})`)
  }

  /** At least once. */
  async #readFor(ms: number, marks: readonly Buffer[]): Promise<void> {
    const expected = Buffer.concat(marks)
    const until = monotonicMs() + ms
    do {
      for (const [index, { lun }] of this.luns.entries()) {
        const found = Buffer.alloc(expected.length)
        await lun.read(BLOCKS_AT, found)
        const places = marks.map((mark, lane) => ({ mark, lane, from: lane * mark.length }))
        const wrong = places.find(({ mark, from }) => !found.subarray(from, from + mark.length).equals(mark))
        if (!wrong) continue
        const { mark, lane, from } = wrong
        const at = from + mark.findIndex((byte, i) => byte !== found[from + i])
        const text = found.subarray(at, at + 32).toString('latin1')
        this.violations.push(`trial ${this.number}: LUN ${index + 1}, block ${lane}: found "${text}"`)
        return
      }
    } while (monotonicMs() < until)
  }
}

function summaryOf(trials: readonly Trial[]): TrialsReport {
  const reports = trials.flatMap((trial) => trial.reports.map((report, i) => ({ trial, report, lun: trial.luns[i] })))
  const sum = (of: (report: LunReport) => number) => reports.reduce((total, { report }) => total + of(report), 0)
  const after = (isStopped: boolean) =>
    reports.flatMap(({ trial, report: { firstRefusedAt }, lun }) => {
      if (trial.isStopped !== isStopped || firstRefusedAt === undefined) return []
      return [firstRefusedAt - (isStopped ? trial.wokenAt : (lun as WatchedLun).sentAt)]
    })
  const answers = trials.flatMap(({ luns }) => luns.map((lun) => lun.answers))
  return {
    trials: trials.length,
    stopped: trials.filter(({ isStopped }) => isStopped).length,
    violations: trials.flatMap(({ violations }) => violations),
    acknowledged: sum(({ acknowledged }) => acknowledged),
    conflicts: sum(({ refused }) => refused),
    refusedAfterMs: after(false),
    wokenAfterMs: after(true),
    aborted: answers.reduce((total, { aborted }) => total + aborted, 0),
    preempted: answers.reduce((total, { preempted }) => total + preempted, 0),
  }
}

if (import.meta.main) {
  const { count: trials, seed, targets } = trialOptions(['trials', 500], usage)
  const lacking = targets.includes('tgt') ? noTgt() : undefined
  if (lacking) wrong(lacking)
  // what runs beside this process is ended with it
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
  let violations = 0
  for (const target of targets) {
    const begun = performance.now()
    const report = await playTrials({ target, trials, seed, say: console.log })
    violations += report.violations.length
    const seconds = ((performance.now() - begun) / 1000).toFixed(0)
    console.log(
      `${target}: ${report.trials} trials in ${seconds} s, the victim stopped in ${report.stopped}: ${report.violations.length} violations
  ${report.acknowledged} writes of victims were done, ${report.conflicts} refused; ${report.aborted} preemptions with abort, ${report.preempted} without
  from the preemption to the first refusal ${medianAndWorst(report.refusedAfterMs)}; from waking ${medianAndWorst(report.wokenAfterMs)}`,
    )
  }
  process.exit(violations === 0 ? 0 : 1)
}
