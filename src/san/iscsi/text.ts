/** Text of iSCSI (RFC 7143, 6.1): pairs of key and value, each `key=value` and a NUL. */
import { MatrixError } from '../../base/errors.ts'
import type { Peer } from './pdu.ts'

/** Longest text of one request, all its PDUs together, bytes. */
export const MAX_TEXT_BYTES = 64 * 1024

export type Pair = readonly [key: string, value: string]

export function encodeText(pairs: readonly Pair[]): Buffer {
  return Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''), 'utf8')
}

/** In order; a key may come again (TargetName in a list of targets). Throws MatrixError 'protocol'. */
export function parseText(text: Buffer, peer: Peer = 'target'): Pair[] {
  const pairs: Pair[] = []
  for (const pair of text.toString('utf8').split('\0')) {
    if (pair === '') continue
    const at = pair.indexOf('=')
    if (at < 1 || at > 63) throw new MatrixError('protocol', `the ${peer} sent text that is none: ${printable(pair)}`)
    pairs.push([pair.slice(0, at), pair.slice(at + 1)])
  }
  return pairs
}

/** For messages. */
export function printable(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
