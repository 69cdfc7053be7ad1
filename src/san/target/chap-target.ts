/** CHAP (RFC 1994, RFC 7143, 12.1.3) from the side of the target: it asks for a proof, and gives one when it is asked to. */
import { timingSafeEqual } from 'node:crypto'
import { chapResponse } from '../iscsi/chap.ts'
import type { Pair } from '../iscsi/text.ts'

export type TargetChap = {
  /** Of initiators. */
  readonly user: string
  readonly secret: string
  /** What this target proves itself with, to those who ask. */
  readonly target?: { readonly user: string; readonly secret: string }
}

const MD5 = '5'
const CHALLENGE_BYTES = 16

/** One authentication. What is undefined was refused. */
export class ChapTarget {
  readonly #chap: TargetChap
  readonly #id: number
  readonly #challenge: Buffer

  constructor(chap: TargetChap, random: (count: number) => Buffer) {
    this.#chap = chap
    this.#id = random(1)[0]!
    this.#challenge = random(CHALLENGE_BYTES)
  }

  /** To the offer of algorithms. */
  challenge(pairs: ReadonlyMap<string, string>): Pair[] | undefined {
    if (!pairs.get('CHAP_A')?.split(',').includes(MD5)) return undefined
    return [
      ['CHAP_A', MD5],
      ['CHAP_I', String(this.#id)],
      ['CHAP_C', `0x${this.#challenge.toString('hex')}`],
    ]
  }

  /** To the proof of the initiator: ours, if it asks for one. */
  verify(pairs: ReadonlyMap<string, string>): Pair[] | undefined {
    const { user, secret, target } = this.#chap
    const response = binary(pairs.get('CHAP_R'))
    const right = chapResponse(this.#id, secret, this.#challenge)
    if (pairs.get('CHAP_N') !== user || response?.length !== right.length || !timingSafeEqual(response, right))
      return undefined
    const [id, challenge] = [pairs.get('CHAP_I'), binary(pairs.get('CHAP_C'))]
    if (id === undefined && challenge === undefined) return []
    const number = Number(id)
    if (!target || !challenge || challenge.length === 0 || challenge.length > 1024) return undefined
    // otherwise our own challenge could be answered by asking it back
    if (challenge.equals(this.#challenge) || !Number.isInteger(number) || number < 0 || number > 255) return undefined
    return [
      ['CHAP_N', target.user],
      ['CHAP_R', `0x${chapResponse(number, target.secret, challenge).toString('hex')}`],
    ]
  }
}

function binary(text: string | undefined): Buffer | undefined {
  if (text === undefined) return undefined
  if (/^0x(?:[0-9a-f]{2})+$/i.test(text)) return Buffer.from(text.slice(2), 'hex')
  if (/^0b[0-9a-z+/]+=*$/i.test(text)) return Buffer.from(text.slice(2), 'base64')
  return undefined
}
