/**
 * Universal addresses (RFC 5665 5.2): an address and a port as text, `10.0.0.1.8.1` for port 2049 of 10.0.0.1; of IPv6 the
 * address is as usual (`fd00::1.8.1`). And netids (RFC 5665 5.1), which say by what the address is reached.
 */
import { isIP, isIPv6 } from 'node:net'
import type { Transport } from '../rpc/transport.ts'

export function universalAddress(address: string, port: number): string {
  return `${address}.${port >> 8}.${port & 255}`
}

/** Undefined when it is none. */
export function parseUniversalAddress(text: string): { readonly address: string; readonly port: number } | undefined {
  const match = /^(.+)\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (!match) return undefined
  const [address, high, low] = [match[1] as string, Number(match[2]), Number(match[3])]
  if (isIP(address) === 0 || high > 255 || low > 255) return undefined
  return { address, port: high * 256 + low }
}

export type Netid = 'tcp' | 'udp' | 'tcp6' | 'udp6'

export function netidOf(transport: Transport, address: string): Netid {
  return isIPv6(address) ? `${transport}6` : transport
}
