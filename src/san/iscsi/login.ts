/**
 * The login of a session with one connection (RFC 7143, 6.3 and 13): security stage (none, or CHAP), then operational negotiation, then full feature
 * phase. A state machine without a wait in it, because what follows the last response may lie in the same chunk: `onDone` is called in
 * between, and takes the stream over.
 */
import { MatrixError } from '../../base/errors.ts'
import { Chap, type ChapSecrets } from './chap.ts'
import { IMMEDIATE, isAfter, newBhs, next, opcodeOf, type Pdu, requestOpcode, responseOpcode, tagOf } from './pdu.ts'
import { MAX_RECV_BYTES, type PduStream } from './pdu-stream.ts'
import { encodeText, MAX_TEXT_BYTES, type Pair, parseText, printable } from './text.ts'

export type LoginOptions = {
  readonly initiatorName: string
  /** Left out: a discovery session. */
  readonly targetName?: string
  /** Six bytes. With the name of the initiator they name the session: a new one with the same ends the old one at the target. */
  readonly isid: Buffer
  /** CRC-32C behind headers and data; otherwise none. */
  readonly digests: boolean
  readonly chap?: ChapSecrets
  readonly random: (count: number) => Buffer
}

/** What was negotiated. */
export type SessionParameters = {
  /** Sessions with the same name and ISID replace each other within one portal group (RFC 7143, 4.4.2); undefined when the target does not tell. */
  readonly portalGroup: string | undefined
  /** Longest data segment that the target takes, bytes. */
  readonly maxSendBytes: number
  readonly maxBurstBytes: number
  readonly firstBurstBytes: number
  readonly immediateData: boolean
  readonly initialR2t: boolean
  /** Of the next command. */
  readonly cmdSn: number
  readonly maxCmdSn: number
  /** Of the next response. */
  readonly statSn: number
}

const TRANSIT = 0x80
const CONTINUE = 0x40
const SECURITY = 0
const OPERATIONAL = 1
const FULL_FEATURE = 3
/** A login that takes more requests goes in circles. */
const MAX_STEPS = 16
const FIRST_CMD_SN = 1

const MAX_BURST_BYTES = 1024 * 1024
const FIRST_BURST_BYTES = 256 * 1024

export function startLogin(
  pdus: PduStream,
  options: LoginOptions,
  onDone: (parameters: SessionParameters) => void,
  onFail: (error: unknown) => void,
): void {
  const login = new Login(pdus, options)
  pdus.onPdu = (pdu) => {
    try {
      const parameters = login.receive(pdu)
      if (parameters) onDone(parameters)
    } catch (error) {
      onFail(error)
      pdus.end('the login failed')
    }
  }
  pdus.onEnd = (reason) => onFail(new MatrixError('lun-io', `the connection was lost during the login: ${reason}`))
  login.begin()
}

class Login {
  readonly #pdus: PduStream
  readonly #options: LoginOptions
  readonly #chap: Chap | undefined
  readonly #tag = 0
  /** The stage whose next response is awaited. */
  #stage: typeof SECURITY | typeof OPERATIONAL = SECURITY
  /** Where in CHAP. */
  #chapStep: 'method' | 'challenge' | 'verdict' = 'method'
  #statSn: number | undefined
  #steps = 0
  #text: Buffer[] = []
  readonly #negotiated = new Map<string, string>()
  #portalGroup: string | undefined

  constructor(pdus: PduStream, options: LoginOptions) {
    this.#pdus = pdus
    this.#options = options
    if (options.chap) this.#chap = new Chap(options.chap, options.random)
  }

