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
 */
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import { type Clock, sleep } from '../../platform/clock.ts'
import type { Host } from '../../platform/host.ts'
import type { Log } from '../../platform/log.ts'
import type { ScsiAnswer, ScsiCommand } from '../scsi/command.ts'
import { CommandAborted, Connection, ConnectionLost, type ConnectionTimings } from './connection.ts'
import { dialTarget, type Portal } from './dial.ts'
import type { LoginOptions } from './login.ts'

export type Execute = (command: ScsiCommand) => Promise<ScsiAnswer>

export type SessionOptions = {
  readonly host: Pick<Host, 'dialer' | 'clock'>
  readonly portal: Portal
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

  /** Rejects as `dialTarget` and `verify` do. */
  static async open(options: SessionOptions): Promise<IscsiSession> {
    const session = new IscsiSession(options)
    await session.#connect()
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

  async #connect(): Promise<void> {
    const { host, portal, login, lun, timings, verify } = this.#options
    const clock = this.#clock
    const connection = await dialTarget(host, portal, login, (pdus, parameters) => {
      return new Connection(pdus, parameters, lun, { clock, timings })
    })
    try {
      const deadlineAt = clock.now() + portal.limitMs
      await verify((command) => connection.execute(command, deadlineAt), deadlineAt)
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
      if (!this.#failure) void this.#reconnect()
    }
    this.#connectedAt = clock.now()
    this.#connection = connection
    this.#wake()
  }

  async #reconnect(): Promise<void> {
    const { log, identity } = this.#options
    const lostAt = this.#clock.now()
    log.warn({ lun: identity, reason: this.#lostBecause }, 'the connection to a LUN was lost')
    if (lostAt - this.#connectedAt > LAST_PAUSE_MS) this.#pauseMs = FIRST_PAUSE_MS
    while (!this.#failure) {
      await sleep(this.#clock, this.#pauseMs)
      this.#pauseMs = Math.min(2 * this.#pauseMs, LAST_PAUSE_MS)
      if (this.#failure) return
      try {
        await this.#connect()
        log.info({ lun: identity, tookMs: Math.round(this.#clock.now() - lostAt) }, 'the LUN is connected again')
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
}
