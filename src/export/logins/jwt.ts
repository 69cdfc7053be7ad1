/**
 * Bearer tokens of an identity provider (OpenID Connect): signed JWTs (RFC 7519), checked with the provider's public keys from a file (a JWK Set,
 * RFC 7517). Only signatures with public keys count, and each key only for its own kind of signature: a token cannot choose how it is checked.
 */
import { createPublicKey, type JsonWebKey, type KeyObject, verify } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { MatrixError } from '../../base/errors.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'

export type JwtOptions = {
  /** File with the JWK Set. */
  readonly keys: string
  /** What `iss` and `aud` have to be. */
  readonly issuer: string
  readonly audience: string
  /** The claim that has the user's name. */
  readonly claim: string
}

const LOOK_AGAIN_MS = 1000
/** Clocks of provider and node may differ by so much, s. */
const LEEWAY_S = 60
const MAX_TOKEN_BYTES = 16_384

type Key = { readonly kid: string | undefined; readonly algorithm: string; readonly key: KeyObject }

export class JwtVerifier {
  readonly #options: JwtOptions
  readonly #clock: Clock
  readonly #log: Log
  #keys: readonly Key[]
  #changed: number
  #lookedAt: number

  /** Throws MatrixError 'config' when the keys cannot be used. */
  constructor(options: JwtOptions, clock: Clock, log: Log) {
    this.#options = options
    this.#clock = clock
    this.#log = log
    this.#changed = changeOf(options.keys)
    this.#keys = readKeys(options.keys)
    this.#lookedAt = clock.now()
  }

  /** The name that a valid token has in the claim; undefined when it is not valid. */
  userOf(token: string): string | undefined {
    this.#look()
    if (token.length > MAX_TOKEN_BYTES) return undefined
    const [head, body, signature, ...more] = token.split('.')
    if (!head || !body || !signature || more.length > 0) return undefined
    const { alg, kid, crit } = objectOf(head)
    if (crit !== undefined) return undefined
    const signed = Buffer.from(`${head}.${body}`)
    const proof = Buffer.from(signature, 'base64url')
    const fits = this.#keys.some(
      (key) => key.algorithm === alg && (kid === undefined || key.kid === kid) && isSigned(key, signed, proof),
    )
    return fits ? this.#nameIn(objectOf(body)) : undefined
  }

  #nameIn(claims: Record<string, unknown>): string | undefined {
    const { issuer, audience, claim } = this.#options
    const nowS = this.#clock.wall() / 1000
    const { iss, aud, exp, nbf } = claims
    if (iss !== issuer) return undefined
    if (!(Array.isArray(aud) ? aud : [aud]).includes(audience)) return undefined
    if (typeof exp !== 'number' || exp + LEEWAY_S <= nowS) return undefined
    if (nbf !== undefined && !(typeof nbf === 'number' && nbf - LEEWAY_S <= nowS)) return undefined
    const name = Object.hasOwn(claims, claim) ? claims[claim] : undefined
    return typeof name === 'string' ? name : undefined
  }

  #look(): void {
    const now = this.#clock.now()
    if (now - this.#lookedAt < LOOK_AGAIN_MS) return
    this.#lookedAt = now
    const changed = changeOf(this.#options.keys)
    if (changed === this.#changed) return
    this.#changed = changed
    try {
      this.#keys = readKeys(this.#options.keys)
    } catch (error) {
      this.#log.error({ error: String(error) }, 'the keys of the identity provider stay as they were')
    }
  }
}

function changeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

function readKeys(file: string): readonly Key[] {
  try {
    const { keys } = JSON.parse(readFileSync(file, 'utf8')) as {
      keys: readonly (JsonWebKey & Record<string, unknown>)[]
    }
    const usable = keys.flatMap((jwk): Key[] => {
      const algorithm = algorithmOf(jwk)
      if (algorithm === undefined || (jwk['use'] !== undefined && jwk['use'] !== 'sig')) return []
      const kid = typeof jwk['kid'] === 'string' ? jwk['kid'] : undefined
      return [{ kid, algorithm, key: createPublicKey({ key: jwk, format: 'jwk' }) }]
    })
    if (usable.length === 0) throw new Error('it has no key for RS256, ES256 or EdDSA')
    return usable
  } catch (cause) {
    throw new MatrixError('config', `${file} cannot be used as a set of public keys: ${String(cause)}`, { cause })
  }
}

/** How a key signs (RFC 7518 3.1, RFC 8037). */
function algorithmOf({ kty, crv, alg }: JsonWebKey & { alg?: unknown }): string | undefined {
  const own =
    kty === 'RSA'
      ? 'RS256'
      : kty === 'EC' && crv === 'P-256'
        ? 'ES256'
        : kty === 'OKP' && crv === 'Ed25519'
          ? 'EdDSA'
          : undefined
  return alg === undefined || alg === own ? own : undefined
}

function isSigned({ algorithm, key }: Key, signed: Buffer, proof: Buffer): boolean {
  const digest = algorithm === 'EdDSA' ? null : 'sha256'
  try {
    return verify(digest, signed, algorithm === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key, proof)
  } catch {
    return false
  }
}

/** A part of a token; {} when it is none. */
function objectOf(part: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
