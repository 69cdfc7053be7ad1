/**
 * Passwords as they are kept: scrypt (RFC 7914) with its cost beside salt and hash, so that the cost may rise and old ones still be checked.
 *
 *     scrypt:LN:R:P:SALT:HASH     N = 2^LN; salt and hash in base64url
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'

/** About 60 ms and 32 MiB for each check. */
const COST = { ln: 15, r: 8, p: 1 }
const SALT_BYTES = 16
const HASH_BYTES = 32
/** What a hand-written line may ask of a node: 256 MiB. */
const MAX_LN = 18
const MAX_R = 8
const MAX_P = 4

export const PASSWORD_MIN = 8
export const PASSWORD_MAX_BYTES = 1024

/** Of nobody: so that a name that does not exist takes as long as one that does. */
export const nobodysPassword = `scrypt:${COST.ln}:${COST.r}:${COST.p}:${'A'.repeat(22)}:${'A'.repeat(43)}`

const form = /^scrypt:(\d{1,2}):(\d{1,2}):(\d):([A-Za-z0-9_-]{22,86}):([A-Za-z0-9_-]{43})$/

type Parsed = {
  readonly ln: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  readonly hash: Buffer
}

function parse(kept: string): Parsed | undefined {
  const [, ln, r, p, salt, hash] = form.exec(kept) ?? []
  if (salt === undefined || hash === undefined) return undefined
  const cost = { ln: Number(ln), r: Number(r), p: Number(p) }
  if (cost.ln < 10 || cost.ln > MAX_LN || cost.r < 1 || cost.r > MAX_R || cost.p < 1 || cost.p > MAX_P) return undefined
  return { ...cost, salt: Buffer.from(salt, 'base64url'), hash: Buffer.from(hash, 'base64url') }
}

export function isKeptPassword(text: string): boolean {
  return parse(text) !== undefined
}

export async function keepPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const hash = await derive(password, { ...COST, salt })
  return `scrypt:${COST.ln}:${COST.r}:${COST.p}:${salt.toString('base64url')}:${hash.toString('base64url')}`
}

/** Takes the time of one scrypt, on a thread of the pool. */
export async function passwordMatches(password: string, kept: string): Promise<boolean> {
  const parsed = parse(kept)
  return parsed !== undefined && timingSafeEqual(await derive(password, parsed), parsed.hash)
}

function derive(password: string, { ln, r, p, salt }: Omit<Parsed, 'hash'>): Promise<Buffer> {
  const N = 2 ** ln
  return new Promise((resolve, reject) => {
    // one password typed on two systems is one (RFC 8265)
    scrypt(
      password.normalize('NFC'),
      salt,
      HASH_BYTES,
      { N, r, p, maxmem: 2 * 128 * N * r + 2 ** 20 },
      (error, hash) => (error ? reject(error) : resolve(hash)),
    )
  })
}
