/**
 * Keeps one service, application or device of this node: probes it, repairs it here first, and says how much it weighs against this node.
 *
 *     idle ─start─▶ starting ─answers─▶ up ─down─▶ repairing ─answers─▶ up        a service or device begins as `unknown`, and is never
 *      ▲                └──── fails ────┴────────▶ failed ──after a while─▶ …     started or stopped here
 *      └─stopped── stopping ◀── its virtual host goes
 *
 * Invariants
 *   1. Scripts run one after another, never two at a time; one that is under way when the virtual host goes is killed, with all that it has started.
 *   2. While it is being repaired where its virtual host is, it weighs nothing: restart here first, then fail over. Elsewhere what does not answer weighs.
 *   3. Every change is published once.
 *
 * Crash: what runs goes on; the next life stops its applications before it joins (`clear`).
 */
import { Turns } from '../base/turns.ts'
import type { Clock, Log, Programs, Timer } from '../platform/index.ts'
import type { EventKind, EventNews } from './events.ts'
import { failureOf } from './monitors/device-probes.ts'
import type { ProbeTools } from './monitors/probes.ts'
import { describeTarget } from './monitors/service-check.ts'
import { ServiceMonitor } from './monitors/service-monitor.ts'
import { isRepairable, RESTART_WINDOW_MS, type Script, type Service } from './service.ts'

/** What has failed and still has to run here is tried again so often, ms. */
const RETRY_MS = 10_000

export type ServiceState = 'idle' | 'unknown' | 'starting' | 'up' | 'repairing' | 'failed' | 'stopping'

export type ServiceKeeperOptions = {
  readonly node: string
  readonly clock: Clock
  readonly log: Log
  readonly tools: ProbeTools
  readonly publish: (news: EventNews) => void
  /** Whether this node bears one of its virtual hosts, or is about to. */
  readonly isNeeded: () => boolean
  /** What it weighs may have changed. */
  readonly onChange: () => void
}

export type ServiceSight = {
  readonly name: string
  readonly type: Service['type']
  readonly kind: string
  readonly target: string
  readonly policy: string
  readonly hosts: readonly string[]
  readonly state: ServiceState
  /** It counts against this node, whatever its state. */
  readonly counts: boolean
  readonly reason: string | null
  readonly sinceMs: number
  readonly restarts: number
}

export class ServiceKeeper {
  readonly service: Service
  readonly #options: ServiceKeeperOptions
  readonly #monitor: ServiceMonitor
  readonly #scripts = new Turns()
  readonly #programs: Programs
  #state: ServiceState
  #reason: string | undefined
  #since: number
  /** When it was repaired, lately. */
  #repairs: number[] = []
  /** It counts as failed here since then: until it answers, for a while, or until a person clears it, by its policy. */
  #failedAt: number | undefined
  /** It has been said that it cannot be repaired here, and not yet that it is up again. */
  #isGivenUp = false
  /** The next repair of what has failed; or when it may be tried here again. */
  #later: Timer | undefined
  /** Ends what is under way. */
  #stopping = new AbortController()

