/**
 * Fence agent 'script': a program of the operator cuts the victim off, at the power (IPMI, a switched outlet, a cloud's API) or at the
 * storage (access lists of an array or of an iSCSI target, zones of a switch).
 *
 *   ask it to end, while it shows life ──it gives its lease back──▶ fenced
 *        │ no life, no answer
 *        ▼
 *   run the script ──exit 0──▶ watch the victim's lease ──it is over, and `ioTimeoutMs` since the exit──▶ fenced
 *        │ anything else            │ the victim renews it
 *        └──────────▶ unable ◀──────┘
 *
 * The script is not believed where the LUNs can be asked (docs/decisions/0011-fence-script.md). 'fenced' rests on two things:
 *
 *   by proof     the victim's lease is over: no sign of life for `leaseOverMs`, after which it issues no write and serves nothing, whether
 *                it was cut off, is frozen and wakes, or the script has done nothing at all.
 *   by its word  what the victim had handed to its devices before. A healthy LUN is done with that within `ioTimeoutMs` of its issue,
 *                which is over by then; what hangs for longer only the script can have stopped.
 *
 * Who lives and reaches the LUNs is asked first, through the disk: it ends within a renewal period and says so, where a victim that was
 * cut off could not. Who shows no life is not waited for.
 *
 * A renewal that appears after the exit proves that the script has lied: the next agent is asked. The script's time runs beside that of
 * the lease: with the default timings a victim is fenced within 10 s of its death, unless the script takes longer.
 */
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { ProgramEnd, Programs } from '../platform/programs.ts'
import type { PeerAddress } from '../platform/transport.ts'
import type { FenceAgent, FenceOutcome, Rehearsal } from './fence.ts'
import type { LeaseSector } from './lease-sector.ts'
import { type Cut, VictimWatch, type VictimWatchOptions } from './victim-watch.ts'

export type ScriptAgentOptions = VictimWatchOptions & {
  readonly programs: Programs
  /** Absolute path of the script. */
  readonly script: string
  /** It is killed after so long, ms. */
  readonly timeoutMs: number
  /** It knows the argument `--dry-run`. One that does not would fence. */
  readonly dryRun: boolean
  /** Everything that is known to lead to a node. */
  addresses(victim: LeaseSector): readonly PeerAddress[]
}

export class ScriptAgent implements FenceAgent {
  readonly name = 'script'
  readonly #options: ScriptAgentOptions
  readonly #victims: VictimWatch
  /** By life: the script has said that it is fenced. One that has done its work is not run again because the watching failed. */
  readonly #words = new Map<string, Cut>()

  constructor(options: ScriptAgentOptions) {
    this.#options = options
    this.#victims = new VictimWatch(options)
  }

  async fence(victim: LeaseSector, abort?: AbortSignal): Promise<FenceOutcome> {
    const key = `${victim.slot}/${victim.incarnation}`
    let word = this.#words.get(key)
    if (!word) {
      if (this.#options.watch.certainlyDead(victim)) return 'fenced'
      if (await this.#victims.endsByItself(victim, abort)) return 'fenced'
      if (!(await this.#run(victim, abort))) return 'unable'
      const at = this.#options.clock.now()
      this.#words.set(key, (word = { at, settledAt: at + this.#options.timings.ioTimeoutMs }))
    }
    if (brokenRules.scriptIsDoubted) return 'fenced'
    try {
      return await this.#watchLease(victim, word, abort)
    } catch (error) {
      this.#words.delete(key)
      throw error
    }
  }

  /** Whether it has exited with 0. Rejects with MatrixError 'not-found' when it cannot be started, 'timeout' when it hangs. */
  async #run(victim: LeaseSector, abort: AbortSignal | undefined): Promise<boolean> {
    const { script, timeoutMs, log } = this.#options
    const { nodeName, slot, incarnation } = victim
    const { how, code, output } = await this.#start(victim, { abort })
    const fenced = how === 'exited' && code === 0
    log[fenced ? 'info' : 'warn']({ node: nodeName, slot, incarnation, how, code, output }, 'fence script has ended')
    if (how === 'timeout') throw new MatrixError('timeout', `${script} was killed, it hung for ${timeoutMs} ms`)
    return fenced
  }

  /** Runs the script on this node, with `--dry-run` before what it is told otherwise. */
  async rehearse(victim: LeaseSector): Promise<Rehearsal> {
    const { script, timeoutMs, dryRun, log } = this.#options
    if (!dryRun)
      return { able: true, said: `${script} was not run: it is not said to know --dry-run (fencing.script_dry_run)` }
    try {
      const { how, code, output } = await this.#start(victim, { dryRun })
      log.info({ node: victim.nodeName, how, code, output }, 'dry run of the fence script has ended')
      const end = { exited: `ended with ${code}`, timeout: `was killed, it hung for ${timeoutMs} ms` }
      const lines = output.filter((line) => line !== '').map((line) => `\n  ${line}`)
      const said = `${script} --dry-run ${how in end ? end[how as keyof typeof end] : `was ${how}`}${lines.join('')}`
      return { able: how === 'exited' && code === 0, said }
    } catch (error) {
      if (!isMatrixError(error)) throw error
      return { able: false, said: error.message }
    }
  }

  #start(
    victim: LeaseSector,
    { dryRun = false, abort }: { dryRun?: boolean; abort?: AbortSignal | undefined },
  ): Promise<ProgramEnd> {
    const { programs, script, timeoutMs, addresses } = this.#options
    const { nodeName, slot, incarnation, hostName } = victim
    const reachedAt = addresses(victim).map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`)
    return programs.run({
      path: script,
      args: [...(dryRun ? ['--dry-run'] : []), nodeName, `${slot}`, `${incarnation}`, hostName, ...reachedAt],
      env: {
        MATRIXFS_NODE: nodeName,
        MATRIXFS_SLOT: `${slot}`,
        MATRIXFS_INCARNATION: `${incarnation}`,
        MATRIXFS_HOST: hostName,
        MATRIXFS_ADDRESSES: reachedAt.join(' '),
        ...(dryRun && { MATRIXFS_DRY_RUN: '1' }),
      },
      timeoutMs,
      abort,
    })
  }

  /** Rejects with MatrixError 'fence-failed' when the victim goes on. */
  async #watchLease(victim: LeaseSector, word: Cut, abort: AbortSignal | undefined): Promise<FenceOutcome> {
    const end = await this.#victims.leaseEnds(victim, word, abort)
    if (end !== 'renewed') return end === 'over' ? 'fenced' : 'unable'
    const { clock, log } = this.#options
    const { nodeName, slot, incarnation } = victim
    const afterMs = Math.round(clock.now() - word.at)
    log.error({ node: nodeName, slot, incarnation, afterMs }, 'the fence script says fenced, the node goes on')
    throw new MatrixError('fence-failed', `the script says fenced, but "${nodeName}" has renewed its lease since`)
  }
}
