/**
 * A session that is there again after its connection was lost: a new connection logs in with the same name and ISID, by which the target ends
 * the old session and everything that was under way in it (session reinstatement, RFC 7143, 6.3.5) before it lets the new one in.
 *
 * What was under way is sent again, within its deadline and while its caller waits. Why a write that is sent again does no harm:
 *
 * 1. The old copy never lands after the new one: the target has ended it when it accepts the new session. What had not left this machine
 *    never does (the old connection was reset). So from outside the two copies are one slow write.
 * 2. It passes no newer write that began after it was answered: it is not answered yet. A newer write to the same place that began
 *    meanwhile may have been answered, and read by others: then the older must not come once more, and rejects (`isSuperseded`).
 * 3. What was answered stays: writes are answered only once they are on the medium (drivers/iscsi-lun.ts), so that a target that was
 *    switched off in between has lost nothing of them.
 *
 * A write that rejects is over, too: it was never sent, the target has aborted it, a new session has ended it, or it is `afterlifeMs` after its deadline
 * (which is when nothing of it could leave any more). Who waits for the end of what is under way, in order to tell others, waits long enough.
 *
 * Before anything is sent to it the device is looked at again (`verify`): one that is another now gets nothing.
 *
 * Several portals: the session moves as a whole, and what is said above holds as long as the portals belong to one portal group, for there the
 * new session ends the old one. Between portals of different groups it does not; what was under way at the old one may still land, so nothing
 * is sent to the new one before its life is over (`lifeMs`). A session that goes back to a portal that is wanted more leaves nothing under way.
 */
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import { type Clock, sleep, type Timer } from '../../platform/clock.ts'
import type { Host } from '../../platform/host.ts'
import type { Log } from '../../platform/log.ts'
import type { PeerAddress } from '../../platform/transport.ts'
import type { PathState } from '../lun.ts'
import type { Path, Paths } from '../paths.ts'
import type { ScsiAnswer, ScsiCommand } from '../scsi/command.ts'
import { CommandAborted, Connection, ConnectionLost, type ConnectionTimings } from './connection.ts'
import { dialTarget } from './dial.ts'
import type { LoginOptions } from './login.ts'

export type Execute = (command: ScsiCommand) => Promise<ScsiAnswer>

export type SessionOptions = {
  readonly host: Pick<Host, 'dialer' | 'clock'>
  readonly paths: Paths<PeerAddress>
  /** For connecting, and again for logging in, ms. */
  readonly limitMs: number
  /** Paths that are not in use are looked at so often, ms. */
  readonly lookMs: number
  /** What was handed to the device has landed after so long, or never will, ms. */
  readonly lifeMs: number
  readonly login: LoginOptions
  /** The logical unit, as on the wire. */
  readonly lun: Buffer
  readonly timings: ConnectionTimings
  readonly log: Log
  /** Beyond its deadline, a write whose connection was lost may be executed for so long, ms. */
  readonly afterlifeMs: number
  /** For messages. */
  readonly identity: string
  /** Looks at the device, before anybody may use it. A rejection with 'lun-foreign' is final. */
  readonly verify: (execute: Execute, deadlineAt: number) => Promise<void>
}

/** Between tries to connect, ms: doubles from the first to the last. A connection that lasted no longer than the last counts as a try that failed. */
const FIRST_PAUSE_MS = 50
const LAST_PAUSE_MS = 1000

export class IscsiSession {
  readonly #options: SessionOptions
  readonly #clock: Clock
  #connection: Connection | undefined
  readonly #waiters = new Set<() => void>()
  /** Final. */
  #failure: MatrixError | undefined
  #connectedAt = 0
  #pauseMs = FIRST_PAUSE_MS
  /** Why there is no connection. */
  #lostBecause = ''
  /** Where and when the last connection was lost that may have left something under way. */
  #left: { readonly group: string | undefined; readonly at: number } | undefined
  #looks: Timer | undefined
  #isLooking = false

  /** Rejects as `dialTarget` and `verify` do. */
  static async open(options: SessionOptions): Promise<IscsiSession> {
    const session = new IscsiSession(options)
    await session.#connectAny()
    if (options.paths.all.length > 1)
      session.#looks = options.host.clock.every(options.lookMs, () => void session.#look())
    return session
  }

