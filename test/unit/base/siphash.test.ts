/** SipHash-2-4 against the test vectors of its authors (key 00 … 0f, messages 00 01 …). */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { siphash } from '../../../src/base/siphash.ts'

test('the vectors of the reference implementation', () => {
  const counting = (length: number) => Uint8Array.from({ length }, (_, i) => i)
  const out = new Uint32Array(2)
  for (const [length, expected] of [
    [0, '310e0edd47db6f72'],
    [1, 'fd67dc93c539f874'],
    [2, '5a4fa9d909806c0d'],
    [8, '6224939a79f5f593'],
    [15, 'e545be4961ca29a1'],
    [16, 'db9bc2577fcc2a3f'],
  ] as const) {
    siphash(counting(16), counting(length), out)
    const bytes = Buffer.alloc(8)
    bytes.writeUInt32LE(out[0] as number, 0)
    bytes.writeUInt32LE(out[1] as number, 4)
    assert.is(bytes.toString('hex'), expected, `${length} bytes`)
  }
})

test.run()
