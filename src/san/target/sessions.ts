/**
 * The sessions of a target: connections that log in, and what becomes of them. A session that ends, by whatever end, has ended all its commands before
 * a session of the same nexus begins.
 */
import type { ByteStream } from '../../platform/byte-stream.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import { PduStream } from '../iscsi/pdu-stream.ts'
import type { TargetChap } from './chap-target.ts'
import type { LogicalUnit } from './logical-unit.ts'
import { type LoggedIn, TargetLogin } from './login.ts'
import { nexusId } from './reservation-state.ts'
import type { TaskOrigin } from './scsi-task.ts'
import type { AttentionName } from './sense-data.ts'
import type { Switch } from './switch.ts'
import { type SessionService, TargetConnection } from './target-connection.ts'

export type Session = {
  readonly id: number
  readonly origin: TaskOrigin
  readonly isDiscovery: boolean
  readonly connection: TargetConnection
  /** Resolves once all of it has ended. */
  readonly ended: Promise<void>
}

export type SessionsOptions = {
  readonly targetName: string
  readonly chap: TargetChap | undefined
  readonly units: ReadonlyMap<number, LogicalUnit>
  readonly cuts: Switch
  /** The target port, and portal group, of a portal. */
  readonly portOf: (portal: number) => number
  readonly service: (origin: TaskOrigin) => Omit<SessionService, 'loggingOut'>
  readonly clock: Clock
  readonly random: (count: number) => Buffer
  readonly log: Log
}

/** Commands of one session that may be under way. */
const WINDOW = 64
/** A login has to be over, and a connection of which nothing more is expected closed by the initiator, within this time, ms. */
const LOGIN_MS = 10_000
const LINGER_MS = 2000

export class Sessions {
  readonly #options: SessionsOptions
  readonly #sessions = new Set<Session>()
  /** Connections that have not logged in, too. */
  readonly #streams = new Set<PduStream>()
  #lastSession = 0

  constructor(options: SessionsOptions) {
    this.#options = options
  }

  get all(): readonly Session[] {
    return [...this.#sessions]
  }

  accept(stream: ByteStream, portal: number): void {
    const pdus = new PduStream(stream, this.#options.clock, 'initiator')
    this.#streams.add(pdus)
    const { targetName, chap, clock, random, cuts } = this.#options
    const limit = clock.after(LOGIN_MS, () => pdus.end('no login'))
    pdus.onEnd = () => {
      limit.cancel()
      this.#streams.delete(pdus)
    }
    const login = new TargetLogin(pdus, {
      targetName,
      portalGroup: this.#options.portOf(portal),
      ...(chap && { chap }),
      random,
      window: WINDOW,
      disabled: (initiator) => cuts.stateOf(initiator, portal),
    })
    let isOver = false
    pdus.onPdu = (pdu) => {
      const result = isOver ? undefined : login.receive(pdu)
      if (result === undefined) return
      isOver = true
      if (result === 'refuse') pdus.end('no login, or the port is disabled')
      else if (result === 'failed') clock.after(LINGER_MS, () => pdus.end('the login was refused'))
      else if (result !== 'silent') {
        limit.cancel()
        void this.#begin(pdus, portal, result, (id) => login.finish(pdu, id, login.answers))
      }
    }
  }

  async #begin(pdus: PduStream, portal: number, loggedIn: LoggedIn, finish: (id: number) => void): Promise<void> {
    const { initiatorName, isid, parameters, targetName } = loggedIn
    const { units, clock, cuts, log, service } = this.#options
    const isDiscovery = targetName === undefined
    const initiatorPort = `${initiatorName},i,0x${isid.toString('hex')}`
    const port = this.#options.portOf(portal)
    const nexus = nexusId({ initiatorPort, targetPort: port })
    let attention: AttentionName = 'power-on'
    for (;;) {
      const old = [...this.#sessions].filter((each) => !isDiscovery && !each.isDiscovery && each.origin.nexus === nexus)
      if (old.length === 0) break
      attention = 'nexus-loss'
      for (const session of old) session.connection.end('the initiator has begun the session anew')
      await Promise.all(old.map((session) => session.ended))
    }
    if (pdus.ended !== undefined) return
    const id = (this.#lastSession = (this.#lastSession % 0xffff) + 1)
    const origin: TaskOrigin = { nexus, initiator: initiatorName, portal, port }
    const connection = new TargetConnection(pdus, {
      ...{ origin, isDiscovery, parameters, window: WINDOW, cmdSn: loggedIn.cmdSn, statSn: loggedIn.statSn },
      service: {
        ...service(origin),
        loggingOut: async () => {
          await this.#endCommands(origin)
          clock.after(LINGER_MS, () => pdus.end('logged out'))
        },
      },
    })
    const ended = new Promise<void>((resolve) => {
      pdus.onEnd = (reason) => {
        this.#streams.delete(pdus)
        void this.#ended(session, reason).then(resolve)
      }
    })
    const session: Session = { id, origin, isDiscovery, connection, ended }
    this.#sessions.add(session)
    if (!isDiscovery) for (const unit of units.values()) unit.attach(nexus, attention)
    finish(id)
    const { headerDigest: header, dataDigest: data } = parameters
    pdus.useDigests({ header, data })
    if (cuts.stateOf(initiatorName, portal) === 'silent') connection.freeze()
    log.info({ session: id, initiator: initiatorPort, portal, isDiscovery }, 'a session begins')
  }

  async #ended(session: Session, reason: string): Promise<void> {
    const { origin, id } = session
    await this.#endCommands(origin)
    if (!session.isDiscovery) for (const unit of this.#options.units.values()) unit.detach(origin.nexus)
    this.#sessions.delete(session)
    this.#options.log.info({ session: id, reason }, 'a session has ended')
  }

  /** Nothing of them is under way afterwards. */
  async #endCommands(origin: TaskOrigin): Promise<void> {
    const units = [...this.#options.units.values()]
    await Promise.all(units.map((unit) => unit.abort((task) => task.origin === origin, undefined)))
  }

  /** Resolves once nothing of them is under way. */
  end(isMeant: (session: Session) => boolean, reason: string): Promise<unknown> {
    const meant = [...this.#sessions].filter(isMeant)
    for (const { connection } of meant) connection.end(reason)
    return Promise.all(meant.map(({ ended }) => ended))
  }

  /** Those that have not logged in, too. */
  async endAll(reason: string): Promise<void> {
    const ended = [...this.#sessions].map((session) => session.ended)
    for (const pdus of [...this.#streams]) pdus.end(reason)
    await Promise.all(ended)
  }
}
