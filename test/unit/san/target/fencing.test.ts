/** Who is kept out is kept out: nothing of a victim lands after PREEMPT, an abort, a reset, a cut or a new session was answered, wherever it was. */
// time limit: 240 s
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RandomAccessFile } from '../../../../src/platform/files.ts'
import { realHost } from '../../../../src/platform/real/host.ts'
import { OwnTarget } from '../../../helpers/own-target.ts'
import { RawInitiator, RawPdus, transferCdb } from '../../../helpers/raw-initiator.ts'

const test = suite('san: fencing at the target')
const [A, B, C] = ['iqn.x:a', 'iqn.x:b', 'iqn.x:c'].map((initiator) => ({ initiator })) as [object, object, object]
const TASK_ABORTED = '40'
const CONFLICT = '18'
const ALL = 7

/** Writes to images wait here. */
const gate = { isClosed: false, waiting: [] as (() => void)[] }
function openGate(): void {
  gate.isClosed = false
  for (const go of gate.waiting.splice(0)) go()
}
function gated(file: RandomAccessFile, path: string): RandomAccessFile {
  if (!path.endsWith('.img')) return file
  return {
    size: file.size,
    measure: () => file.measure(),
    read: (...args) => file.read(...args),
    flush: () => file.flush(),
    close: () => file.close(),
    async write(...args) {
      if (gate.isClosed) await new Promise<void>((resolve) => gate.waiting.push(resolve))
      await file.write(...args)
    },
  }
}

const own = new OwnTarget({ portals: 2, wrapFile: gated })
test.before(() => own.start())
test.after(() => own.dispose())

const opened: { end(): void }[] = []
async function open(options: object, portal = 1): Promise<RawInitiator> {
  const raw = await RawInitiator.open(own.url(1, '', portal), options)
  opened.push(raw)
  return raw.settle()
}
test.after.each(async () => {
  openGate()
  own.target.removeFaults()
  own.target.heal({})
  for (const each of opened.splice(0)) each.end()
  const raw = await RawInitiator.open(own.url(1), C)
  await raw.settle()
  await raw.reserveOut('register-ignore', 0n, { second: 99n })
  assert.is(await raw.reserveOut('clear', 99n), '00')
  raw.end()
})

const block = (value: number, count = 1): Buffer => Buffer.alloc(512 * count, value)
async function reserved(): Promise<readonly [a: RawInitiator, b: RawInitiator]> {
  const [a, b] = [await open(A), await open(B)]
  assert.is(await a.reserveOut('register', 0n, { second: 1n }), '00')
  assert.is(await b.reserveOut('register', 0n, { second: 2n }), '00')
  assert.is(await a.reserveOut('reserve', 1n, { type: ALL }), '00')
  return [a, b]
}
/** Long enough for what could still land. */
const aMoment = () => sleep(100)

async function isOpen(work: Promise<unknown>): Promise<boolean> {
  return Promise.race([work.then(() => false), sleep(50).then(() => true)])
}

for (const action of ['preempt', 'preempt-abort'] as const) {
  test(`${action}: a write that waits in the target does not land`, async () => {
    const [a, b] = await reserved()
    assert.is(await a.write(0, block(1)), '00')
    own.target.addFault({ initiator: 'iqn.x:b', operation: 'write', delayMs: 400 })
    const victim = b.write(0, block(2))
    await sleep(50)
    assert.is(await a.reserveOut(action, 1n, { second: 2n, type: ALL }), '00')
    if (action === 'preempt-abort') assert.is(await victim, TASK_ABORTED)
    else assert.is(await victim, CONFLICT)
    await aMoment()
    assert.equal(await a.read(0), block(1))
    assert.is(await b.outcome(Buffer.alloc(6)), '02 6 2a05', 'the victim is told')
    assert.is(await b.write(0, block(2)), CONFLICT)
    assert.equal(await a.keys(), [1n])
  })

  test(`${action}: a write that is on its way to the disk is waited for`, async () => {
    const [a, b] = await reserved()
    gate.isClosed = true
    const victim = b.write(1, block(2))
    while (gate.waiting.length === 0) await sleep(5)
    const fence = a.reserveOut(action, 1n, { second: 2n, type: ALL })
    assert.ok(await isOpen(fence), 'it was answered while the write was under way')
    openGate()
    assert.is(await fence, '00')
    await victim
    assert.is(await a.write(1, block(1)), '00')
    await aMoment()
    assert.equal(await a.read(1), block(1))
  })

  test(`${action}: a write of which the data is yet to come does not land`, async () => {
    const [a, b] = await reserved()
    b.end()
    const victim = await RawPdus.open(own.url(1), B)
    opened.push(victim)
    victim.command(7, Buffer.alloc(16), 0, 0x80)
    assert.is((await victim.next()).bhs[3], 2, 'a unit attention')
    victim.command(8, transferCdb(0x2a, 2, 1), 512, 0xa0)
    const r2t = await victim.next()
    assert.is(r2t.bhs[0], 0x31)
    assert.is(await a.reserveOut(action, 1n, { second: 2n, type: ALL }), '00')
    assert.is(await a.write(2, block(1)), '00')
    victim.answerR2t(r2t, block(2))
    const answer = await victim.next()
    assert.equal([answer.bhs[0], answer.bhs[3]], [0x21, action === 'preempt' ? 0x18 : 0x40])
    await aMoment()
    assert.equal(await a.read(2), block(1))
  })
}

