/**
 * What is asked of a target (docs/iscsi.md), of a real one: tgt, whose disk hangs in the middle of a write. The old copy of a write never lands after the
 * new one; and what a process that was killed had sent does land after it is gone, which is why it is waited for.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { silentLog } from '../../../../src/platform/index.ts'
import { realHost } from '../../../../src/platform/real/host.ts'
import { realProcesses } from '../../../../src/platform/real/processes.ts'
import { formatAddress } from '../../../../src/platform/transport.ts'
import { IscsiSession } from '../../../../src/san/iscsi/session.ts'
import { Paths } from '../../../../src/san/paths.ts'
import { encodeLun } from '../../../../src/san/scsi/answers.ts'
import { writeBlocks } from '../../../../src/san/scsi/command.ts'
import { runCommand } from '../../../../src/san/scsi/run-command.ts'
import { FrozenDisk, noFrozenDisk } from '../../../helpers/frozen-disk.ts'
import { noTgt, Tgt } from '../../../helpers/tgt.ts'

const missing = noTgt() ?? noFrozenDisk()
if (missing) process.stderr.write(`skipped: ${missing}\n`)
const check = missing ? test.skip : test
const ROUNDS = 5
const BLOCKS = 8
let disk: FrozenDisk
let target: Tgt

/** Without a look at the device, whose SYNCHRONIZE CACHE would wait for everything before it: what is left is the target's own promise. */
function open(): Promise<IscsiSession> {
  return IscsiSession.open({
    host: realHost,
    paths: new Paths([{ host: '127.0.0.1', port: target.port }], formatAddress, realHost.clock),
    ...{ limitMs: 10_000, lookMs: 60_000, lifeMs: 20_000 },
    login: {
      initiatorName: 'iqn.2026-11.net.matrixfs.test:i1',
      targetName: Tgt.iqn,
      isid: Buffer.from('800102030405', 'hex'),
      digests: false,
      random: realHost.random,
    },
    lun: encodeLun(1),
    timings: { idleMs: 20_000, answerMs: 20_000 },
    afterlifeMs: 20_000,
    log: silentLog,
    identity: 'tgt',
    verify: async () => {},
  })
}

function onDisk(block: number): number {
  const fd = openSync(target.image(1), 'r')
  const byte = Buffer.alloc(1)
  readSync(fd, byte, 0, 1, block * 512)
  closeSync(fd)
  return byte[0] as number
}

test.before(async () => {
  if (missing) return
  disk = new FrozenDisk(128 * 2 ** 20)
  target = new Tgt({ luns: 1, lunBytes: 32 * 2 ** 20, images: disk.dir })
  await target.start()
})

check('a write that the disk still holds when its session is reinstated never lands after a newer one', async () => {
  const session = await open()
  const deadlineAt = realHost.clock.now() + 60_000
  const write = (block: number, value: number, isSuperseded = () => false) => {
    const command = writeBlocks(block, BLOCKS, [Buffer.alloc(512 * BLOCKS, value)], { fua: true, isSuperseded })
    const { clock } = realHost
    return runCommand((each) => session.execute(each, deadlineAt), command, { clock, deadlineAt, identity: 'tgt' })
  }
  for (let round = 0; round < ROUNDS; round++) {
    const block = BLOCKS * round
    await write(block, 1)
    disk.freeze()
    const older = write(block, 2, () => true).then(
      () => 'answered',
      (error) => String(error),
    )
    await sleep(20 + 10 * round)
    session.renew('cut')
    const newer = write(block, 3)
    assert.match(await older, /not sent again/)
    await sleep(20)
    disk.goOn()
    await newer
    assert.is(onDisk(block), 3, `round ${round}`)
    await sleep(50)
    assert.is(onDisk(block), 3, `round ${round}: the older write came last`)
  }
  await session.close()
})

check('what a process had sent lands although it was killed long ago', async () => {
  const session = await open()
  await session.close()
  const block = 4096
  const child = spawn(
    process.execPath,
    [new URL('./writer-child.ts', import.meta.url).pathname, target.url(1), `${block}`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  await new Promise((resolve) => child.stdout.once('data', resolve))
  disk.freeze()
  await sleep(100)
  const identity = realProcesses.self()
  child.kill('SIGKILL')
  await new Promise((resolve) => child.once('exit', resolve))
  assert.is(realProcesses.state({ ...identity, pid: child.pid as number, startTime: 0 }), 'gone')
  const before = onDisk(block)
  await sleep(100)
  assert.is(onDisk(block), before)
  disk.goOn()
  for (let waited = 0; onDisk(block) === before && waited < 5000; waited += 10) await sleep(10)
  assert.is.not(onDisk(block), before)
})

test.after(async () => {
  if (missing) return
  await target.dispose()
  disk.dispose()
})

test.run()
