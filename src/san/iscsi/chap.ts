/**
 * CHAP with MD5 (RFC 1994, RFC 7143, 12.1.3): both ends know a secret, and prove it by a digest over it and a challenge. With `target`, the
 * target has to prove that it knows one, too. It protects against mistakes more than against whoever listens: the data itself is not protected.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { MatrixError } from '../../base/errors.ts'
import { type Pair, printable } from './text.ts'

export type ChapSecrets = {
  readonly user: string
  readonly secret: string
  /** What the target has to know. */
  readonly target?: { readonly secret: string }
}

/** MD5, the one that every target has. */
const ALGORITHM = '5'
const CHALLENGE_BYTES = 16
const MAX_CHALLENGE_BYTES = 1024

export function chapResponse(id: number, secret: string, challenge: Buffer): Buffer {
  return createHash('md5').update(Buffer.of(id)).update(secret, 'utf8').update(challenge).digest()
}

/** One authentication, seen from the initiator. Throws MatrixError 'protocol', or 'config' when the target does not know its secret. */
export class Chap {
  readonly #secrets: ChapSecrets
  readonly #id: number
  readonly #challenge: Buffer

  constructor(secrets: ChapSecrets, random: (count: number) => Buffer) {
    this.#secrets = secrets
    this.#id = random(1)[0]!
    this.#challenge = random(CHALLENGE_BYTES)
  }

  /** The offer, once the target has chosen CHAP. */
  offer(): Pair[] {
    return [['CHAP_A', ALGORITHM]]
  }

  /** To the challenge of the target. */
  answer(pairs: ReadonlyMap<string, string>): Pair[] {
    if (need(pairs, 'CHAP_A') !== ALGORITHM)
      throw new MatrixError('protocol', 'the target chose an algorithm for CHAP that was not offered')
    const id = Number(need(pairs, 'CHAP_I'))
    const challenge = binary(need(pairs, 'CHAP_C'))
    if (!Number.isInteger(id) || id < 0 || id > 255 || challenge.length === 0 || challenge.length > MAX_CHALLENGE_BYTES)
      throw new MatrixError('protocol', 'the target sent a challenge for CHAP that is none')
    const { user, secret, target } = this.#secrets
    const answer: Pair[] = [
      ['CHAP_N', user],
      ['CHAP_R', hex(chapResponse(id, secret, challenge))],
    ]
    if (target) answer.push(['CHAP_I', String(this.#id)], ['CHAP_C', hex(this.#challenge)])
    return answer
  }

  /** What came with the end of the security stage. */
  check(pairs: ReadonlyMap<string, string>): void {
    const { target } = this.#secrets
    if (!target) return
    const found = pairs.get('CHAP_R')
    const right = chapResponse(this.#id, target.secret, this.#challenge)
    const response = found === undefined ? Buffer.alloc(0) : binary(found)
    if (response.length !== right.length || !timingSafeEqual(response, right))
      throw new MatrixError(
        'config',
        'the target has not proved that it knows its secret (target_secret_file): it is not the one that was meant, or its secret differs',
      )
  }
}

function need(pairs: ReadonlyMap<string, string>, key: string): string {
  const value = pairs.get(key)
  if (value === undefined) throw new MatrixError('protocol', `the target left out ${key}`)
  return value
}

function hex(bytes: Buffer): string {
  return `0x${bytes.toString('hex')}`
}

function binary(text: string): Buffer {
  if (/^0x(?:[0-9a-f]{2})+$/i.test(text)) return Buffer.from(text.slice(2), 'hex')
  if (/^0b[0-9a-z+/]+=*$/i.test(text)) return Buffer.from(text.slice(2), 'base64')
  throw new MatrixError('protocol', `the target sent something else than binary data: ${printable(text)}`)
}