test('500 victims that write as fast as they can: none of their writes is found after the first of the successor', async () => {
  const BLOCKS = 32
  for (let trial = 0; trial < 500; trial++) {
    const [a, b] = await reserved()
    let isOver = false
    const conflicts: string[] = []
    const work = async (at: number): Promise<void> => {
      while (!isOver) {
        const outcome = await b.write(at, block(2))
        if (outcome === CONFLICT) isOver = true
        if (outcome !== '00') conflicts.push(outcome)
      }
    }
    const victims = Array.from({ length: BLOCKS }, (_, at) => work(at))
    await sleep(realHost.random(1)[0]! / 32)
    const action = trial % 2 === 0 ? 'preempt-abort' : 'preempt'
    assert.is(await a.reserveOut(action, 1n, { second: 2n, type: ALL }), '00')
    assert.is(await a.write(0, block(1, BLOCKS)), '00')
    await Promise.all(victims)
    assert.equal(await a.read(0, BLOCKS), block(1, BLOCKS), `trial ${trial}`)
    assert.ok(conflicts.includes(CONFLICT))
    assert.is(await a.reserveOut('clear', 1n), '00')
    a.end()
    b.end()
  }
})

test('with Write Exclusive, All Registrants, a stranger reads and does not write, nor unmap, nor write the same', async () => {
  const [a] = await reserved()
  const stranger = await open(C)
  assert.is(await a.write(3, block(1)), '00')
  assert.equal(await stranger.read(3), block(1))
  assert.is(await stranger.write(3, block(3)), CONFLICT)
  assert.is(await stranger.outcome(transferCdb(0x41, 3, 1), { write: block(3) }), CONFLICT)
  const unmap = Buffer.alloc(24)
  unmap.writeUInt16BE(22)
  unmap.writeUInt16BE(16, 2)
  unmap.writeUInt32BE(3, 12)
  unmap.writeUInt32BE(1, 16)
  assert.is(await stranger.outcome(Buffer.of(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), { write: unmap }), CONFLICT)
  const compare = Buffer.alloc(16)
  compare[0] = 0x89
  compare[9] = 3
  compare[13] = 1
  assert.is(await stranger.outcome(compare, { write: Buffer.concat([block(1), block(3)]) }), CONFLICT)
  assert.is(await stranger.outcome(transferCdb(0x35, 0, 0)), CONFLICT, 'SYNCHRONIZE CACHE')
  assert.equal(await a.read(3), block(1))
  assert.is(await a.outcome(Buffer.of(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), { write: unmap }), '00')
  assert.equal(await a.read(3), block(0))
})

test('a registration belongs to the port by which it was made, and outlasts the session', async () => {
  const [, b] = await reserved()
  const elsewhere = await open(B, 2)
  assert.is(await elsewhere.write(4, block(2)), CONFLICT)
  b.end()
  const again = await open(B)
  assert.is(await again.write(4, block(2)), '00')
})

test('a new session of the same initiator and ISID ends the commands of the old one before it begins', async () => {
  const old = await open(A)
  own.target.addFault({ operation: 'write', delayMs: 300, count: 1 })
  const lost = old.write(5, block(2)).catch((error: Error) => error.name)
  await sleep(50)
  const anew = await open(A)
  assert.is(await lost, 'ConnectionLost')
  assert.is(await anew.write(5, block(1)), '00')
  await sleep(400)
  assert.equal(await anew.read(5), block(1))
})

