/**
 * One connection to every other node, kept alive. Both ends dial; each pair ends up with one connection, its *link*.
 *
 * Setting up, at both ends of a new connection
 *  1. Both send `hello`: matrix, protocol, timings, who they are. A hello that does not fit is answered by `refuse` with the
 *     reason, logged at both ends, and closed; so is one that does not come within helloMs.
 *  2. The node of the lower slot decides: it takes the connection as the link and sends `use`, numbered; or closes it, when
 *     the link it has to the same life is fresh (both ends had dialled at once).
 *  3. The other follows: the highest-numbered `use` of a life is the link.
 * A link to a newer life of the slot, or a newer link to the same life, replaces the old one, which is closed. The older of
 * two lives is refused: a slot has one process.
 *
 * Losing: when a link closes, both ends dial at once. Refused by the peer's system means that its process is gone, which is
 * passed on (`unreachable`); anything else is tried again, ever less often, for ever.
 *
 * Invariants
 *  1. At most one link per slot; `up` and `down` of a slot alternate, and frames arrive only between them, in order.
 *  2. The incarnation of a slot's links never goes back.
 */
import * as v from 'valibot'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Incarnation, Slot } from '../base/ids.ts'
import type { Prng } from '../base/prng.ts'
import type { Timings } from '../base/timings.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Connection, Listener, PeerAddress, Transport } from '../platform/transport.ts'
import { encodeControl, frameKinds } from './frames.ts'
import { decodeBody, encodeBody, memberSchema } from './membership-messages.ts'
import type { Member } from './view.ts'

/** Raised when the meaning of anything on the mesh changes; nodes of different versions do not talk. */
export const MESH_PROTOCOL = 1
/** First pause between attempts to dial, ms; doubles up to the length of a suspicion. */
const FIRST_PAUSE_MS = 50

/** A node of the configuration, whether it runs or not. */
export type ConfiguredPeer = { readonly slot: Slot; readonly name: string; readonly address: PeerAddress }

export type LinkEvents = {
  up(member: Member): void
  down(member: Member, reason: string): void
  unreachable(slot: Slot): void
  /** The frame is only valid during the call. */
  frame(from: Member, frame: Buffer): void
}

export type LinksOptions = {
  readonly self: Member
  readonly peers: readonly ConfiguredPeer[]
  readonly matrixName: string
  /** When both ends know it, it must be the same. */
  readonly matrixUuid?: string
  readonly clock: Clock
  readonly transport: Transport
  readonly timings: Timings
  readonly prng: Prng
  readonly log: Log
  readonly events: LinkEvents
}

type Hello = v.InferOutput<typeof helloSchema>
const helloSchema = v.object({
  protocol: v.number(),
  matrixName: v.pipe(v.string(), v.maxLength(255)),
  matrixUuid: v.nullable(v.pipe(v.string(), v.maxLength(64))),
  ioTimeoutMs: v.number(),
  member: memberSchema,
})
const useSchema = v.object({ number: v.pipe(v.number(), v.safeInteger(), v.minValue(1)) })
const refuseSchema = v.object({ reason: v.pipe(v.string(), v.maxLength(1000)) })

type Link = {
  readonly connection: Connection
  readonly member: Member
  readonly useNumber: number
  readonly since: number
}

/** What is kept per configured node. */
type PeerState = {
  readonly config: ConfiguredPeer
  link: Link | undefined
  dialing: boolean
  retry: Timer | undefined
  pauseMs: number
  /** Highest incarnation ever linked. */
  incarnation: Incarnation
  /** Last reason for not being linked, logged when it changes. */
  trouble: string
}

export class Links {
  readonly #options: LinksOptions
  readonly #states = new Map<Slot, PeerState>()
  readonly #pending = new Set<Connection>()
  #listener: Listener | undefined
  #useNumber = 0
  #stopped = false

