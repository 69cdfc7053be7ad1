/** CRC-32C (Castagnoli, RFC 3720 B.4), the checksum of every structure on disk. */
import { crc32c as native } from '@node-rs/crc32'

/** Checksum of `bytes`, optionally continuing from `seed` (the checksum of what came before); unsigned 32 bits. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return native(bytes as Buffer, seed) >>> 0
}
