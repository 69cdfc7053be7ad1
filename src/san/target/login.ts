/**
 * The login from the side of the target (RFC 7143, 6.3): who is it, does it know the secret, what do both go by. A state machine over one request
 * after another; each gives a response, until one of them opens the full feature phase or refuses the login.
 */
import { isMatrixError } from '../../base/errors.ts'
import { newBhs, next, opcodeOf, type Pdu, requestOpcode, responseOpcode, tagOf } from '../iscsi/pdu.ts'
import type { PduStream } from '../iscsi/pdu-stream.ts'
import { encodeText, MAX_TEXT_BYTES, type Pair, parseText } from '../iscsi/text.ts'
import { ChapTarget, type TargetChap } from './chap-target.ts'
import { Negotiation, type Parameters } from './negotiation.ts'
import type { CutMode } from './switch.ts'

export type Identity = {
  readonly initiatorName: string
  /** Six bytes. */
  readonly isid: Buffer
  /** Undefined: a discovery session. */
  readonly targetName: string | undefined
}

export type LoggedIn = Identity & {
  readonly parameters: Parameters
  readonly cmdSn: number
  /** Of the next response. */
  readonly statSn: number
}

export type LoginPolicy = {
  /** Of this target. */
  readonly targetName: string
  readonly portalGroup: number
  readonly chap?: TargetChap
  readonly random: (count: number) => Buffer
  /** How the port of this initiator is disabled; undefined while it is not. */
  readonly disabled: (initiatorName: string) => CutMode | undefined
  /** Commands that may be under way. */
  readonly window: number
}

/** RFC 7143, 11.13.5. */
const status = {
  initiatorError: 0x0200,
  notAuthenticated: 0x0201,
  noSuchTarget: 0x0203,
  wrongVersion: 0x0205,
  noSuchSession: 0x020a,
  missingParameter: 0x0207,
} as const

const TRANSIT = 0x80
const CONTINUE = 0x40
const SECURITY = 0
const OPERATIONAL = 1
const FULL_FEATURE = 3
const MAX_STEPS = 32

/** Refuses the login. */
class Failed extends Error {
  readonly status: number
  constructor(code: number) {
    super(`login status ${code.toString(16).padStart(4, '0')}`)
    this.status = code
  }
}

export class TargetLogin {
  readonly #pdus: PduStream
  readonly #policy: LoginPolicy
  readonly #negotiation = new Negotiation()
  #identity: Identity | undefined
  #chap: ChapTarget | undefined
  #chapStep: 'offer' | 'proof' = 'offer'
  #isAuthentic = false
  #hasBegun = false
  #stage: number | undefined
  #text: Buffer[] = []
  #statSn = 0
  #steps = 0

  constructor(pdus: PduStream, policy: LoginPolicy) {
    this.#pdus = pdus
    this.#policy = policy
    this.#isAuthentic = policy.chap === undefined
  }

  /**
   * The response is sent; the last one by `finish`. 'failed': the login was refused, and the connection is of no more use. Without a response:
   * 'refuse' (it is no login, or the port is disabled), 'silent' (the cable is pulled).
   */
  receive(pdu: Pdu): LoggedIn | 'failed' | CutMode | undefined {
    try {
      return this.#receive(pdu)
    } catch (error) {
      const code =
        error instanceof Failed ? error.status : isMatrixError(error, 'protocol') ? status.initiatorError : undefined
      if (code === undefined) throw error
      this.#respond(pdu, 0, [], code)
      return 'failed'
    }
  }

  /** Opens the full feature phase. */
  finish(pdu: Pdu, tsih: number, pairs: readonly Pair[]): void {
    this.#respond(pdu, TRANSIT | (this.#stage! << 2) | FULL_FEATURE, pairs, 0, tsih)
  }

  /** Answers that go with `finish`. */
  answers: Pair[] = []