  begin(): void {
    const { initiatorName, targetName } = this.#options
    const who: Pair[] = [
      ['InitiatorName', initiatorName],
      ['SessionType', targetName === undefined ? 'Discovery' : 'Normal'],
    ]
    if (targetName !== undefined) who.push(['TargetName', targetName])
    if (this.#chap) this.#send([...who, ['AuthMethod', 'CHAP']], 0)
    else this.#send([...who, ['AuthMethod', 'None']], TRANSIT | OPERATIONAL)
  }

  /** What was negotiated, once all is. */
  receive(pdu: Pdu): SessionParameters | undefined {
    const { bhs, data } = pdu
    if (opcodeOf(pdu) !== responseOpcode.login || tagOf(pdu) !== this.#tag)
      throw new MatrixError('protocol', 'it does not answer a login as an iSCSI target does')
    const statusClass = bhs[36]!
    if (statusClass !== 0) throw loginError((statusClass << 8) | bhs[37]!, this.#options)
    const statSn = bhs.readUInt32BE(24)
    if (this.#statSn !== undefined && statSn !== this.#statSn)
      throw new MatrixError('protocol', 'the target lost count of its responses during the login')
    this.#statSn = next(statSn)
    this.#text.push(Buffer.from(data))
    if (this.#text.reduce((sum, { length }) => sum + length, 0) > MAX_TEXT_BYTES)
      throw new MatrixError('protocol', 'the text of the target has no end')
    const flags = bhs[1]!
    if (((flags >> 2) & 3) !== this.#stage)
      throw new MatrixError('protocol', 'the target is in another stage of the login than this initiator')
    if (flags & CONTINUE) {
      this.#send([], 0)
      return undefined
    }
    const pairs = parseText(Buffer.concat(this.#text))
    this.#text = []
    this.#portalGroup ??= pairs.find(([key]) => key === 'TargetPortalGroupTag')?.[1]
    const isOver = (flags & TRANSIT) !== 0
    if (this.#stage === SECURITY) this.#secure(new Map(pairs), isOver && (flags & 3) === OPERATIONAL)
    else if (this.#negotiate(pairs, isOver)) return this.#finish(pdu)
    return undefined
  }

  #secure(pairs: ReadonlyMap<string, string>, isOver: boolean): void {
    const chap = this.#chap
    if (chap && this.#chapStep === 'method') {
      const method = pairs.get('AuthMethod')
      if (method === 'None' || isOver)
        throw new MatrixError('config', 'the target asks nobody for a secret; take user and secret_file out of the URL')
      if (method !== 'CHAP') throw new MatrixError('config', 'the target does not know CHAP')
      this.#chapStep = 'challenge'
      this.#send(chap.offer(), 0)
    } else if (chap && this.#chapStep === 'challenge') {
      this.#chapStep = 'verdict'
      this.#send(chap.answer(pairs), TRANSIT | OPERATIONAL)
    } else {
      if (!isOver) throw new MatrixError('protocol', 'the target does not end the security stage')
      chap?.check(pairs)
      this.#stage = OPERATIONAL
      this.#send(this.#offers(), TRANSIT | FULL_FEATURE)
    }
  }

  #offers(): Pair[] {
    const digest = this.#options.digests ? 'CRC32C' : 'None'
    const common: Pair[] = [
      ['HeaderDigest', digest],
      ['DataDigest', digest],
      ['MaxRecvDataSegmentLength', String(MAX_RECV_BYTES)],
      ['DefaultTime2Wait', '0'],
      ['DefaultTime2Retain', '0'],
      ['ErrorRecoveryLevel', '0'],
    ]
    if (this.#options.targetName === undefined) return common
    return [
      ...common,
      ['InitialR2T', 'No'],
      ['ImmediateData', 'Yes'],
      ['MaxBurstLength', String(MAX_BURST_BYTES)],
      ['FirstBurstLength', String(FIRST_BURST_BYTES)],
      ['MaxConnections', '1'],
      ['MaxOutstandingR2T', '8'],
      ['DataPDUInOrder', 'Yes'],
      ['DataSequenceInOrder', 'Yes'],
    ]
  }

  /** Whether all is negotiated. */
  #negotiate(pairs: readonly Pair[], isOver: boolean): boolean {
    const answers: Pair[] = []
    const known = new Set([
      ...this.#offers().map(([key]) => key),
      'TargetPortalGroupTag',
      'TargetAlias',
      'TargetAddress',
    ])
    for (const [key, value] of pairs) {
      if (!known.has(key)) answers.push([key, 'NotUnderstood'])
      else if (this.#negotiated.has(key)) throw new MatrixError('protocol', `the target answered ${key} twice`)
      else this.#negotiated.set(key, value)
    }
    if (isOver) return true
    this.#send(answers, TRANSIT | FULL_FEATURE)
    return false
  }

  #finish({ bhs }: Pdu): SessionParameters {
    if ((bhs[1]! & 3) !== FULL_FEATURE)
      throw new MatrixError('protocol', 'the target ends the login somewhere else than in the full feature phase')
    const digest = this.#options.digests ? 'CRC32C' : 'None'
    const digests = { header: this.#digest('HeaderDigest', digest), data: this.#digest('DataDigest', digest) }
    for (const key of ['DataPDUInOrder', 'DataSequenceInOrder']) {
      if (!this.#flag(key, true)) throw new MatrixError('protocol', `the target says ${key}=No; Yes was asked for`)
    }
    if (this.#number('ErrorRecoveryLevel', 0, { min: 0, max: 0 }) !== 0) throw new Error('unreachable')
    const maxBurstBytes = this.#number('MaxBurstLength', 262_144, { min: 512, max: MAX_BURST_BYTES })
    const parameters: SessionParameters = {
      portalGroup: this.#portalGroup,
      maxSendBytes: this.#number('MaxRecvDataSegmentLength', 8192, { min: 512, max: 2 ** 24 - 1 }),
      maxBurstBytes,
      firstBurstBytes: Math.min(
        this.#number('FirstBurstLength', 65_536, { min: 512, max: FIRST_BURST_BYTES }),
        maxBurstBytes,
      ),
      immediateData: this.#flag('ImmediateData', true),
      initialR2t: this.#flag('InitialR2T', true),
      cmdSn: FIRST_CMD_SN,
      maxCmdSn: window(bhs),
      statSn: this.#statSn as number,
    }
    this.#pdus.useDigests(digests)
    return parameters
  }

  #digest(key: string, offered: string): boolean {
    const value = this.#negotiated.get(key) ?? 'None'
    if (value === offered) return value === 'CRC32C'
    throw new MatrixError(
      'config',
      `the target answered ${key}=${printable(value)} where ${offered} was offered${this.#options.digests ? '; it cannot do digests: take digest out of the URL' : ''}`,
    )
  }

  #flag(key: string, absent: boolean): boolean {
    const value = this.#negotiated.get(key)
    if (value === undefined) return absent
    if (value === 'Yes' || value === 'No') return value === 'Yes'
    throw new MatrixError('protocol', `the target answered ${key}=${printable(value)}; allowed is Yes or No`)
  }

  #number(key: string, absent: number, { min, max }: { readonly min: number; readonly max: number }): number {
    const value = this.#negotiated.get(key)
    if (value === undefined) return Math.min(absent, max)
    const number = /^(?:\d{1,10}|0x[0-9a-f]{1,8})$/i.test(value) ? Number(value) : Number.NaN
    if (number >= min && number <= max) return number
    throw new MatrixError('protocol', `the target answered ${key}=${printable(value)}; allowed is ${min}…${max}`)
  }

  #send(pairs: readonly Pair[], flags: number): void {
    if (++this.#steps > MAX_STEPS) throw new MatrixError('protocol', 'the login has no end')
    const bhs = newBhs(requestOpcode.login | IMMEDIATE, flags | (this.#stage << 2), this.#tag)
    this.#options.isid.copy(bhs, 8)
    bhs.writeUInt32BE(FIRST_CMD_SN, 24)
    bhs.writeUInt32BE(this.#statSn ?? 0, 28)
    this.#pdus.send(bhs, pairs.length > 0 ? [encodeText(pairs)] : [])
  }
}

/** MaxCmdSN of the last login response; a target that leaves it out lets one command through. */
function window(bhs: Buffer): number {
  const maxCmdSn = bhs.readUInt32BE(32)
  return isAfter(FIRST_CMD_SN, maxCmdSn) ? FIRST_CMD_SN : maxCmdSn
}

/** What a person has to know of a status (RFC 7143, 11.13.5). */
function loginError(status: number, { targetName, initiatorName, chap }: LoginOptions): MatrixError {
  const code = status.toString(16).padStart(4, '0')
  switch (status) {
    case 0x0101:
    case 0x0102:
      return new MatrixError('config', `the target was moved to another address; name that one (login status ${code})`)
    case 0x0201:
      return new MatrixError(
        'config',
        chap
          ? `the target does not accept user ${printable(chap.user)} with this secret (login status ${code})`
          : `the target demands a secret (CHAP): name user and secret_file in the URL (login status ${code})`,
      )
    case 0x0202:
      return new MatrixError('config', `the target does not let initiator ${initiatorName} in (login status ${code})`)
    case 0x0203:
    case 0x0204:
      return new MatrixError('not-found', `there is no target ${targetName} (login status ${code})`)
    case 0x0205:
      return new MatrixError('config', `the target speaks another version of iSCSI (login status ${code})`)
    case 0x0206:
      return new MatrixError('lun-io', `the target has too many connections (login status ${code})`)
  }
  if (status >= 0x0300) return new MatrixError('lun-io', `the target cannot serve now (login status ${code})`)
  return new MatrixError('protocol', `the target refuses the login (login status ${code})`)
}
