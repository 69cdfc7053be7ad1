/** The initiator and targets that do not behave: a clear error, no crash, and nothing in the wrong place. */
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { timingsFrom } from '../../../../src/base/timings.ts'
import type { Lun } from '../../../../src/san/index.ts'
import { openLun } from '../../../../src/san/index.ts'
import { encodePdu, NO_TAG, newBhs, type Pdu } from '../../../../src/san/iscsi/pdu.ts'
import { failure } from '../../../helpers/lun-answers.ts'
import { isLogin, operationOf, ScriptedTarget, type Served } from './scripted-target.ts'

const test = suite<{ target: ScriptedTarget }>('san: iSCSI targets that misbehave', { target: new ScriptedTarget() })
const URL = 'iscsi://array/iqn.2026-11.net.matrixfs.test:t1/1'
const data = { purpose: 'data' } as const
const [READ, WRITE] = [0x88, 0x8a]

function open(target: ScriptedTarget, ioTimeoutMs = 4000): Promise<Lun> {
  return openLun(URL, target.host, { timings: timingsFrom(ioTimeoutMs), log: target.log })
}

const tagOf = ({ bhs }: Pdu) => bhs.readUInt32BE(16)

/** Meddles with the first command of this kind. */
function once(target: ScriptedTarget, operation: number, act: (tag: number, served: Served) => void): void {
  let isDone = false
  target.meddle = (request, served) => {
    if (isDone || operationOf(request) !== operation) return false
    isDone = true
    served.cmdSn++
    act(tagOf(request), served)
    return true
  }
}

test.before.each((context) => {
  context.target = new ScriptedTarget()
})

for (const [status, expected] of [
  [0x0101, /config: .*moved to another address/],
  [0x0201, /config: .*demands a secret/],
  [0x0202, /config: .*does not let initiator iqn\..* in/],
  [0x0206, /lun-io: .*too many connections/],
  [0x0301, /lun-io: .*cannot serve now/],
  [0x020b, /protocol: .*refuses the login \(login status 020b\)/],
] as const) {
  test(`login status ${status.toString(16)} is told in words`, async ({ target }) => {
    target.meddle = (request, served) => {
      if (isLogin(request)) served.loginStatus(request, status)
      return isLogin(request)
    }
    assert.match(await failure(open(target)), expected)
  })
}

for (const [what, bytes, expected] of [
  [
    'a web server',
    Buffer.from('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'),
    /lun-io|protocol/,
  ],
  ['zeroes', Buffer.alloc(48), /protocol: .*does not answer a login as an iSCSI target does/],
  [
    'an endless PDU',
    Buffer.concat([Buffer.of(0x23, 0, 0, 0, 0, 0xff, 0xff, 0xff), Buffer.alloc(40)]),
    /16777215 bytes in one PDU; 262144 are/,
  ],
  ['an additional header', Buffer.concat([Buffer.of(0x23, 0, 0, 0, 9), Buffer.alloc(43)]), /additional header/],
] as const) {
  test(`who answers a login with ${what} is no target`, async ({ target }) => {
    target.meddle = (request, served) => {
      if (isLogin(request)) served.raw(bytes)
      return isLogin(request)
    }
    assert.match(await failure(open(target)), expected)
  })
}

test('a login without an end is given up: silence, text that goes on, a stage that never ends', async ({ target }) => {
  target.meddle = (request) => isLogin(request)
  assert.match(await failure(open(target, 100)), /lun-io: .*did not complete the login within 100 ms/)
  target.meddle = (request, served) => {
    if (isLogin(request)) served.answer(0x23, 0x40, tagOf(request), () => {}, Buffer.alloc(8192, 'a=b\0'))
    return isLogin(request)
  }
  assert.match(await failure(open(target)), /protocol: .*no end/)
  target.meddle = (request, served) => {
    if (isLogin(request)) served.answer(0x23, 0x00, tagOf(request), () => {})
    return isLogin(request)
  }
  assert.match(await failure(open(target)), /protocol: .*does not end the security stage/)
})

