import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Files, RandomAccessFile } from '../../../src/platform/files.ts'
import { FileLun } from '../../../src/san/index.ts'

const test = suite('san: file LUN')

/** A file whose flushes end when the test says so. */
class SlowFile implements RandomAccessFile {
  size = 1 << 20
  readonly log: string[] = []
  readonly flushes: { resolve: () => void; reject: (error: Error) => void }[] = []

  async read(): Promise<void> {}
  async write(offset: number): Promise<void> {
    this.log.push(`write ${offset}`)
  }
  flush(): Promise<void> {
    this.log.push('flush')
    return new Promise((resolve, reject) => this.flushes.push({ resolve, reject }))
  }
  async measure(): Promise<number> {
    return this.size
  }
  async close(): Promise<void> {}
}

async function setUp() {
  const file = new SlowFile()
  const files: Pick<Files, 'open'> = { open: async () => file }
  return { file, lun: await FileLun.open('/lun', files) }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))
const journal = { purpose: 'journal', durable: true } as const
const sector = [Buffer.alloc(512)]

test('two flushes at a time; who asks meanwhile shares the next, and none is answered by a flush begun before', async () => {
  const { file, lun } = await setUp()
  const answered: number[] = []
  const write = (i: number) => void lun.write(i * 512, sector, journal).then(() => answered.push(i))
  write(0)
  await turn()
  write(1)
  write(2)
  await turn()
  assert.equal(file.log, ['write 0', 'flush', 'write 512', 'write 1024', 'flush'])
  write(3)
  write(4)
  await turn()
  assert.is(file.flushes.length, 2, 'two are under way')
  file.flushes[1].resolve()
  await turn()
  assert.equal(answered, [1, 2])
  assert.is(file.flushes.length, 3, 'one flush for the two that waited')
  file.flushes[0].resolve()
  await turn()
  assert.equal(answered, [1, 2, 0])
  file.flushes[2].resolve()
  await turn()
  assert.equal(answered, [1, 2, 0, 3, 4])
  write(5)
  await turn()
  assert.is(file.flushes.length, 4, 'an idle LUN flushes at once')
})

test('a failed flush is final: the next one would lie about what was lost', async () => {
  const { file, lun } = await setUp()
  const outcomes: string[] = []
  const note = (promise: Promise<void>) =>
    void promise.then(
      () => outcomes.push('done'),
      (error) => outcomes.push(error.message),
    )
  note(lun.flush())
  await turn()
  note(lun.flush())
  await turn()
  note(lun.flush())
  file.flushes[0].reject(new Error('EIO'))
  await turn()
  file.flushes[1].resolve() // it may have found nothing left to write: no proof of anything
  await turn()
  note(lun.write(0, sector, journal))
  note(lun.write(0, sector, { purpose: 'data' }))
  await turn()
  assert.equal(outcomes.sort(), ['EIO', 'EIO', 'EIO', 'EIO', 'done'])
  assert.is(file.flushes.length, 2)
})

test.run()