test('a command that is aborted at its deadline does not land afterwards', async () => {
  const a = await open(A)
  assert.is(await a.write(6, block(1)), '00')
  own.target.addFault({ operation: 'write', hang: true, count: 1 })
  const late = await a.write(6, block(2), { limitMs: 50 }).catch((error: Error) => error.name)
  assert.is(late, 'CommandAborted')
  assert.equal(await a.read(6), block(1))
})

test('a command that is aborted while it waits for another at the same blocks does not land either', async () => {
  const [a, b] = [await open(A), await open(B)]
  gate.isClosed = true
  const first = a.write(11, block(1))
  while (gate.waiting.length === 0) await sleep(5)
  const second = b.write(11, block(2), { limitMs: 50 }).catch((error: Error) => error.name)
  // until it is looked at, and the target asked to abort it
  await sleep(1500)
  openGate()
  assert.equal([await first, await second], ['00', 'CommandAborted'])
  await aMoment()
  assert.equal(await a.read(11), block(1))
})

test('LUN RESET ends the commands of all, tells them, and leaves persistent reservations', async () => {
  const [a, b] = await reserved()
  own.target.addFault({ operation: 'write', hang: true })
  const victim = b.write(7, block(2))
  a.end()
  const reset = await RawPdus.open(own.url(1), C)
  opened.push(reset)
  await sleep(50)
  const bhs = Buffer.alloc(48)
  bhs[0] = 0x42
  bhs[1] = 0x85
  bhs[9] = 1
  bhs.writeUInt32BE(0xffffffff, 20)
  reset.pdus.send(bhs)
  const answer = await reset.next()
  assert.equal([answer.bhs[0], answer.bhs[2]], [0x22, 0])
  assert.is(await victim, TASK_ABORTED)
  assert.is(await b.outcome(Buffer.alloc(6)), '02 6 2903')
  assert.is(await b.reservationType(), ALL)
})

test('a port that was disabled lets nothing through, nobody in, and others alone, until it is enabled', async () => {
  const [a, b] = [await open(A), await open(B)]
  const other = await open(B, 2)
  own.target.addFault({ initiator: 'iqn.x:b', portal: 1, operation: 'write', delayMs: 200 })
  assert.is(await a.write(8, block(1)), '00')
  const victim = b.write(8, block(2)).catch((error: Error) => error.name)
  await sleep(50)
  await own.target.cut({ initiator: 'iqn.x:z', mode: 'silent' })
  await own.target.cut({ initiator: 'iqn.x:b', portal: 1, mode: 'refuse' })
  assert.is(await victim, 'ConnectionLost')
  await sleep(300)
  assert.equal(await a.read(8), block(1))
  await RawInitiator.open(own.url(1), B).then(
    () => assert.unreachable(),
    (error) => assert.match(error.message, /connection was lost/),
  )
  assert.equal(await other.read(8), block(1))
  assert.is(own.target.heal({ initiator: 'iqn.x:b' }), 1)
  assert.is(await (await open(B)).write(8, block(2)), '00')
})

test('a cable that is pulled: nothing passes, and what waited goes on when it is plugged in again', async () => {
  const [a, b] = [await open(A), await open(B)]
  await own.target.cut({ initiator: 'iqn.x:b', mode: 'silent' })
  assert.is(await a.write(9, block(1)), '00')
  const waiting = b.write(9, block(2))
  assert.ok(await isOpen(waiting))
  assert.equal(await a.read(9), block(1))
  assert.is(own.target.heal({}), 1)
  assert.is(await waiting, '00')
  assert.equal(await a.read(9), block(2), 'as with TCP, it lands late: only a reservation keeps it out')
})

test('reservations outlast a power loss where that was asked for, and only there', async () => {
  for (const aptpl of [true, false]) {
    const a = await open(A)
    await a.reserveOut('register-ignore', 0n, { second: 1n, aptpl })
    assert.is(await a.reserveOut('reserve', 1n, { type: ALL }), '00')
    await own.target.powerLoss({ downMs: 0, survive: 0 })
    while (a.ended === undefined) await sleep(5)
    const b = await open(B)
    assert.equal(await b.keys(), aptpl ? [1n] : [])
    assert.is(await b.write(10, block(2)), aptpl ? CONFLICT : '00')
    await own.stop()
    await own.start()
    const again = await open(A)
    assert.is(await again.write(10, block(1)), '00', 'the initiator still is who it was')
    assert.equal(await again.keys(), aptpl ? [1n] : [])
    await again.reserveOut('register-ignore', 0n, { second: 1n })
    assert.is(await again.reserveOut('clear', 1n), '00')
  }
})

test.run()
