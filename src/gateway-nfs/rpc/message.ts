/**
 * Headers of RPC calls and rejected replies (RFC 5531 9). A call, big-endian:
 *
 *     offset size  name
 *     0      4     xid
 *     4      4     message type  0, CALL
 *     8      4     RPC version   2
 *     12     4     program
 *     16     4     version
 *     20     4     procedure
 *     24     4     credential's flavor: 0 AUTH_NONE, 1 AUTH_SYS
 *     28     4     credential's length n, at most 400
 *     32     n     credential
 *     32+n   4     verifier's flavor
 *     36+n   4     verifier's length m, at most 400
 *     40+n   m     verifier; then the procedure's arguments
 *
 * AUTH_SYS: stamp, machine name (≤ 255), uid, gid, gids (≤ 16).
 */
import { crc32c } from '../../base/crc32c.ts'
import { type Credentials, noCredentials } from '../../export/index.ts'
import { AUTH_BODY_MAX, AUTH_SYS_GIDS_MAX, AUTH_SYS_NAME_MAX } from '../limits.ts'
import { XdrError, type XdrReader } from '../xdr/reader.ts'
import type { ReplyWriter } from './reply-writer.ts'

const CALL = 0
const RPC_VERSION = 2
const AUTH_NONE = 0
const AUTH_SYS = 1
const SHORTEST_CALL_BYTES = 40
/** An AUTH_SYS credential begins with it: anything that the client likes. */
const STAMP_BYTES = 4

/** Why a call is refused before any program sees it, or 'ok'. 'garbage': not a call at all, the stream is of no use. */
export type Verdict = 'ok' | 'garbage' | 'rpc-mismatch' | 'bad-credential' | 'bad-verifier'

/** The header of the call being served; reused for every record. */
export class CallHeader {
  xid = 0
  program = 0
  version = 0
  procedure = 0
  credentials: Credentials = noCredentials
  /** A checksum of the credential without its stamp, which may be another in a repetition of the call. */
  credentialCheck = 0
  /** The credential seen last and what it means: clients repeat it in every call. */
  #known = Buffer.alloc(0)
  #knownCredentials: Credentials = noCredentials
  #knownCheck = 0

  /** Reads the header; afterwards `from` stands at the arguments. */
  parse(from: XdrReader): Verdict {
    if (from.remaining < SHORTEST_CALL_BYTES) return 'garbage'
    const { view, at } = from
    this.xid = view.getUint32(at)
    if (view.getUint32(at + 4) !== CALL) return 'garbage'
    if (view.getUint32(at + 8) !== RPC_VERSION) return 'rpc-mismatch'
    this.program = view.getUint32(at + 12)
    this.version = view.getUint32(at + 16)
    this.procedure = view.getUint32(at + 20)
    const flavor = view.getUint32(at + 24)
    const length = view.getUint32(at + 28)
    const padded = (length + 3) & ~3
    if (length > AUTH_BODY_MAX || padded + SHORTEST_CALL_BYTES > from.remaining) return 'bad-credential'
    if (flavor === AUTH_NONE) {
      this.credentials = noCredentials
      this.credentialCheck = 0
    } else if (flavor !== AUTH_SYS || !this.#readSys(from, at + 32, length)) return 'bad-credential'
    const verifier = at + 32 + padded
    const verifierLength = view.getUint32(verifier + 4)
    const verifierPadded = (verifierLength + 3) & ~3
    from.at = verifier + 8
    if (verifierLength > AUTH_BODY_MAX || verifierPadded > from.remaining) return 'bad-verifier'
    from.at += verifierPadded
    return 'ok'
  }

  /** The same header for later: this object is another call's soon. */
  copy(): CallHeader {
    const copy = new CallHeader()
    const { xid, program, version, procedure, credentials, credentialCheck } = this
    return Object.assign(copy, { xid, program, version, procedure, credentials, credentialCheck })
  }

  #readSys(from: XdrReader, at: number, length: number): boolean {
    if (length === this.#known.length && sameBytes(from.bytes, at, this.#known)) {
      this.credentials = this.#knownCredentials
      this.credentialCheck = this.#knownCheck
      return true
    }
    const end = from.end
    try {
      this.credentials = readAuthSys(from.reset(from.bytes, at, at + length))
    } catch (error) {
      if (error instanceof XdrError) return false
      throw error
    } finally {
      from.reset(from.bytes, at, end)
    }
    this.#known = Buffer.from(from.bytes.subarray(at, at + length))
    this.#knownCredentials = this.credentials
    this.#knownCheck = crc32c(this.#known.subarray(STAMP_BYTES))
    this.credentialCheck = this.#knownCheck
    return true
  }
}

function readAuthSys(from: XdrReader): Credentials {
  from.uint32() // stamp: arbitrary
  from.opaque(AUTH_SYS_NAME_MAX)
  const uid = from.uint32()
  const gid = from.uint32()
  const gids = Array.from({ length: from.count(AUTH_SYS_GIDS_MAX) }, () => from.uint32())
  return { flavor: 'sys', uid, gid, gids }
}

function sameBytes(bytes: Buffer, at: number, other: Buffer): boolean {
  for (let i = 0; i < other.length; i++) if (bytes[at + i] !== other[i]) return false
  return true
}

/** An accepted call that failed before its procedure (accept_stat); its result is empty but for PROG_MISMATCH. */
export type AcceptFailure =
  | { readonly kind: 'program-unavailable' }
  | { readonly kind: 'program-mismatch'; readonly low: number; readonly high: number }
  | { readonly kind: 'procedure-unavailable' }
  | { readonly kind: 'garbage-arguments' }
  | { readonly kind: 'system-error' }

const ACCEPT_STATUS = {
  'program-unavailable': 1,
  'program-mismatch': 2,
  'procedure-unavailable': 3,
  'garbage-arguments': 4,
  'system-error': 5,
} as const

export function putAcceptFailure(out: ReplyWriter, xid: number, failure: AcceptFailure): void {
  const start = out.begin(xid, 8)
  out.view.setUint32(out.at - 4, ACCEPT_STATUS[failure.kind])
  if (failure.kind === 'program-mismatch') {
    out.uint32(failure.low)
    out.uint32(failure.high)
  }
  out.end(start)
}

const STARTTLS = Buffer.from('STARTTLS', 'latin1')

/** The answer to a call that asks for TLS (RFC 9289 4.1): success, with a verifier that says so. */
export function putStartTls(out: ReplyWriter, xid: number): void {
  const start = out.begin(xid, STARTTLS.length)
  out.view.setUint32(start + 20, STARTTLS.length)
  out.at = start + 24
  out.fixed(STARTTLS)
  out.uint32(0)
  out.end(start)
}

const MSG_DENIED = 1
const DENIALS = {
  // RPC_MISMATCH with the lowest and highest version we speak
  'rpc-mismatch': [0, RPC_VERSION, RPC_VERSION],
  // AUTH_ERROR with AUTH_BADCRED (AUTH_TLS out of place is that, too: rpc/tls.ts), AUTH_BADVERF
  'bad-credential': [1, 1],
  'bad-verifier': [1, 3],
  // AUTH_TOOWEAK
  'too-weak': [1, 5],
} as const

/** A denied call (reject_stat). */
export function putDenial(out: ReplyWriter, xid: number, why: keyof typeof DENIALS): void {
  const start = out.begin(xid, 8)
  out.at = start + 12
  out.uint32(MSG_DENIED)
  for (const word of DENIALS[why]) out.uint32(word)
  out.end(start)
}