for (const [key, value] of [
  ['MaxBurstLength', '99999999'],
  ['FirstBurstLength', '12'],
  ['MaxRecvDataSegmentLength', 'many'],
  ['ImmediateData', 'Maybe'],
  ['DataPDUInOrder', 'No'],
  ['ErrorRecoveryLevel', '2'],
  ['HeaderDigest', 'CRC32C'],
] as const) {
  test(`an answer that was not offered is refused: ${key}=${value}`, async ({ target }) => {
    target.parameters = [[key, value]]
    assert.match(await failure(open(target)), new RegExp(`(protocol|config): .*${key}`))
  })
}

const PATTERN = Buffer.from(Array.from({ length: 8192 }, (_, i) => (i * 7 + (i >> 9)) & 255))

for (const [what, act, reason] of [
  [
    'data for a command that is not under way',
    (tag, served) => served.dataIn(tag + 1000, Buffer.alloc(512)),
    /which is not under way/,
  ],
  [
    'data beyond the end of the buffer',
    (tag, served) => served.dataIn(tag, Buffer.alloc(16_384)),
    /16384 bytes for 0 came/,
  ],
  ['data for another place', (tag, served) => served.dataIn(tag, Buffer.alloc(512), { offset: 512 }), /for 512 came/],
  ['data out of turn', (tag, served) => served.dataIn(tag, Buffer.alloc(512), { sn: 3 }), /number 3/],
  ['success without the data', (tag, served) => served.status(tag, 0), /done after 0 of 8192 bytes/],
  ['R2T for a read', (tag, served) => served.r2t(tag, 0, 512), /not its turn/],
  [
    'a response that was not due',
    (tag, served) => {
      served.statSn += 5
      served.status(tag, 0)
    },
    /one was lost/,
  ],
  [
    'a response of failure',
    (tag, served) => served.answer(0x21, 0x80, tag, (bhs) => (bhs[2] = 1)),
    /the target failed/,
  ],
  [
    'Reject',
    (tag, served) => served.answer(0x3f, 0x80, tag, (bhs) => (bhs[2] = 4), Buffer.alloc(48)),
    /rejected a PDU \(reason 04h\)/,
  ],
  ['an opcode that nobody knows', (tag, served) => served.answer(0x3c, 0x80, tag, () => {}), /kind 3ch/],
  [
    'a request for logout',
    (_tag, served) => served.answer(0x32, 0x80, NO_TAG, (bhs) => (bhs[36] = 1)),
    /asks for a logout/,
  ],
  [
    'the end of all commands of the LUN',
    (_tag, served) => served.answer(0x32, 0x80, NO_TAG, (bhs) => (bhs[36] = 5)),
    /ends all commands/,
  ],
  ['the end of the connection', (_tag, served) => served.close('closed by the peer'), /closed by the peer/],
  [
    'half a PDU and then the end',
    (tag, served) => {
      served.raw(Buffer.alloc(20, tag))
      setTimeout(() => served.close('closed by the peer'), 20)
    },
    /closed by the peer/,
  ],
  [
    'an abort that nobody asked for',
    (_tag, served) => served.answer(0x22, 0x80, 9999, () => {}),
    /an abort that nobody asked for/,
  ],
] as [string, (tag: number, served: Served) => void, RegExp][]) {
  test(`${what}: the session is made anew, and the read is right after all`, async ({ target }) => {
    PATTERN.copy(target.disk, 4096)
    const lun = await open(target)
    once(target, READ, act)
    const buffer = Buffer.alloc(8192)
    await lun.read(4096, buffer)
    assert.ok(buffer.equals(PATTERN))
    assert.match(target.warnings.join('; '), reason)
    assert.is(target.connections.length, 2)
    const isids = target.connections.map(({ requests }) => requests[0]!.bhs.toString('hex', 8, 14))
    assert.is(isids[0], isids[1], 'the same session')
    await lun.close()
  })
}

for (const [what, act] of [
  ['from another place', (tag, served) => served.r2t(tag, 6144, 512)],
  ['beyond its end', (tag, served) => served.r2t(tag, 4096, 65_536)],
  ['of nothing', (tag, served) => served.r2t(tag, 4096, 0)],
  ['more than a burst', (tag, served) => served.r2t(tag, 4096, 2 ** 31)],
  ['of another command', (tag, served) => served.r2t(tag + 1, 4096, 512)],
] as [string, (tag: number, served: Served) => void][]) {
  test(`R2T ${what}: nothing is sent for it, and the write lands after all`, async ({ target }) => {
    const lun = await open(target)
    once(target, WRITE, act)
    await lun.write(8192, [PATTERN], data)
    assert.ok(target.disk.subarray(8192, 16_384).equals(PATTERN))
    assert.is(target.landed, 1)
    assert.not.ok(
      target.connections[0]!.requests.some(({ bhs }) => (bhs[0]! & 0x3f) === 0x05),
      'data went out',
    )
    await lun.close()
  })
}

