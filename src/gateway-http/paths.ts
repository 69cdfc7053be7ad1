/**
 * Names between URLs and the filesystem. A segment of a URL is percent-decoded to bytes; the filesystem's names are byte
 * strings ('latin1'), so that every name that NFS can make is reachable, valid UTF-8 or not.
 *
 * What is refused: NUL and encoded slashes (400: no name holds them), `.` and `..` after decoding (400: clients resolve
 * them before they ask), names over 255 bytes (414).
 */
import { NAME_MAX } from '../base/limits.ts'
import { HttpFailure } from './failure.ts'
import { MAX_PATH_SEGMENTS, MAX_TARGET_BYTES } from './limits.ts'

export type Target = {
  /** Byte strings; [] is the gateway's root, [export name] the root of an export. */
  readonly segments: readonly string[]
  /** The client wrote the address of a collection. */
  readonly trailingSlash: boolean
  /** What follows '?', without it. */
  readonly query: string
}

/** Parses a request target (origin or absolute form) or a Destination. Throws HttpFailure 400 or 414. */
export function parseTarget(target: string): Target {
  if (target.length > MAX_TARGET_BYTES) throw new HttpFailure(414)
  const absolute = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]*/.exec(target)
  const rest = absolute ? target.slice(absolute[0].length) || '/' : target
  if (!rest.startsWith('/')) throw new HttpFailure(400, 'the path must start with a slash')
  if (rest.includes('#')) throw new HttpFailure(400, 'a request has no fragment')
  const mark = rest.indexOf('?')
  const path = mark < 0 ? rest : rest.slice(0, mark)
  const parts = path.split('/')
  const segments: string[] = []
  // Empty segments (a//b) are dropped, as POSIX paths do it.
  for (const part of parts) if (part !== '') segments.push(decodeSegment(part))
  if (segments.length > MAX_PATH_SEGMENTS) throw new HttpFailure(414, 'too many segments in the path')
  return { segments, trailingSlash: path.endsWith('/'), query: mark < 0 ? '' : rest.slice(mark + 1) }
}

const plainSegment = /^[A-Za-z0-9._~!$&'()*+,;=:@-]*$/

/** One percent-encoded segment as a byte string. */
export function decodeSegment(segment: string): string {
  const name = plainSegment.test(segment) ? segment : decodeBytes(segment)
  if (name === '.' || name === '..') throw new HttpFailure(400, 'the path must not hold . or ..')
  if (name.includes('\0')) throw new HttpFailure(400, 'the path must not hold NUL')
  if (name.includes('/')) throw new HttpFailure(400, 'the path must not hold an encoded slash')
  if (name.length > NAME_MAX) throw new HttpFailure(414, `a name is longer than ${NAME_MAX} bytes`)
  return name
}

function decodeBytes(segment: string): string {
  // Characters that should have been encoded (spaces, raw UTF-8, which Node shows as latin1) stand for their bytes.
  return segment.replace(/%(..?)?/g, (_, digits: string | undefined) => {
    if (!digits || !/^[0-9A-Fa-f]{2}$/.test(digits)) throw new HttpFailure(400, 'broken percent-encoding')
    return String.fromCharCode(Number.parseInt(digits, 16))
  })
}

const unreserved = /^[A-Za-z0-9._~-]*$/
const encodedByte = Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  return unreserved.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
})

/** A byte string as a segment of a URL: safe in href attributes and XML without further escaping. */
export function encodeSegment(name: string): string {
  if (unreserved.test(name)) return name
  let out = ''
  for (let i = 0; i < name.length; i++) out += encodedByte[name.charCodeAt(i)]
  return out
}

/** The path of a resource as clients see it; collections end in a slash (RFC 4918 5.2). */
export function hrefOf(segments: readonly string[], collection: boolean): string {
  if (segments.length === 0) return '/'
  return `/${segments.map(encodeSegment).join('/')}${collection ? '/' : ''}`
}

const ascii = /^[\x20-\x7e]*$/

/** A byte string for people: UTF-8, with replacement characters where it is none. */
export function displayName(name: string): string {
  return ascii.test(name) ? name : Buffer.from(name, 'latin1').toString('utf8')
}

/** True when `inner` lies below `outer`, or is it. */
export function isWithin(inner: readonly string[], outer: readonly string[]): boolean {
  return inner.length >= outer.length && outer.every((segment, i) => segment === inner[i])
}
