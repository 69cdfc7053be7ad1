/** `sg_persist` against a program that answers as it does, status for status and line for line (sg3-utils 1.47): there is no SCSI device here. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, MatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import type { ProgramEnd, ProgramRun } from '../../../src/platform/programs.ts'
import { SgPersist } from '../../../src/san/drivers/sg-persist.ts'
import { registrationKey } from '../../../src/san/index.ts'

const test = suite('san: sg_persist')

const own = registrationKey({ slot: 0, incarnation: 1 })
const other = registrationKey({ slot: 1, incarnation: 0x2a })

type Answer = Partial<ProgramEnd> | Error

/** Answers in turn; the last again and again. */
function scene(...answers: Answer[]) {
  const runs: ProgramRun[] = []
  const programs = {
    run: async (run: ProgramRun): Promise<ProgramEnd> => {
      runs.push(run)
      const answer = (answers.length > 1 ? answers.shift() : answers[0]) as Answer
      if (answer instanceof Error) throw answer
      return { how: 'exited', code: 0, output: [''], ...answer }
    },
  }
  const args = () => runs.map((run) => run.args.join(' '))
  return { device: new SgPersist({ path: '/dev/sdb', programs, timeoutMs: 900 }), runs, args }
}

async function refused(work: Promise<unknown>, code: MatrixErrorCode, message: RegExp): Promise<void> {
  const error = await work.then(
    (value) => value,
    (caught) => caught,
  )
  assert.ok(isMatrixError(error, code), String(error))
  assert.match(error.message, message)
}

const lines = (text: string): Answer => ({ output: text.split('\n') })

test('keys: none, one, several, the same one by several ways', async () => {
  const none = scene(lines('  PR generation=0x0, there are NO registered reservation keys'))
  assert.equal(await none.device.readKeys(), [])
  assert.equal(none.args(), ['--no-inquiry --in --read-keys /dev/sdb'])
  assert.is(none.runs[0]?.path, '/usr/bin/sg_persist')
  assert.is(none.runs[0]?.timeoutMs, 900)
  const one = scene(lines('  PR generation=0x1, 1 registered reservation key follows:\n    0x4d78000000000001'))
  assert.equal(await one.device.readKeys(), [own])
  const three = scene(
    lines(
      '  PR generation=0x9, 3 registered reservation keys follow:\n    0x4d78000000000001\n    0x4d7801000000002a\n    0x4d7801000000002a',
    ),
  )
  assert.equal(await three.device.readKeys(), [own, other, other])
})

test('keys that are missing, or that nobody understands, are no keys at all', async () => {
  for (const text of [
    '',
    '    0x4d78000000000001',
    '  PR generation=0x9, 2 registered reservation keys follow:\n    0x4d78000000000001',
    '  PR generation=0x9, 1 registered reservation key follows:\n    4d78',
    '  PR generation=0x9, 0 registered reservation keys follow:',
  ])
    await refused(scene(lines(text)).device.readKeys(), 'lun-io', /what nobody understands/)
})

test('the reservation: none, ours, of another type, of a type that nobody knows', async () => {
  const read = (text: string) => scene(lines(text)).device.readReservation()
  assert.is(await read('  PR generation=0x2, there is NO reservation held'), undefined)
  const held = (type: string) =>
    `  PR generation=0x2, Reservation follows:\n    Key=0x4d78000000000001\n    scope: LU_SCOPE,  type: ${type}`
  assert.equal(await read(held('Write Exclusive, all registrants')), { type: 7, key: own })
  assert.equal(await read(held('Write Exclusive')), { type: 1, key: own })
  assert.equal(await read(held('Exclusive Access, registrants only')), { type: 6, key: own })
  await refused(read(held('obsolete [9]')), 'lun-io', /what nobody understands/)
  await refused(read(''), 'lun-io', /what nobody understands/)
})

test('register, reserve, unregister: what is asked for', async () => {
  const { device, args } = scene({})
  await device.register(own)
  await device.reserve(own)
  await device.unregister(own)
  assert.equal(args(), [
    '--no-inquiry --out --register-ignore --param-sark=0x4d78000000000001 --param-aptpl /dev/sdb',
    '--no-inquiry --out --reserve --param-rk=0x4d78000000000001 --prout-type=7 /dev/sdb',
    '--no-inquiry --out --register --param-rk=0x4d78000000000001 --param-sark=0x0 /dev/sdb',
  ])
})

test('a device that keeps nothing through a power loss is registered at all the same', async () => {
  const { device, args } = scene({ code: 5 }, {})
  await device.register(own)
  await device.register(own)
  assert.equal(
    args().map((each) => each.includes('--param-aptpl')),
    [true, false, false],
  )
})

test('preempt and abort; a device that cannot abort says so once', async () => {
  const able = scene({})
  assert.is(await able.device.preempt(own, other), 'aborted')
  const keys = '--param-rk=0x4d78000000000001 --param-sark=0x4d7801000000002a --prout-type=7 /dev/sdb'
  assert.equal(able.args(), [`--no-inquiry --out --preempt-abort ${keys}`])
  const unable = scene({ code: 5 }, {})
  assert.is(await unable.device.preempt(own, other), 'preempted')
  assert.is(await unable.device.preempt(own, other), 'preempted')
  const preempt = `--no-inquiry --out --preempt ${keys}`
  assert.equal(unable.args(), [`--no-inquiry --out --preempt-abort ${keys}`, preempt, preempt])
})

test('a conflict is told from everything else', async () => {
  await refused(
    scene({ code: 24 }).device.reserve(own),
    'lun-reserved',
    /reservation conflict: this host is not registered/,
  )
  await refused(scene({ code: 24 }).device.preempt(own, other), 'lun-reserved', /preempt-abort/)
  await refused(
    scene({ code: 9 }).device.readKeys(),
    'config',
    /does not know what sg_persist --in --read-keys asks for/,
  )
  await refused(scene({ code: 72 }).device.readKeys(), 'config', /\/dev\/sdb is no SCSI device/)
  await refused(scene({ code: 15, output: ['cannot open'] }).device.readKeys(), 'lun-io', /with 15: cannot open/)
  await refused(scene({ how: 'timeout' }).device.readKeys(), 'timeout', /it hung for 900 ms/)
  await refused(
    scene({ how: 'killed', code: undefined } as Answer).device.readKeys(),
    'lun-io',
    /killed with no status/,
  )
  const absent = new MatrixError('not-found', '/usr/bin/sg_persist cannot be started: ENOENT')
  await refused(scene(absent).device.readKeys(), 'config', /install sg3-utils/)
})

test('a unit attention, or a device that is busy, is asked again, but not for ever', async () => {
  const keys = lines('  PR generation=0x1, 1 registered reservation key follows:\n    0x4d78000000000001')
  const { device, runs } = scene({ code: 6 }, { code: 26 }, keys)
  assert.equal(await device.readKeys(), [own])
  assert.is(runs.length, 3)
  const busy = scene({ code: 26, output: ['busy'] })
  await refused(busy.device.readKeys(), 'lun-io', /with 26: busy/)
  assert.is(busy.runs.length, 10)
})

test.run()