test('what a device says instead of executing is retried; what it means is told', async ({ target }) => {
  const lun = await open(target)
  const answers: [status: number, sense?: number[]][] = [
    [2, [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0x00, 0, 0, 0, 0]],
    [2, [0x72, 6, 0x2a, 0x03]],
    [0x08],
    [0x28],
  ]
  target.meddle = (request, served) => {
    if (operationOf(request) !== WRITE || answers.length === 0) return false
    const [status, sense] = answers.shift()!
    served.cmdSn++
    served.status(tagOf(request), status, sense)
    return true
  }
  await lun.write(0, [PATTERN.subarray(0, 512)], data)
  assert.is(target.landed, 1)
  assert.equal(target.warnings, [])
  for (const [status, sense, expected] of [
    [0x18, undefined, /lun-reserved: .*reservation conflict/],
    [
      2,
      [0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0x00, 0, 0, 0, 0],
      /lun-io: .*medium error: the write failed \(sense 03 0c 00\)/,
    ],
    [2, [0x72, 7, 0x27, 0x00], /lun-io: .*data protect: it is write-protected/],
    [2, [], /lun-io: .*check condition/],
    [0x77, undefined, /lun-io: .*a status that nobody knows \(status 77h\)/],
  ] as [number, number[] | undefined, RegExp][]) {
    answers.push([status, sense])
    assert.match(await failure(lun.write(0, [PATTERN.subarray(0, 512)], data)), expected)
  }
  await lun.close()
})

test('another device at the same place gets nothing', async ({ target }) => {
  const lun = await open(target, 1000)
  once(target, WRITE, (_tag, served) => {
    target.serial = 'another'
    served.close('closed by the peer')
  })
  assert.match(
    await failure(lun.write(0, [PATTERN], data)),
    /lun-foreign: .*was TEST SCRIPTED serial one when it was opened, and is TEST SCRIPTED serial another now/,
  )
  assert.match(await failure(lun.write(0, [PATTERN], data)), /lun-foreign/)
  assert.is(target.landed, 0)
  await lun.close()
})

test('a device that has shrunk is not used any more; one whose capacity has changed is looked at', async ({
  target,
}) => {
  const lun = await open(target)
  once(target, READ, (tag, served) => {
    target.blocks = 1000
    served.status(tag, 2, [0x72, 6, 0x2a, 0x09])
  })
  assert.match(await failure(lun.read(0, Buffer.alloc(512))), /lun-foreign: .*has shrunk from 2048 to 1000 blocks/)
  await lun.close()
})

test('a write that a newer one overlaps is not sent again after the connection was lost', async ({ target }) => {
  const lun = await open(target)
  const [older, newer] = [Buffer.alloc(1024, 1), Buffer.alloc(1024, 2)]
  let seen = 0
  target.meddle = (request, served) => {
    if (operationOf(request) !== WRITE || seen >= 3) return false
    if (++seen === 3) served.close('closed by the peer')
    return true
  }
  const first = failure(lun.write(0, [older], data))
  const apart = lun.write(4096, [older], data)
  await lun.write(512, [newer], data)
  assert.match(await first, /lun-io: .*not sent again, since a newer write overlaps it/)
  await apart
  assert.ok(target.disk.subarray(512, 1536).equals(newer))
  assert.ok(target.disk.subarray(4096, 5120).equals(older))
  assert.is(target.landed, 2)
  await lun.close()
})

