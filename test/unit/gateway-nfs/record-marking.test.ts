/** Records survive any way in which TCP may cut them, and a stream that is not RPC ends with a clear error. */
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FRAGMENTS_MAX, RECORD_MAX } from '../../../src/gateway-nfs/limits.ts'
import { RecordError, RecordReader } from '../../../src/gateway-nfs/rpc/record-marking.ts'

const mark = (length: number, last: boolean) => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length + (last ? 0x80000000 : 0))
  return bytes
}

/** A record in fragments of the given lengths. */
function fragmented(record: Buffer, lengths: readonly number[]): Buffer {
  const parts: Buffer[] = []
  let at = 0
  for (const length of lengths) {
    const end = Math.min(at + length, record.length)
    parts.push(mark(end - at, false), record.subarray(at, end))
    at = end
  }
  parts.push(mark(record.length - at, true), record.subarray(at))
  return Buffer.concat(parts)
}

function collector() {
  const records: Buffer[] = []
  const reader = new RecordReader((bytes, start, end) => {
    records.push(Buffer.from(bytes.subarray(start, end)))
    return true
  })
  return { records, reader }
}

test('three records, one of them in fragments, come out the same for every two cuts', () => {
  const wanted = [Buffer.from('first..!'), Buffer.from('second, in pieces...'), Buffer.from('end.')]
  const stream = Buffer.concat([
    fragmented(wanted[0]!, []),
    fragmented(wanted[1]!, [3, 0, 8]),
    fragmented(wanted[2]!, []),
  ])
  for (let a = 0; a <= stream.length; a++) {
    for (let b = a; b <= stream.length; b++) {
      const { records, reader } = collector()
      for (const chunk of [stream.subarray(0, a), stream.subarray(a, b), stream.subarray(b)]) {
        assert.ok(reader.push(Buffer.from(chunk)))
      }
      assert.equal(records, wanted, `cut at ${a} and ${b}`)
      assert.not(reader.halfway)
    }
  }
})

test('any records in any fragments and chunks', () => {
  const record = fc.tuple(fc.uint8Array({ maxLength: 9000 }), fc.array(fc.nat(3000), { maxLength: 4 }))
  fc.assert(
    fc.property(
      fc.array(record, { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 20 }),
      (wanted, cuts) => {
        const stream = Buffer.concat(wanted.map(([bytes, lengths]) => fragmented(Buffer.from(bytes), lengths)))
        const { records, reader } = collector()
        let at = 0
        for (const cut of [...cuts, stream.length]) {
          reader.push(Buffer.from(stream.subarray(at, at + cut)))
          at += cut
        }
        assert.equal(
          records,
          wanted.map(([bytes]) => Buffer.from(bytes)),
        )
      },
    ),
    { numRuns: 200 },
  )
})

test('a whole record in a chunk is handed over in place', () => {
  const stream = fragmented(Buffer.from('in place'), [])
  let seen: Buffer | undefined
  new RecordReader((bytes) => {
    seen = bytes
    return true
  }).push(stream)
  assert.is(seen, stream)
})

test('when the handler wants no more, the rest waits', () => {
  const records: string[] = []
  let room = 1
  const reader = new RecordReader((bytes, start, end) => {
    records.push(bytes.toString('latin1', start, end))
    return --room > 0
  })
  const stream = Buffer.concat(['a', 'b', 'c'].map((text) => fragmented(Buffer.from(text), [])))
  assert.is(reader.push(stream), false)
  assert.equal(records, ['a'])
  stream.fill(0xee) // the chunk is the caller's again
  room = 5
  assert.is(reader.resume(), true)
  assert.equal(records, ['a', 'b', 'c'])
  assert.is(reader.resume(), true)
})

test('absurd lengths, endless fragments and garbage are refused before memory is spent on them', () => {
  assert.throws(
    () => collector().reader.push(mark(RECORD_MAX + 1, true)),
    (error: Error) => error instanceof RecordError,
  )
  assert.throws(() => collector().reader.push(Buffer.from('GET / HTTP/1.1\r\n\r\n')), /above the limit/)
  const pieces = Buffer.concat([mark(RECORD_MAX - 10, false), Buffer.alloc(RECORD_MAX - 10), mark(11, true)])
  assert.throws(() => collector().reader.push(pieces), /above the limit/)
  const empty = Buffer.concat(Array.from({ length: FRAGMENTS_MAX + 1 }, () => mark(0, false)))
  assert.throws(() => collector().reader.push(empty), /more than/)
})

test('a record begun and not ended is known as such', () => {
  const { reader } = collector()
  assert.not(reader.halfway)
  for (const byte of [0x80, 0, 0, 4, 1, 2, 3]) {
    reader.push(Buffer.from([byte]))
    assert.ok(reader.halfway)
  }
  reader.push(Buffer.from([4]))
  assert.not(reader.halfway)
})

test.run()
