/** The end of the log: what is kept of it, and that all of it goes on. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LogTail } from '../../../src/admin/index.ts'
import { createLog } from '../../../src/platform/real/log.ts'

test('warnings and errors are kept with the fields of the logs above them; everything is passed on', () => {
  const written: string[] = []
  const tail = new LogTail(() => 4711)
  const heard: string[] = []
  tail.onLine = ({ message }) => heard.push(message)
  const log = tail.behind(createLog({ destination: { write: (line) => void written.push(line) } }))
  const child = log.child({ filesystem: 'home' })
  child.info({ a: 1 }, 'all is well')
  child.warn({ lun: 'lun1', error: new Error('broken') }, 'a LUN is slow')
  log.error({ bytes: 7n }, 'the node halts')
  assert.is(written.length, 3)
  assert.equal(tail.lines, [
    {
      ...{ at: 4711, level: 'warn', message: 'a LUN is slow' },
      fields: '{"filesystem":"home","lun":"lun1","error":"broken"}',
    },
    { at: 4711, level: 'error', message: 'the node halts', fields: '{"bytes":"7"}' },
  ])
  assert.equal(heard, ['a LUN is slow', 'the node halts'])
})

test('it keeps the last ones, each of bounded length', () => {
  const tail = new LogTail(() => 0)
  const log = tail.behind(createLog({ level: 'silent' }))
  for (let i = 0; i < 500; i++) log.warn({ i, text: 'x'.repeat(5000) }, `line ${i}`)
  assert.is(tail.lines.length, 200)
  assert.is(tail.lines.at(-1)?.message, 'line 499')
  assert.ok(tail.lines.every(({ fields }) => fields.length <= 2000))
})

test.run()