test('a write that the device was too busy for is not sent again once a newer one overlaps it', async ({ target }) => {
  const lun = await open(target)
  const [older, newer] = [Buffer.alloc(1024, 1), Buffer.alloc(1024, 2)]
  once(target, WRITE, (tag, served) => served.status(tag, 0x08))
  const first = failure(lun.write(0, [older], data))
  await lun.write(512, [newer], data)
  assert.match(await first, /lun-io: .*busy.*not sent again, since a newer write overlaps it/)
  assert.ok(target.disk.subarray(512, 1536).equals(newer))
  assert.is(target.landed, 1)
  await lun.close()
})

test('a command without an answer is aborted at its deadline, and the session goes on', async ({ target }) => {
  const lun = await open(target, 200)
  once(target, READ, () => {})
  assert.match(await failure(lun.read(0, Buffer.alloc(512))), /lun-io: .*no answer before its deadline.*aborted/)
  const [only] = target.connections
  const abort = only!.requests.find(({ bhs }) => bhs[0] === 0x42) as Pdu
  const read = only!.requests.find((request) => operationOf(request) === READ) as Pdu
  assert.is(abort.bhs.readUInt32BE(20), tagOf(read))
  await lun.read(0, Buffer.alloc(512))
  assert.is(target.connections.length, 1)
  await lun.close()
})

test('what is neither answered nor aborted ends the connection, and rejects', async ({ target }) => {
  const lun = await open(target, 200)
  target.meddle = (request) => operationOf(request) === WRITE || request.bhs[0] === 0x42
  assert.match(await failure(lun.write(0, [PATTERN], data)), /lun-io: .*neither answered nor aborted/)
  target.meddle = undefined
  await lun.write(0, [PATTERN], data)
  await lun.close()
})

