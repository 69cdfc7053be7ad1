import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { inosOfAnswer, volumeNote, volumeQuestion } from '../../../src/recovery/mount-notes.ts'

const test = suite('notes between mounts')
const isProtocol = (error: unknown) => isMatrixError(error, 'protocol')
const sent = (note: unknown) => Buffer.from(JSON.stringify(note))

test('a note is read as it was sent', () => {
  const note = { fsid: 7, durable: 4096, wake: 12, published: { sequence: 3, vector: [[0, 10] as [number, number]] } }
  assert.equal(volumeNote(sent(note)), note)
  assert.equal(volumeNote(sent({ fsid: 7 })), { fsid: 7 })
})

test('what is no note is refused, and does not end the node', () => {
  const bad = [
    Buffer.from('{'),
    Buffer.alloc(0),
    sent(null),
    sent({}),
    sent({ fsid: -1 }),
    sent({ fsid: 1, durable: 0.5 }),
    sent({ fsid: 1, published: { sequence: 1, vector: [[0]] } }),
  ]
  for (const payload of bad) assert.throws(() => volumeNote(payload), isProtocol)
  assert.throws(() => volumeQuestion({ fsid: 1 }), isProtocol)
  assert.throws(() => inosOfAnswer(['1']), isProtocol)
})

test.run()