  constructor(options: LinksOptions) {
    this.#options = options
    for (const config of options.peers) {
      this.#states.set(config.slot, {
        config,
        link: undefined,
        dialing: false,
        retry: undefined,
        pauseMs: FIRST_PAUSE_MS,
        incarnation: 0,
        trouble: '',
      })
    }
  }

  /** Listens and begins to dial. Rejects with MatrixError 'in-use' or 'config'. */
  async start(): Promise<void> {
    const { self, transport, timings, clock } = this.#options
    this.#listener = await transport.listen(self.address, (connection) => this.#greet(connection, undefined))
    for (const state of this.#states.values()) {
      // the lower slot dials at once; the other only when that does not help, so that most pairs need one connection
      if (self.slot < state.config.slot) this.#dial(state)
      else state.retry = clock.after(timings.heartbeatMs / 2, () => this.#dial(state))
    }
  }

  /** Closes everything, without another event. */
  async stop(): Promise<void> {
    this.#stopped = true
    for (const connection of this.#pending) connection.close()
    this.#pending.clear()
    for (const state of this.#states.values()) {
      state.retry?.cancel()
      state.link?.connection.close()
      state.link = undefined
    }
    await this.#listener?.close()
  }

  /** The life that the slot is linked to. */
  linked(slot: Slot): Member | undefined {
    return this.#states.get(slot)?.link?.member
  }

  /** False when there is no link: the frame is lost. */
  send(slot: Slot, frame: Uint8Array): boolean {
    const link = this.#states.get(slot)?.link
    link?.connection.send(frame)
    return link !== undefined
  }

  /** Closes the link, if there is one; `down` follows, and dialling begins again. */
  drop(slot: Slot, reason: string): void {
    const state = this.#states.get(slot)
    if (state?.link) this.#unlink(state, reason)
  }

  // ---- dialling ----------------------------------------------------------------------------------------------------

  #dial(state: PeerState): void {
    if (this.#stopped || state.link || state.dialing) return
    state.dialing = true
    state.retry?.cancel()
    this.#options.transport.connect(state.config.address).then(
      (connection) => {
        // the peer's own dialling may have been faster: a hello now would replace a link that works
        if (!this.#stopped && !state.link) return this.#greet(connection, state)
        state.dialing = false
        connection.close()
      },
      (error: unknown) => {
        state.dialing = false
        if (this.#stopped) return
        if (!(error instanceof MatrixError)) throw error
        this.#trouble(state, error.message)
        if (isMatrixError(error, 'peer-gone') && !state.link) this.#options.events.unreachable(state.config.slot)
        this.#redial(state)
      },
    )
  }

  #redial(state: PeerState): void {
    if (this.#stopped || state.link || state.dialing) return
    const { clock, prng, timings } = this.#options
    const pauseMs = state.pauseMs * (0.5 + prng.float() / 2)
    state.pauseMs = Math.min(2 * state.pauseMs, timings.suspectMs)
    state.retry?.cancel()
    state.retry = clock.after(pauseMs, () => this.#dial(state))
  }

  #trouble(state: PeerState, reason: string): void {
    if (state.trouble === reason) return
    state.trouble = reason
    this.#options.log.info({ peer: state.config.name, reason }, 'no connection to peer')
  }

  // ---- hello -------------------------------------------------------------------------------------------------------

  /** Takes a new connection through hello and use; `dialled` names the peer when this end opened it. */
  #greet(connection: Connection, dialled: PeerState | undefined): void {
    const { clock, timings, log } = this.#options
    let state = dialled
    let member: Member | undefined
    const finish = () => {
      deadline.cancel()
      this.#pending.delete(connection)
      if (dialled) dialled.dialing = false
    }
    const abandon = (reason: string) => {
      finish()
      connection.close()
      if (state && !state.link) {
        this.#trouble(state, reason)
        this.#redial(state)
      }
    }
    const refuse = (reason: string) => {
      if (!state || state.trouble !== reason) log.warn({ peer: state?.config.name, reason }, 'peer refused')
      if (state) state.trouble = reason
      connection.onFrame = () => {}
      connection.onClose = () => {}
      connection.send(encodeControl(frameKinds.refuse, encodeBody({ reason })))
      // the refusal has to leave before the connection ends; the peer closes it, or the deadline does
      finish()
      clock.after(timings.heartbeatMs, () => connection.close())
      if (dialled) this.#redial(dialled)
    }
    const deadline = clock.after(timings.viewStepMs, () => abandon('no hello within its time'))

    this.#pending.add(connection)
    connection.onClose = (reason) => abandon(reason)
    connection.onFrame = (frame) => {
      if (this.#stopped) return
      try {
        const body = decodeBody(frame.subarray(1))
        switch (frame[0]) {
          case frameKinds.hello: {
            const hello = parse(helloSchema, body)
            const objection = this.#objection(hello, dialled)
            state ??= this.#states.get(hello.member.slot)
            if (objection || !state) return refuse(objection ?? 'not configured')
            member = hello.member
            if (this.#options.self.slot > member.slot) return // the other end decides
            const old = state.link
            if (old && old.member.incarnation === member.incarnation && clock.now() - old.since < timings.heartbeatMs) {
              return abandon('linked already')
            }
            finish()
            const number = ++this.#useNumber
            connection.send(encodeControl(frameKinds.use, encodeBody({ number })))
            return this.#link(state, { connection, member, useNumber: number, since: clock.now() })
          }
          case frameKinds.use: {
            const { number } = parse(useSchema, body)
            if (!state || !member || this.#options.self.slot < member.slot)
              throw new MatrixError('protocol', 'use without hello')
            const old = state.link
            const isOld =
              old &&
              (old.member.incarnation > member.incarnation ||
                (old.member.incarnation === member.incarnation && old.useNumber > number))
            if (isOld) return abandon('an older connection')
            finish()
            return this.#link(state, { connection, member, useNumber: number, since: clock.now() })
          }
          case frameKinds.refuse: {
            const { reason } = parse(refuseSchema, body)
            const trouble = `refused by the peer: ${reason}`
            if (!state || state.trouble !== trouble) log.warn({ peer: state?.config.name, reason }, 'refused by peer')
            return abandon(trouble)
          }
          default:
            throw new MatrixError('protocol', `frame of kind ${frame[0]} before the hello`)
        }
      } catch (error) {
        if (!(error instanceof MatrixError)) throw error
        log.warn({ peer: state?.config.name, reason: error.message }, 'connection dropped: malformed hello')
        abandon(error.message)
      }
    }
    const { self, matrixName, matrixUuid } = this.#options
    const hello: Hello = {
      protocol: MESH_PROTOCOL,
      matrixName,
      matrixUuid: matrixUuid ?? null,
      ioTimeoutMs: timings.ioTimeoutMs,
      member: self,
    }
    connection.send(encodeControl(frameKinds.hello, encodeBody(hello)))
  }

  /** Why this hello cannot be accepted; undefined when it can. */
  #objection(
    { protocol, matrixName, matrixUuid, ioTimeoutMs, member }: Hello,
    dialled: PeerState | undefined,
  ): string | undefined {
    const { self, timings, matrixName: ourName, matrixUuid: ourUuid } = this.#options
    const state = this.#states.get(member.slot)
    if (protocol !== MESH_PROTOCOL)
      return `mesh protocol ${protocol} of ${member.name}, ${MESH_PROTOCOL} here: all nodes must run one version`
    if (matrixName !== ourName) return `${member.name} is of matrix ${matrixName}, not ${ourName}`
    if (matrixUuid !== null && ourUuid !== undefined && matrixUuid !== ourUuid)
      return `${member.name} is of another matrix also named ${ourName}`
    if (member.slot === self.slot || member.name === self.name) {
      return `two nodes are named ${member.name} or have slot ${member.slot}: check the configuration of both`
    }
    if (!state) return `slot ${member.slot} (${member.name}) is not configured at ${self.name}`
    if (state.config.name !== member.name)
      return `slot ${member.slot} is ${state.config.name} at ${self.name}, but the peer calls itself ${member.name}`
    if (dialled && dialled !== state) return `${member.name} answers at the address of ${dialled.config.name}`
    if (ioTimeoutMs !== timings.ioTimeoutMs)
      return `I/O time-out ${ioTimeoutMs} ms at ${member.name}, ${timings.ioTimeoutMs} ms at ${self.name}: they must agree`
    if (member.incarnation < state.incarnation)
      return `a newer process of ${member.name} runs (incarnation ${state.incarnation}, not ${member.incarnation})`
    return undefined
  }

  // ---- links -------------------------------------------------------------------------------------------------------

  #link(state: PeerState, link: Link): void {
    const { events, log } = this.#options
    const { connection, member } = link
    const old = state.link
    state.link = link
    if (old) {
      old.connection.close()
      log.info(
        { peer: old.member.name, incarnation: old.member.incarnation },
        'connection to peer replaced by a newer one',
      )
      events.down(old.member, 'replaced by a newer connection')
    }
    state.incarnation = member.incarnation
    state.pauseMs = FIRST_PAUSE_MS
    state.trouble = ''
    state.retry?.cancel()
    connection.onFrame = (frame) => {
      if (state.link === link) events.frame(member, frame)
    }
    connection.onClose = (reason) => {
      if (state.link === link) this.#unlink(state, reason)
    }
    log.info({ peer: member.name, slot: member.slot, incarnation: member.incarnation }, 'connected to peer')
    events.up(member)
  }

  #unlink(state: PeerState, reason: string): void {
    const { member, connection } = state.link as Link
    state.link = undefined
    connection.close()
    this.#options.log.info({ peer: member.name, incarnation: member.incarnation, reason }, 'connection to peer lost')
    this.#options.events.down(member, reason)
    if (!this.#stopped) this.#dial(state)
  }
}

function parse<Schema extends v.GenericSchema>(schema: Schema, body: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, body)
  if (!result.success) throw new MatrixError('protocol', `malformed hello: ${v.summarize(result.issues)}`)
  return result.output
}
