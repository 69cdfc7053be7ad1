import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { MAX_MESSAGE_BYTES } from '../../../src/base/limits.ts'
import { Prng } from '../../../src/base/prng.ts'
import { encodeFrames, FrameReader } from '../../../src/platform/real/frame-stream.ts'

const test = suite('platform/real/frame-stream.ts')

test('whatever the pieces of the stream, the same frames come out', () => {
  const prng = new Prng(7)
  for (let round = 0; round < 200; round++) {
    const frames = Array.from({ length: prng.between(1, 8) }, () =>
      prng.bytes(prng.pick([1, 3, 4, 5, 100, 16_384, 16_385, 40_000])),
    )
    const stream = Buffer.concat(encodeFrames(frames))
    const arrived: Buffer[] = []
    const reader = new FrameReader((frame) => void arrived.push(Buffer.from(frame)))
    for (let at = 0; at < stream.length; ) {
      const end = Math.min(stream.length, at + prng.pick([1, 2, 3, 5, 1000, 60_000]))
      reader.push(stream.subarray(at, end))
      at = end
    }
    assert.not(reader.midFrame)
    assert.is(arrived.length, frames.length)
    frames.forEach((frame, i) => assert.ok(frame.equals(arrived[i] as Buffer)))
  }
})

test('lengths that cannot be end the stream', () => {
  for (const length of [0, MAX_MESSAGE_BYTES + 1, 0xffffffff]) {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(length)
    const reader = new FrameReader(() => assert.unreachable())
    assert.throws(
      () => reader.push(bytes),
      (error: unknown) => isMatrixError(error, 'protocol'),
    )
  }
})

test('a stream that stops within a length or a frame is seen as cut off', () => {
  const reader = new FrameReader(() => {})
  reader.push(Buffer.from([5, 0]))
  assert.ok(reader.midFrame)
  reader.push(Buffer.from([0, 0, 1]))
  assert.ok(reader.midFrame)
  reader.push(Buffer.from([2, 3, 4, 5]))
  assert.not(reader.midFrame)
})

test('small frames leave as one buffer', () => {
  assert.is(encodeFrames(Array.from({ length: 100 }, () => Buffer.alloc(64))).length, 1)
})

test.run()
