/** Operational negotiation (RFC 7143, 13) from the side of the target: each offer is answered by what both can do. */
import { MatrixError } from '../../base/errors.ts'
import { MAX_RECV_BYTES } from '../iscsi/pdu-stream.ts'
import { type Pair, printable } from '../iscsi/text.ts'

/** What a session goes by. */
export type Parameters = {
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  /** Longest data segment that the initiator takes, bytes. */
  readonly maxSendBytes: number
  readonly maxBurstBytes: number
  readonly firstBurstBytes: number
  readonly immediateData: boolean
  readonly initialR2t: boolean
  readonly maxOutstandingR2t: number
}

const MAX_BURST_BYTES = 1024 * 1024
const FIRST_BURST_BYTES = 256 * 1024
const MAX_OUTSTANDING_R2T = 8

export const defaultParameters: Parameters = {
  headerDigest: false,
  dataDigest: false,
  maxSendBytes: 8192,
  maxBurstBytes: 262_144,
  firstBurstBytes: 65_536,
  immediateData: true,
  initialR2t: true,
  maxOutstandingR2t: 1,
}

export class Negotiation {
  #parameters: Parameters = defaultParameters
  readonly #seen = new Set<string>()
  #hasDeclared = false

  get parameters(): Parameters {
    const { firstBurstBytes, maxBurstBytes } = this.#parameters
    return { ...this.#parameters, firstBurstBytes: Math.min(firstBurstBytes, maxBurstBytes) }
  }

  /** The answers. Throws MatrixError 'protocol'. */
  answer(offers: readonly Pair[]): Pair[] {
    const answers: Pair[] = []
    for (const [key, value] of offers) {
      if (this.#seen.has(key)) throw new MatrixError('protocol', `${key} is negotiated twice`)
      this.#seen.add(key)
      const answer = this.#answerOne(key, value)
      if (answer !== undefined) answers.push([key, answer])
    }
    if (!this.#hasDeclared) {
      this.#hasDeclared = true
      answers.push(['MaxRecvDataSegmentLength', String(MAX_RECV_BYTES)])
    }
    return answers
  }

  #answerOne(key: string, value: string): string | undefined {
    switch (key) {
      case 'HeaderDigest':
        return this.#digest(key, 'headerDigest', value)
      case 'DataDigest':
        return this.#digest(key, 'dataDigest', value)
      case 'MaxRecvDataSegmentLength':
        this.#set({ maxSendBytes: number(key, value, 512) })
        return undefined
      case 'MaxBurstLength':
        return this.#least(key, 'maxBurstBytes', value, 512, MAX_BURST_BYTES)
      case 'FirstBurstLength':
        return this.#least(key, 'firstBurstBytes', value, 512, FIRST_BURST_BYTES)
      case 'MaxOutstandingR2T':
        return this.#least(key, 'maxOutstandingR2t', value, 1, MAX_OUTSTANDING_R2T)
      case 'InitialR2T':
        this.#set({ initialR2t: flag(key, value) })
        return value
      case 'ImmediateData':
        this.#set({ immediateData: flag(key, value) })
        return value
      case 'DataPDUInOrder':
      case 'DataSequenceInOrder':
        flag(key, value)
        return 'Yes'
      case 'IFMarker':
      case 'OFMarker':
        flag(key, value)
        return 'No'
      case 'MaxConnections':
        number(key, value, 1)
        return '1'
      case 'ErrorRecoveryLevel':
      case 'DefaultTime2Retain':
        number(key, value, 0)
        return '0'
      case 'DefaultTime2Wait':
        return String(number(key, value, 0))
      case 'InitiatorAlias':
      case 'InitiatorName':
      case 'SessionType':
      case 'TargetName':
        return undefined
      default:
        return 'NotUnderstood'
    }
  }

  #set(change: Partial<Parameters>): void {
    this.#parameters = { ...this.#parameters, ...change }
  }

  /** The first of the list that is known here. */
  #digest(key: string, name: 'headerDigest' | 'dataDigest', value: string): string {
    const found = value.split(',').find((each) => each === 'CRC32C' || each === 'None')
    if (found === undefined) throw new MatrixError('protocol', `${key}=${printable(value)}: allowed are CRC32C, None`)
    this.#set({ [name]: found === 'CRC32C' })
    return found
  }

  #least(
    key: string,
    name: 'maxBurstBytes' | 'firstBurstBytes' | 'maxOutstandingR2t',
    value: string,
    min: number,
    own: number,
  ): string {
    const least = Math.min(number(key, value, min), own)
    this.#set({ [name]: least })
    return String(least)
  }
}

function flag(key: string, value: string): boolean {
  if (value === 'Yes' || value === 'No') return value === 'Yes'
  throw new MatrixError('protocol', `${key}=${printable(value)}; allowed is Yes or No`)
}

function number(key: string, value: string, min: number): number {
  const found = /^(?:\d{1,10}|0x[0-9a-f]{1,8})$/i.test(value) ? Number(value) : Number.NaN
  if (found >= min && found < 2 ** 24) return found
  throw new MatrixError('protocol', `${key}=${printable(value)}; allowed is ${min}…${2 ** 24 - 1}`)
}
