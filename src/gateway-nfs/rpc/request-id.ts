/**
 * What tells a repeated request from any other, at whatever node it arrives (docs/decisions/0015-exactly-once.md). The port is no part of
 * it: clients try to keep it when they connect again, and cannot always. Everything else of the call is, but for the stamp.
 */
import { crc32 } from 'node:zlib'
import type { RequestId } from '../../metadata/index.ts'
import type { CallHeader } from './message.ts'

const HIGH_BITS = 2 ** 21

/** `args` are the bytes of the call's arguments, and `checksum` their CRC-32C. */
export function requestIdOf(client: number, header: CallHeader, args: Buffer, checksum: number): RequestId {
  // two checksums by different polynomials; procedures with equal arguments differ in the second
  const second = crc32(args, (header.credentialCheck ^ header.procedure) >>> 0)
  return { client, xid: header.xid, check: second * HIGH_BITS + (checksum >>> 11) }
}
