/**
 * SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): a keyed hash of 64 bits for short inputs, which nobody
 * without the key can compute. Words of 64 bits are pairs of 32-bit halves here.
 */
const words = new Int32Array(8) // v0 … v3, each as low, high

/** Key and message are little-endian; gives the low and the high half. */
export function siphash(key: Uint8Array, message: Uint8Array, out: Uint32Array): void {
  const v = words
  const k0 = word(key, 0)
  const k1 = word(key, 4)
  const k2 = word(key, 8)
  const k3 = word(key, 12)
  v[0] = k0 ^ 0x70736575
  v[1] = k1 ^ 0x736f6d65
  v[2] = k2 ^ 0x6e646f6d
  v[3] = k3 ^ 0x646f7261
  v[4] = k0 ^ 0x6e657261
  v[5] = k1 ^ 0x6c796765
  v[6] = k2 ^ 0x79746573
  v[7] = k3 ^ 0x74656462
  const length = message.length
  const whole = length & ~7
  for (let at = 0; at < whole; at += 8) block(v, word(message, at), word(message, at + 4))
  let low = 0
  let high = length << 24
  for (let i = whole; i < length; i++) {
    const byte = message[i] as number
    if (i - whole < 4) low |= byte << (8 * (i - whole))
    else high |= byte << (8 * (i - whole - 4))
  }
  block(v, low, high)
  v[4] = (v[4] as number) ^ 0xff
  for (let i = 0; i < 4; i++) round(v)
  out[0] = (v[0] as number) ^ (v[2] as number) ^ (v[4] as number) ^ (v[6] as number)
  out[1] = (v[1] as number) ^ (v[3] as number) ^ (v[5] as number) ^ (v[7] as number)
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  )
}

function block(v: Int32Array, low: number, high: number): void {
  v[6] = (v[6] as number) ^ low
  v[7] = (v[7] as number) ^ high
  round(v)
  round(v)
  v[0] = (v[0] as number) ^ low
  v[1] = (v[1] as number) ^ high
}

function round(v: Int32Array): void {
  half(v, 0, 2, 13)
  swap(v, 0)
  half(v, 4, 6, 16)
  half(v, 0, 6, 21)
  half(v, 4, 2, 17)
  swap(v, 4)
}

/** a += b; b = (b <<< bits) ^ a */
function half(v: Int32Array, a: number, b: number, bits: number): void {
  const bl = v[b] as number
  const bh = v[b + 1] as number
  const low = ((v[a] as number) >>> 0) + (bl >>> 0)
  const al = low | 0
  const ah = ((v[a + 1] as number) + bh + (low > 0xffffffff ? 1 : 0)) | 0
  v[a] = al
  v[a + 1] = ah
  v[b] = ((bl << bits) | (bh >>> (32 - bits))) ^ al
  v[b + 1] = ((bh << bits) | (bl >>> (32 - bits))) ^ ah
}

/** a <<<= 32 */
function swap(v: Int32Array, a: number): void {
  const low = v[a] as number
  v[a] = v[a + 1] as number
  v[a + 1] = low
}