  #receive(pdu: Pdu): LoggedIn | CutMode | undefined {
    const { bhs, data } = pdu
    if (opcodeOf(pdu) !== requestOpcode.login) return 'refuse'
    if (++this.#steps > MAX_STEPS) throw new Failed(status.initiatorError)
    const flags = bhs[1]!
    const [current, wanted] = [(flags >> 2) & 3, flags & 3]
    if (bhs[3]! > 0) throw new Failed(status.wrongVersion)
    if (!this.#hasBegun) this.#stage = current
    if (current !== this.#stage || current > OPERATIONAL) throw new Failed(status.initiatorError)
    // to be added to a session: each has one connection
    if (bhs.readUInt16BE(14) !== 0) throw new Failed(status.noSuchSession)
    this.#text.push(data)
    if (this.#text.reduce((sum, { length }) => sum + length, 0) > MAX_TEXT_BYTES)
      throw new Failed(status.initiatorError)
    if (flags & CONTINUE) {
      this.#respond(pdu, current << 2, [])
      return undefined
    }
    const pairs = parseText(Buffer.concat(this.#text), 'initiator')
    this.#text = []
    const isOver = (flags & TRANSIT) !== 0
    if (isOver && (wanted <= current || wanted === 2)) throw new Failed(status.initiatorError)
    const first = this.#hasBegun ? [] : this.#begin(bhs, pairs)
    if (typeof first === 'string') return first
    return current === SECURITY
      ? this.#secure(pdu, pairs, isOver ? wanted : undefined, first)
      : this.#operate(pdu, pairs, isOver, first)
  }

  #begin(bhs: Buffer, pairs: readonly Pair[]): Pair[] | CutMode {
    const { targetName, portalGroup, disabled } = this.#policy
    this.#hasBegun = true
    const all = new Map(pairs)
    const initiatorName = all.get('InitiatorName')?.toLowerCase()
    const isDiscovery = all.get('SessionType') === 'Discovery'
    const wanted = all.get('TargetName')?.toLowerCase()
    if (!initiatorName || initiatorName.length > 223 || (!isDiscovery && !wanted))
      throw new Failed(status.missingParameter)
    const mode = disabled(initiatorName)
    if (mode) return mode
    if (!isDiscovery && wanted !== targetName.toLowerCase()) throw new Failed(status.noSuchTarget)
    const isid = Buffer.from(bhs.subarray(8, 14))
    this.#identity = { initiatorName, isid, targetName: isDiscovery ? undefined : targetName }
    return isDiscovery ? [] : [['TargetPortalGroupTag', String(portalGroup)]]
  }

  #secure(pdu: Pdu, pairs: readonly Pair[], wanted: number | undefined, first: readonly Pair[]): LoggedIn | undefined {
    const all = new Map(pairs)
    const { chap } = this.#policy
    const answers: Pair[] = [...first]
    const methods = all.get('AuthMethod')?.split(',')
    if (methods && !this.#chap) {
      const method = chap ? 'CHAP' : 'None'
      if (!methods.includes(method)) throw new Failed(status.notAuthenticated)
      answers.push(['AuthMethod', method])
      if (chap) {
        this.#chap = new ChapTarget(chap, this.#policy.random)
        this.#respond(pdu, SECURITY << 2, answers)
        return undefined
      }
    } else if (this.#chap) {
      const proof = this.#chapStep === 'offer' ? this.#chap.challenge(all) : this.#chap.verify(all)
      if (!proof) throw new Failed(status.notAuthenticated)
      answers.push(...proof)
      if (this.#chapStep === 'proof') {
        this.#isAuthentic = true
        this.#chap = undefined
      }
      this.#chapStep = 'proof'
    }
    if (wanted === undefined || !this.#isAuthentic) {
      if (wanted === FULL_FEATURE || (wanted !== undefined && !this.#chap)) throw new Failed(status.notAuthenticated)
      this.#respond(pdu, SECURITY << 2, answers)
      return undefined
    }
    if (wanted === FULL_FEATURE) return this.#done(pdu, answers)
    this.#respond(pdu, TRANSIT | (SECURITY << 2) | OPERATIONAL, answers)
    this.#stage = OPERATIONAL
    return undefined
  }

  #operate(pdu: Pdu, pairs: readonly Pair[], isOver: boolean, first: readonly Pair[]): LoggedIn | undefined {
    if (!this.#isAuthentic) throw new Failed(status.notAuthenticated)
    const answers = [...first, ...this.#negotiation.answer(pairs.filter(([key]) => key !== 'AuthMethod'))]
    if (isOver) return this.#done(pdu, answers)
    this.#respond(pdu, OPERATIONAL << 2, answers)
    return undefined
  }

  #done({ bhs }: Pdu, answers: Pair[]): LoggedIn {
    this.answers = answers
    return {
      ...(this.#identity as Identity),
      parameters: this.#negotiation.parameters,
      cmdSn: bhs.readUInt32BE(24),
      statSn: next(this.#statSn),
    }
  }

  #respond({ bhs: request }: Pdu, flags: number, pairs: readonly Pair[], code = 0, tsih = 0): void {
    const bhs = newBhs(responseOpcode.login, flags, tagOf({ bhs: request, data: request }))
    request.copy(bhs, 8, 8, 14)
    bhs.writeUInt16BE(tsih, 14)
    bhs.writeUInt32BE(this.#statSn, 24)
    const cmdSn = request.readUInt32BE(24)
    bhs.writeUInt32BE(cmdSn, 28)
    bhs.writeUInt32BE((cmdSn + this.#policy.window - 1) >>> 0, 32)
    bhs.writeUInt16BE(code, 36)
    this.#statSn = next(this.#statSn)
    this.#pdus.send(bhs, pairs.length > 0 ? [encodeText(pairs)] : [])
  }
}