/** The process stands still, for longer than a command may take. */
function freeze(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

const dataOuts = ({ requests }: Served) => requests.filter(({ bhs }) => (bhs[0]! & 0x3f) === 0x05)

test('a process that stood still sends no data for a write whose deadline is over', async ({ target }) => {
  const lun = await open(target, 200)
  once(target, WRITE, (tag, served) => {
    setImmediate(() => {
      freeze(300)
      served.isPrompt = true
      served.r2t(tag, 4096, 4096)
    })
  })
  assert.match(await failure(lun.write(0, [PATTERN], data)), /lun-io: .*no answer before its deadline/)
  assert.equal(target.connections.flatMap(dataOuts), [])
  assert.is(target.landed, 0)
  await lun.close()
})

test('a process that stood still sends nothing of a write that had waited for the one before', async ({ target }) => {
  const lun = await open(target, 200)
  const [only] = target.connections as [Served]
  target.takes = () => {
    target.takes = undefined
    return false
  }
  const first = lun.read(0, Buffer.alloc(512)).catch(() => {})
  while (target.takes) await sleep(1)
  const second = failure(lun.write(0, [PATTERN.subarray(0, 512)], data))
  await sleep(1)
  freeze(300)
  target.release()
  assert.match(await second, /lun-io: .*could not be sent before its deadline/)
  await first
  assert.ok(only.closed, 'the stream was reset')
  assert.not.ok(target.connections.some(({ requests }) => requests.some((each) => operationOf(each) === WRITE)))
  await lun.close()
})

test('a command whose turn comes after its deadline is not sent', async ({ target }) => {
  target.window = 1
  const lun = await open(target, 200)
  once(target, READ, (tag, served) => {
    setImmediate(() => {
      freeze(300)
      served.isPrompt = true
      served.dataIn(tag, Buffer.alloc(512))
    })
  })
  const first = lun.read(0, Buffer.alloc(512))
  assert.match(await failure(lun.write(0, [PATTERN], data)), /lun-io: .*not its turn before its deadline/)
  await first
  assert.is(target.landed, 0)
  await lun.close()
})

test('a write whose connection was lost, and did not come back, rejects only when nothing of it can land any more', async ({
  target,
}) => {
  const lun = await open(target, 200)
  const { ioLifeMs } = timingsFrom(200)
  target.meddle = (request, served) => {
    if (isLogin(request)) return true
    if (operationOf(request) !== WRITE && operationOf(request) !== READ) return false
    served.close('closed by the peer')
    return true
  }
  const began = performance.now()
  const write = failure(lun.write(0, [PATTERN], data)).then(() => performance.now() - began)
  const read = failure(lun.read(0, Buffer.alloc(512))).then(() => performance.now() - began)
  const tookMs = await Promise.all([write, read])
  assert.ok(tookMs[0] >= ioLifeMs && tookMs[0] > tookMs[1], `${tookMs}`)
  const late = failure(lun.write(0, [PATTERN], data))
  assert.match(await late, /lun-io: .*no connection/, 'it was never sent')
  await lun.close()
})

test('a target that asks for a sign of life gets one; one that gives none is left', async ({ target }) => {
  const lun = await open(target, 200)
  const [served] = target.connections
  served!.answer(0x20, 0x80, NO_TAG, (bhs) => bhs.writeUInt32BE(77, 20), undefined, false)
  while (!served!.requests.some(({ bhs }) => bhs[0] === 0x40 && bhs.readUInt32BE(20) === 77)) await sleep(5)
  target.meddle = ({ bhs }) => bhs[0] === 0x40
  while (target.warnings.length === 0) await sleep(5)
  assert.match(target.warnings[0] as string, /no sign of life/)
  await lun.close()
})

test('commands wait for the window of the target, and all get their turn', async ({ target }) => {
  target.window = 4
  const lun = await open(target)
  let most = 0
  let underWay = 0
  target.meddle = (request, own) => {
    if (operationOf(request) !== READ) return false
    most = Math.max(most, ++underWay)
    setTimeout(() => {
      underWay--
      own.command(tagOf(request), request.bhs, request.data, target)
    }, 2)
    // counted only now: the window is as wide as before until it is answered
    setTimeout(() => own.cmdSn++, 2)
    return true
  }
  const reads = Array.from({ length: 50 }, (_, i) => lun.read(i * 512, Buffer.alloc(512)))
  await Promise.all(reads)
  assert.is(most, 4)
  await lun.close()
})

for (const [what, mode, expected] of [
  ['caches writes without FUA', Buffer.of(0, 26, 0, 0x00, 0, 0, 0, 0, 0x08, 0x12, 0x04), /config: .*no FUA/],
  ['does not say whether it caches', Buffer.of(0, 6, 0, 0x00, 0, 0, 0, 0), /config: .*no FUA/],
  ['is write-protected', Buffer.of(0, 6, 0, 0x90, 0, 0, 0, 0), /config: .*write-protected/],
] as const) {
  test(`a device that ${what} is refused`, async ({ target }) => {
    target.modeSense = mode
    assert.match(await failure(open(target)), expected)
  })
}

test('every write bears FUA where the device heeds it, and none where there is no cache', async ({ target }) => {
  const flagsOf = async (): Promise<number> => {
    const lun = await open(target)
    await lun.write(0, [PATTERN], data)
    await lun.close()
    return target.connections.at(-1)!.requests.find((request) => operationOf(request) === WRITE)!.bhs[33]!
  }
  assert.is(await flagsOf(), 0x08)
  target.modeSense = Buffer.of(0, 26, 0, 0x00, 0, 0, 0, 0, 0x08, 0x12, 0x00)
  assert.is(await flagsOf(), 0x00)
})

test('PDUs cut anywhere, and bytes that were turned, never get through a digest', async () => {
  const { PduReader } = await import('../../../../src/san/iscsi/pdu.ts')
  const digests = { header: true, data: true }
  const wire = Buffer.concat(encodePdu(newBhs(0x25, 0x81, 5), [PATTERN.subarray(0, 1001)], digests))
  const read = (bytes: Buffer, cut: number): number => {
    let found = 0
    const reader = new PduReader(8192, ({ data: got }) => {
      assert.ok(got.equals(PATTERN.subarray(0, 1001)))
      found++
    })
    reader.digests = digests
    for (let at = 0; at < bytes.length; at += cut) reader.push(bytes.subarray(at, at + cut))
    return found
  }
  for (const cut of [1, 3, 48, 52, 53, 1000, 4096]) assert.is(read(Buffer.concat([wire, wire]), cut), 2, `cut ${cut}`)
  for (let at = 0; at < wire.length; at += 7) {
    const turned = Buffer.from(wire)
    turned[at]! ^= 0x10
    let found = 0
    try {
      found = read(turned, 4096)
    } catch (error) {
      assert.match((error as Error).message, /digest of a PDU is wrong/)
    }
    assert.is(found, 0, `byte ${at}`)
  }
})

test.run()