  constructor(service: Service, options: ServiceKeeperOptions) {
    this.service = service
    this.#options = options
    this.#programs = options.tools.programs
    this.#state = service.type === 'application' ? 'idle' : 'unknown'
    this.#since = options.clock.now()
    this.#monitor = new ServiceMonitor(service.check, {
      ...{ clock: options.clock, tools: options.tools, log: options.log, env: this.#env('probe') },
      onChange: () => this.#probed(),
    })
  }

  get #isApplication(): boolean {
    return this.service.type === 'application'
  }

  /** Its failure counts against this node now. */
  get counts(): boolean {
    const { policy } = this.service
    if (policy === 'NOFAILOVER') return false
    if (this.#failedAt !== undefined) return true
    switch (this.#state) {
      case 'unknown':
        return true
      case 'repairing':
        return !this.#options.isNeeded()
      default:
        return false
    }
  }

  get reason(): string {
    const { type, name } = this.service
    return `${type} ${name}: ${this.#reason ?? 'it has failed here'}`
  }

  look(): ServiceSight {
    const { name, type, check, policy, hosts } = this.service
    const { clock } = this.#options
    return {
      ...{ name, type, kind: check.kind, target: describeTarget(check), policy, hosts, state: this.#state },
      ...{ counts: this.counts, reason: this.#reason ?? this.#monitor.reason ?? null },
      ...{ sinceMs: clock.now() - this.#since, restarts: this.#repairsLately().length },
    }
  }

  /** A service or device is probed from now on. */
  begin(): void {
    if (!this.#isApplication) this.#monitor.start()
  }

  /** Nothing is probed any more; what is repaired is left alone. */
  end(): void {
    this.#monitor.stop()
    this.#later?.cancel()
    this.#stopping.abort()
  }

  /** Stops what a former life of this node may have left. */
  async clear(): Promise<void> {
    const { stop } = this.service
    const failure = stop && (await this.#run('stop', stop, new AbortController().signal))
    if (failure !== undefined) this.#notStopped(failure)
  }

  /** An application is started, since its virtual host is here, or about to be. Resolves once its script is over; never rejects. */
  async start(): Promise<void> {
    const { start } = this.service
    if (!start) return
    this.#later?.cancel()
    this.#stopping = new AbortController()
    const { signal } = this.#stopping
    this.#become('starting')
    const failure = await this.#run('start', start, signal)
    if (signal.aborted) return
    if (failure === undefined) this.#monitor.start()
    else this.#fell(failure)
  }

  /** An application is stopped, since its virtual host goes. Resolves once its script is over; never rejects. */
  async stop(): Promise<void> {
    const { stop, type, name } = this.service
    if (!stop || this.#state === 'idle') return
    this.end()
    this.#become('stopping', this.#reason)
    const failure = await this.#run('stop', stop, new AbortController().signal)
    this.#become('idle', this.#failedAt === undefined ? undefined : this.#reason)
    if (failure !== undefined) {
      this.#notStopped(failure)
      return
    }
    this.#tell('application-stopped', 'info', `${type} ${name} was stopped`)
    if (this.#failedAt === undefined) this.#repairs = []
    else this.#forgetLater()
  }

  /** A person says that it may be used here again. */
  clearFailure(): void {
    if (this.#failedAt === undefined && this.#repairs.length === 0) return
    this.#repairs = []
    this.#forget('a person has said so')
    if (this.#state === 'failed' && isRepairable(this.service)) void this.#repair()
  }

  #probed(): void {
    const { type, name, policy } = this.service
    if (!this.#monitor.isUp) {
      this.#fell(this.#monitor.reason ?? 'down')
      return
    }
    const before = this.#state
    this.#later?.cancel()
    this.#isGivenUp = false
    this.#become('up')
    // NOAUTORECOVER: it may answer, and is still not trusted
    if (policy !== 'NOAUTORECOVER') this.#failedAt = undefined
    const wasRepaired = before === 'repairing'
    const kind = wasRepaired
      ? 'service-restarted'
      : type === 'device'
        ? 'device-up'
        : this.#isApplication
          ? 'application-started'
          : 'service-up'
    this.#tell(kind, 'info', `${type} ${name} ${wasRepaired ? 'is up after a repair' : 'is up'}`)
    this.#options.onChange()
  }

  /** It does not answer, or a script has failed. */
  #fell(reason: string): void {
    const { type, name, restarts } = this.service
    const wasUp = this.#state === 'up' || this.#state === 'unknown'
    this.#reason = reason
    if (wasUp)
      this.#tell(
        type === 'device' ? 'device-failed' : 'service-down',
        'warning',
        `${type} ${name} is down: ${reason}`,
        {
          reason,
        },
      )
    if (isRepairable(this.service) && this.#repairsLately().length < restarts) void this.#repair()
    else this.#fail(reason)
  }

  async #repair(): Promise<void> {
    const { recover, start, stop } = this.service
    const { clock, onChange } = this.#options
    this.#monitor.stop()
    if (this.#stopping.signal.aborted) this.#stopping = new AbortController()
    const { signal } = this.#stopping
    this.#repairs = [...this.#repairsLately(), clock.now()]
    this.#become('repairing', this.#reason)
    onChange()
    const failure = recover
      ? await this.#run('recover', recover, signal)
      : ((stop && (await this.#run('stop', stop, signal))) ?? (start && (await this.#run('start', start, signal))))
    if (signal.aborted) return
    if (failure === undefined) this.#monitor.start()
    else this.#fell(failure)
  }

  #fail(reason: string): void {
    const { type, name, policy } = this.service
    const { clock, node, isNeeded, onChange } = this.#options
    this.#become('failed', reason)
    this.#failedAt ??= clock.now()
    if (!this.#isGivenUp && isRepairable(this.service)) {
      this.#isGivenUp = true
      const what = policy === 'NOFAILOVER' ? 'nothing moves for it' : 'it counts against this node'
      this.#tell('service-failed', 'error', `${type} ${name} cannot be repaired at ${node}: ${reason}; ${what}`, {
        reason,
      })
    }
    // a service or device may come back by itself: its probes go on
    if (!this.#isApplication && this.#monitor.state !== 'down') this.#monitor.start()
    this.#later?.cancel()
    if (isRepairable(this.service))
      this.#later = clock.after(RETRY_MS, () => {
        if (this.#state === 'failed' && (!this.#isApplication || isNeeded())) void this.#repair()
      })
    onChange()
  }

  #notStopped(reason: string): void {
    const { type, name } = this.service
    const { node, clock, onChange } = this.#options
    this.#failedAt ??= clock.now()
    this.#reason = `it may still run: ${reason}`
    this.#tell('application-not-stopped', 'error', `${type} ${name} may still run at ${node}: ${reason}`, { reason })
    this.#forgetLater()
    onChange()
  }

  /** With AUTORECOVER an application gets another chance here; nobody can see whether it would run. */
  #forgetLater(): void {
    const { policy, recoverAfterMs } = this.service
    const { clock } = this.#options
    if (policy !== 'AUTORECOVER') return
    this.#later?.cancel()
    const leftMs = (this.#failedAt ?? 0) + recoverAfterMs - clock.now()
    this.#later = clock.after(Math.max(0, leftMs), () => {
      if (this.#state === 'idle') this.#forget(`${Math.round(recoverAfterMs / 1000)} s have passed`)
    })
  }

  #forget(why: string): void {
    const { type, name } = this.service
    const { node, onChange } = this.#options
    this.#failedAt = undefined
    this.#isGivenUp = false
    this.#repairs = []
    if (this.#state === 'idle') this.#reason = undefined
    this.#tell('service-cleared', 'info', `${type} ${name} may be used at ${node} again: ${why}`)
    onChange()
  }

  #repairsLately(): number[] {
    const since = this.#options.clock.now() - RESTART_WINDOW_MS
    return this.#repairs.filter((at) => at > since)
  }

  #become(state: ServiceState, reason?: string): void {
    this.#reason = reason
    if (state === this.#state) return
    this.#state = state
    this.#since = this.#options.clock.now()
  }

  /** Undefined when it has succeeded, or nobody wants it any more; else why not. */
  #run(action: string, { path, timeoutMs }: Script, abort: AbortSignal): Promise<string | undefined> {
    return this.#scripts.take(async () => {
      if (abort.aborted) return undefined
      const run = { path, args: [action], env: this.#env(action), timeoutMs, abort }
      const end = await this.#programs.run(run).catch((error: Error) => error)
      if (abort.aborted) return undefined
      const failure = end instanceof Error ? end.message : failureOf(end, timeoutMs)
      return failure === undefined ? undefined : `${action}: ${failure}`
    })
  }

  #env(action: string): Readonly<Record<string, string>> {
    const { name, hosts } = this.service
    return {
      MATRIXFS_ACTION: action,
      MATRIXFS_SERVICE: name,
      MATRIXFS_VIRTUAL_HOST: hosts.join(' '),
      MATRIXFS_NODE: this.#options.node,
    }
  }

  #tell(kind: EventKind, severity: EventNews['severity'], text: string, detail: Record<string, string> = {}): void {
    const { type, name, hosts } = this.service
    const all = { ...detail, virtual_hosts: hosts.join(' ') }
    this.#options.publish({ kind, object: { type, name }, severity, text, detail: all })
  }
}
