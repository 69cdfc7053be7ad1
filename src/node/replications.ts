/**
 * The configured replications (`[[replicate]]`): each is run by one node, by a process of its own (`matrix replicate run NAME`), and again so long after it has ended. Which node that is, the
 * configuration says, or it is the administrator; who is it no more ends a run that is under way, and the new one goes on where it was.
 *
 * What became of the last run is kept in the state_dir, beside the journal of the replication.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import {
  replicationStatus as lastRun,
  type ReplicationRule,
  replicasDir,
  replicationOutcome,
} from '../../config/index.ts'
import { MatrixError } from '../base/errors.ts'
import type { Clock, Log, Timer } from '../platform/index.ts'
import type { EventNews } from '../services/index.ts'

export type LastRun = v.InferOutput<typeof lastRun>

export type ReplicationsOptions = {
  readonly rules: readonly ReplicationRule[]
  readonly stateDir: string
  /** This node runs it. */
  readonly isMine: (rule: ReplicationRule) => boolean
  /** Runs the `matrix` command; an abort kills it. */
  readonly matrix: (
    args: readonly string[],
    options: { readonly signal: AbortSignal },
  ) => Promise<{ readonly code: number | null; readonly output: string; readonly said: string }>
  readonly publish: (news: EventNews) => void
  readonly clock: Clock
  readonly log: Log
}

/** After the start of the node, and how often it is looked whose turn it is, ms. */
const LOOK_MS = 2_000

export class Replications {
  readonly #options: ReplicationsOptions
  readonly #running = new Map<string, { readonly since: number; readonly stop: AbortController }>()
  /** When each begins, by the host's clock, ms. */
  readonly #due = new Map<string, number>()
  readonly #last = new Map<string, LastRun>()
  #timer: Timer | undefined

  constructor(options: ReplicationsOptions) {
    this.#options = options
    for (const { name } of options.rules) {
      const last = this.#read(name)
      if (last) this.#last.set(name, last)
    }
  }

  begin(): void {
    if (this.#options.rules.length > 0) this.#timer = this.#options.clock.every(LOOK_MS, () => this.#look())
  }

  end(): void {
    this.#timer?.cancel()
    for (const { stop } of this.#running.values()) stop.abort()
  }

  list() {
    return this.#options.rules.map((rule) => {
      const { name, from, to, everyMs, node } = rule
      const last = this.#last.get(name)
      const since = this.#running.get(name)?.since
      return {
        ...{ name, from, to, everyMs, mine: this.#options.isMine(rule) },
        ...(node !== undefined && { node }),
        ...(since !== undefined && { since }),
        ...(last && { last }),
      }
    })
  }

  /** It begins, unless it is under way. Throws MatrixError 'not-found', or 'in-use' when it is another node's. */
  runNow(name: string): void {
    const { rules, isMine } = this.#options
    const rule = rules.find((each) => each.name === name)
    if (!rule) {
      const known = rules.map((each) => each.name).join(', ') || 'none'
      throw new MatrixError('not-found', `the configuration of this node has no replication ${name}; it has ${known}`)
    }
    if (!isMine(rule))
      throw new MatrixError(
        'in-use',
        `replication ${name} is run by ${rule.node ?? 'the administrator'}, not by this node`,
      )
    this.#due.set(name, 0)
    this.#look()
  }

  #look(): void {
    const now = this.#options.clock.wall()
    for (const rule of this.#options.rules) {
      const isMine = this.#options.isMine(rule)
      const running = this.#running.get(rule.name)
      if (running) {
        if (!isMine) running.stop.abort()
        continue
      }
      const due = this.#due.get(rule.name) ?? (this.#last.get(rule.name)?.at ?? 0) + rule.everyMs
      // a wall clock that was set back does not put a run off for long
      if (isMine && (now >= due || due > now + rule.everyMs)) void this.#run(rule)
    }
  }

  async #run(rule: ReplicationRule): Promise<void> {
    const { clock, log, matrix } = this.#options
    const { name } = rule
    const stop = new AbortController()
    const [since, began] = [clock.wall(), clock.now()]
    this.#running.set(name, { since, stop })
    try {
      const { code, output, said } = await matrix(['replicate', 'run', name, '--json'], { signal: stop.signal })
      if (stop.signal.aborted)
        return log.info({ replication: name }, 'a replication was ended: another node has it now')
      const parsed = v.safeParse(replicationOutcome, output)
      const counts = parsed.success
        ? parsed.output
        : { looked: 0, copied: 0, bytes: 0, pruned: 0, failed: 0, troubles: [] }
      const [trouble] = counts.troubles
      const why = !parsed.success
        ? said || `it ended with ${code}`
        : trouble
          ? `${trouble.path}: ${trouble.why}`
          : undefined
      const { troubles: _, ...numbers } = counts
      this.#ended(rule, {
        at: clock.wall(),
        ms: Math.round(clock.now() - began),
        ...numbers,
        ...(why !== undefined && { why }),
      })
    } catch (error) {
      this.#ended(rule, {
        ...{
          at: clock.wall(),
          ms: Math.round(clock.now() - began),
          looked: 0,
          copied: 0,
          bytes: 0,
          pruned: 0,
          failed: 0,
        },
        why: String(error),
      })
    } finally {
      this.#running.delete(name)
      this.#due.set(name, clock.wall() + rule.everyMs)
    }
  }

  #ended({ name }: ReplicationRule, last: LastRun): void {
    const { log, publish } = this.#options
    const before = this.#last.get(name)
    this.#last.set(name, last)
    this.#write(name, last)
    const object = { type: 'replication', name } as const
    if (last.why !== undefined) {
      log.warn({ replication: name, ...last }, 'a replication has failed, or a part of it')
      if (before?.why !== last.why)
        publish({ kind: 'replication-failed', object, severity: 'error', text: `replication ${name}: ${last.why}` })
      return
    }
    log.info({ replication: name, ...last }, 'a replication is done')
    if (before?.why !== undefined)
      publish({
        kind: 'replication-recovered',
        object,
        severity: 'info',
        text: `replication ${name} has copied everything again`,
      })
  }

  #read(name: string): LastRun | undefined {
    try {
      const read = v.safeParse(v.pipe(v.string(), v.parseJson(), lastRun), readFileSync(this.#file(name), 'utf8'))
      return read.success ? read.output : undefined
    } catch {
      return undefined
    }
  }

  #write(name: string, last: LastRun): void {
    const file = this.#file(name)
    try {
      mkdirSync(replicasDir(this.#options.stateDir), { recursive: true, mode: 0o700 })
      writeFileSync(`${file}.new`, JSON.stringify(last))
      renameSync(`${file}.new`, file)
    } catch (error) {
      this.#options.log.warn({ file, error: String(error) }, 'what became of a replication cannot be kept')
    }
  }

  #file(name: string): string {
    return join(replicasDir(this.#options.stateDir), `${name}.json`)
  }
}