  private constructor(options: SessionOptions) {
    this.#options = options
    this.#clock = options.host.clock
  }

  /** Rejects with MatrixError 'lun-io', at the latest a moment after `deadlineAt`, writes `afterlifeMs` later, or with what `verify` found to be final. */
  async execute(command: ScsiCommand, deadlineAt: number): Promise<ScsiAnswer> {
    let mayLand = false
    try {
      for (let tries = 0; ; tries++) {
        const connection = this.#connection ?? (await this.#connected(command, deadlineAt))
        mayLand = false
        if (tries > 0 && command.isSuperseded?.())
          throw this.#failed(command, `${this.#lostBecause}; it is not sent again, since a newer write overlaps it`)
        try {
          return await connection.execute(command, deadlineAt)
        } catch (error) {
          if (error instanceof CommandAborted)
            throw this.#failed(command, `no answer before its deadline: ${error.message}`)
          if (!(error instanceof ConnectionLost)) throw error
          mayLand = command.write !== undefined
          if (this.#clock.now() >= deadlineAt) throw this.#failed(command, error.message)
        }
      }
    } catch (error) {
      const leftMs = deadlineAt + this.#options.afterlifeMs - this.#clock.now()
      if (mayLand && leftMs > 0) await sleep(this.#clock, leftMs)
      throw error
    }
  }

  /** Ends the connection, so that the device is looked at again. */
  renew(reason: string): void {
    this.#connection?.end(reason)
  }

  async close(): Promise<void> {
    this.#failure ??= new MatrixError('lun-io', `${this.#options.identity} was closed`)
    this.#looks?.cancel()
    this.#wake()
    await this.#connection?.logout()
  }

  #failed(command: ScsiCommand, why: string): MatrixError {
    return new MatrixError('lun-io', `${this.#options.identity}: ${command.name}: ${why}`)
  }

  async #connected(command: ScsiCommand, deadlineAt: number): Promise<Connection> {
    while (!this.#connection) {
      if (this.#failure) throw this.#failure
      const leftMs = deadlineAt - this.#clock.now()
      if (!(leftMs > 0)) throw this.#failed(command, `no connection: ${this.#lostBecause}`)
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          timer.cancel()
          this.#waiters.delete(wake)
          resolve()
        }
        const timer = this.#clock.after(leftMs, wake)
        this.#waiters.add(wake)
      })
    }
    return this.#connection
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake()
  }

  /** By the first path that leads there. Rejects with what is wrong with the first, and names the others. */
  async #connectAny(lost?: Path<PeerAddress>): Promise<void> {
    const errors: MatrixError[] = []
    for (const path of this.#options.paths.toTry(lost)) {
      try {
        await this.#connect(path)
        return
      } catch (error) {
        if (this.#failure || !isMatrixError(error) || error.code === 'lun-foreign') throw error
        path.become('failed', error.message)
        errors.push(error)
      }
    }
    // what a target says weighs more than that another cannot be reached
    const first = errors.find(({ code }) => code !== 'lun-io') ?? (errors[0] as MatrixError)
    if (errors.length === 1) throw first
    const all = this.#options.paths.all.map(({ name, reason }) => `${name}: ${reason}`)
    throw new MatrixError(first.code, `no path leads to it: ${all.join('; ')}`, { cause: first })
  }

  async #connect(path: Path<PeerAddress>): Promise<void> {
    const { host, limitMs, lifeMs, login, lun, timings, verify, log, identity } = this.#options
    const clock = this.#clock
    const portal = { address: path.to, limitMs }
    const connection = await dialTarget(host, portal, login, (pdus, parameters) => {
      return new Connection(pdus, parameters, lun, { clock, timings })
    })
    try {
      const deadlineAt = clock.now() + limitMs
      await verify((command) => connection.execute(command, deadlineAt), deadlineAt)
      const left = this.#left
      if (left && left.group !== connection.portalGroup) {
        const leftMs = left.at + lifeMs - clock.now()
        log.warn(
          { lun: identity, path: path.name, groups: [left.group, connection.portalGroup], waitMs: Math.ceil(leftMs) },
          'this path is of another portal group: nothing is sent before all that was under way is over',
        )
        if (leftMs > 0) await sleep(clock, leftMs)
      }
      if (this.#failure) throw this.#failure
      if (connection.ended !== undefined) throw new ConnectionLost(connection.ended)
    } catch (error) {
      connection.end('the device was not accepted')
      if (error instanceof ConnectionLost || error instanceof CommandAborted)
        throw new MatrixError('lun-io', `the connection was lost: ${error.message}`, { cause: error })
      throw error
    }
    connection.onEnd = (reason) => {
      this.#connection = undefined
      this.#lostBecause = `the connection was lost: ${reason}`
      this.#left = { group: connection.portalGroup, at: clock.now() }
      path.become('failed', reason)
      if (!this.#failure) void this.#reconnect(path)
    }
    this.#left = undefined
    this.#connectedAt = clock.now()
    this.#connection = connection
    path.become('active')
    this.#wake()
  }

  async #reconnect(lost: Path<PeerAddress>): Promise<void> {
    const { log, identity } = this.#options
    const lostAt = this.#clock.now()
    log.warn({ lun: identity, path: lost.name, reason: this.#lostBecause }, 'the connection to a LUN was lost')
    if (lostAt - this.#connectedAt > LAST_PAUSE_MS) this.#pauseMs = FIRST_PAUSE_MS
    while (!this.#failure) {
      await sleep(this.#clock, this.#pauseMs)
      this.#pauseMs = Math.min(2 * this.#pauseMs, LAST_PAUSE_MS)
      if (this.#failure) return
      try {
        await this.#connectAny(lost)
        const tookMs = Math.round(this.#clock.now() - lostAt)
        log.info({ lun: identity, path: this.#options.paths.active?.name, tookMs }, 'the LUN is connected again')
        return
      } catch (error) {
        if (isMatrixError(error, 'lun-foreign')) {
          this.#failure ??= error
          log.error({ lun: identity, reason: error.message }, 'another device is there: nothing is written to it')
          this.#wake()
          return
        }
        if (!isMatrixError(error)) throw error
        this.#lostBecause = error.message
      }
    }
  }

  /** Which paths that are not in use lead somewhere; and back to the one that is wanted more, when it does again. */
  async #look(): Promise<void> {
    const { host, paths, limitMs, log, identity } = this.#options
    if (this.#isLooking || !this.#connection) return
    this.#isLooking = true
    try {
      for (const path of paths.all) {
        if (path.state === 'active') continue
        const met = await host.dialer.dial(path.to, limitMs).then(
          (stream) => stream.reset(),
          (error: unknown) => error as MatrixError,
        )
        if (this.#failure) return
        // it may have come into use meanwhile
        if ((path.state as PathState) === 'active') continue
        const isNews = path.become(met ? 'failed' : 'ready', met?.message)
        if (isNews)
          log.info({ lun: identity, path: path.name, state: path.state, reason: path.reason }, 'a path to a LUN')
      }
      const better = paths.better()
      if (better) await this.#moveTo(better)
    } finally {
      this.#isLooking = false
    }
  }

  /** Leaves the connection with nothing under way, and takes the path. */
  async #moveTo(path: Path<PeerAddress>): Promise<void> {
    const { paths, log, identity } = this.#options
    const [old, from] = [this.#connection, paths.active]
    if (!old || !from) return
    const startedAt = this.#clock.now()
    this.#connection = undefined
    this.#lostBecause = `it moves to ${path.name}`
    let lost: string | undefined
    old.onEnd = (reason) => {
      lost = reason
    }
    await old.drained()
    if (lost === undefined) {
      old.onEnd = () => {}
      await old.logout()
    } else this.#left = { group: old.portalGroup, at: this.#clock.now() }
    from.become(lost === undefined ? 'ready' : 'failed', lost)
    try {
      if (this.#failure) return
      await this.#connect(path)
      const tookMs = Math.round(this.#clock.now() - startedAt)
      log.info({ lun: identity, path: path.name, from: from.name, tookMs }, 'back on the path that is wanted more')
    } catch (error) {
      if (!isMatrixError(error)) throw error
      path.become('failed', error.message)
      this.#lostBecause = error.message
      void this.#reconnect(path)
    }
  }
}
