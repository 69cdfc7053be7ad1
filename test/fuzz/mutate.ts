/** Makes bytes wrong in the ways that find bugs: bits, lengths, cuts, pieces of other records in the middle of one. */
import type { Prng } from '../../src/base/prng.ts'

/** 32-bit words at which limits and signs turn. */
const WORDS = [
  0, 1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 65, 255, 256, 400, 401, 1024, 1025, 0xffff, 0x10000, 0x100000, 0x7fffffff,
  0x80000000, 0xfffffffe, 0xffffffff,
]
const MOST_CHANGES = 6

/** A changed copy; `other`: a second record to take pieces from. */
export function mutate(prng: Prng, bytes: Buffer, other: Buffer): Buffer {
  let out: Buffer = Buffer.from(bytes)
  for (let changes = 1 + prng.below(MOST_CHANGES); changes > 0; changes--) out = change(prng, out, other)
  return out
}

function change(prng: Prng, bytes: Buffer, other: Buffer): Buffer {
  const at = prng.below(bytes.length + 1)
  const word = at & ~3
  switch (prng.below(9)) {
    case 0: // a bit
      if (at < bytes.length) bytes[at]! ^= 1 << prng.below(8)
      return bytes
    case 1: // a byte
      if (at < bytes.length) bytes[at] = prng.below(256)
      return bytes
    case 2: // a word that means something
    case 3:
      if (word + 4 <= bytes.length) bytes.writeUInt32BE(prng.pick(WORDS), word)
      return bytes
    case 4: // a word a little off
      if (word + 4 <= bytes.length) bytes.writeUInt32BE((bytes.readUInt32BE(word) + prng.between(-4, 4)) >>> 0, word)
      return bytes
    case 5: // cut
      return bytes.subarray(0, at)
    case 6: // a piece left out
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 4 * prng.below(8)))])
    case 7: // a piece put in
      return Buffer.concat([bytes.subarray(0, at), prng.bytes(4 * prng.below(8)), bytes.subarray(at)])
    default: {
      // the end of another
      const from = prng.below(other.length + 1) & ~3
      return Buffer.concat([bytes.subarray(0, word), other.subarray(from)])
    }
  }
}
