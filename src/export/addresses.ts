/**
 * Internet addresses and ranges of them, as export rules name clients: `192.168.0.0/16`, `fd00::/8`, `10.1.2.3`, `*`.
 * Everything is compared in the sixteen bytes of IPv6; an IPv4 address is its mapped form (`::ffff:a.b.c.d`, RFC 4291
 * 2.5.5.2), so a client that arrives through a dual-stack socket is the client that the rule names.
 */
import { MatrixError } from '../base/errors.ts'

/** Addresses whose first `prefixBits` bits equal those of `bytes`. */
export type AddressRange = { readonly bytes: Uint8Array; readonly prefixBits: number }

const MAPPED_PREFIX_BITS = 96

function parseIpv4(text: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (!match) return undefined
  const parts = match.slice(1).map(Number)
  if (parts.some((part) => part > 255)) return undefined
  const out = new Uint8Array(16)
  out.set([0xff, 0xff, ...parts], 10)
  return out
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const words = text.split(':')
  for (const [index, word] of words.entries()) {
    if (index === words.length - 1 && word.includes('.')) {
      const tail = parseIpv4(word)
      if (!tail) return undefined
      groups.push((tail[12]! << 8) | tail[13]!, (tail[14]! << 8) | tail[15]!)
    } else if (/^[0-9a-fA-F]{1,4}$/.test(word)) groups.push(Number.parseInt(word, 16))
    else return undefined
  }
  return groups
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0]!)
  const tail = halves.length === 2 ? parseGroups(halves[1]!) : []
  if (!head || !tail) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const out = new Uint8Array(16)
  for (const [index, group] of [...head, ...Array<number>(missing).fill(0), ...tail].entries()) {
    out[2 * index] = group >> 8
    out[2 * index + 1] = group & 0xff
  }
  return out
}

/** The sixteen bytes of an IPv4 or IPv6 address (a zone such as `%eth0` is ignored), or undefined when it is neither. */
export function parseAddress(text: string): Uint8Array | undefined {
  return parseIpv4(text) ?? parseIpv6(text.split('%', 1)[0]!)
}

/** Parses `*`, an address, or an address with a prefix length. Throws MatrixError 'config'. */
export function parseRange(text: string): AddressRange {
  if (text === '*') return { bytes: new Uint8Array(16), prefixBits: 0 }
  const [address = '', prefix, ...more] = text.split('/')
  const bytes = parseAddress(address)
  const short = !address.includes(':')
  const longest = short ? 32 : 128
  const bits = prefix === undefined ? longest : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN
  if (!bytes || more.length > 0 || !(bits <= longest)) {
    throw new MatrixError('config', `'${text}' names no clients: expected '*', an address, or address/prefix-length`)
  }
  return { bytes, prefixBits: short ? MAPPED_PREFIX_BITS + bits : bits }
}

export function inRange(address: Uint8Array, range: AddressRange): boolean {
  const whole = range.prefixBits >> 3
  for (let i = 0; i < whole; i++) if (address[i] !== range.bytes[i]) return false
  const rest = range.prefixBits & 7
  return rest === 0 || (address[whole]! ^ range.bytes[whole]!) >> (8 - rest) === 0
}
