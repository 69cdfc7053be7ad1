/** PERSISTENT RESERVE IN and OUT as bytes: what is sent is understood, what is cut off or wrong is refused, never guessed. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../../../src/base/prng.ts'
import { commands } from '../../../../src/san/target/command-table.ts'
import {
  decodeOut,
  encodeCapabilities,
  encodeFullStatus,
  encodeKeys,
  encodeReservation,
  encodeTransportId,
  outAction,
} from '../../../../src/san/target/reservation-codec.ts'
import { nexusId, noReservations, type ReservationState } from '../../../../src/san/target/reservation-state.ts'
import { conditions } from '../../../../src/san/target/sense-data.ts'

const test = suite('san: bytes of persistent reservations')
const port = (letter: string): string => `iqn.2026-11.x:${letter},i,0x8000000000${letter.charCodeAt(0).toString(16)}`

function cdb(action: number, type = 0): Buffer {
  return Buffer.of(0x5f, action, type, 0, 0, 0, 0, 0, 24, 0)
}

function list(key: bigint, second: bigint, flags = 0, ...more: Buffer[]): Buffer {
  const head = Buffer.alloc(24)
  head.writeBigUInt64BE(key)
  head.writeBigUInt64BE(second, 8)
  head[20] = flags
  return Buffer.concat([head, ...more])
}

function sized(...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(4)
  head.writeUInt32BE(body.length)
  return Buffer.concat([head, body])
}

const state: ReservationState = {
  generation: 7,
  registrations: new Map(
    ['a', 'b'].map((letter, i) => {
      const nexus = { initiatorPort: port(letter), targetPort: i + 1 }
      return [nexusId(nexus), { ...nexus, key: BigInt(16 + i) }]
    }),
  ),
  reservation: { type: 5, holder: nexusId({ initiatorPort: port('b'), targetPort: 2 }) },
  aptpl: true,
}

test('requests: keys, types and flags', () => {
  const decode = (action: number, bytes: Buffer, type = 0) => decodeOut(cdb(action, type), bytes, [1, 2])
  const registered = { action: 'register', key: 1n, newKey: 2n, aptpl: true, allPorts: [1, 2] }
  assert.equal(decode(outAction.register, list(1n, 2n, 0x05)), registered)
  assert.equal(decode(outAction.reserve, list(1n, 0n), 7), { action: 'reserve', key: 1n, type: 7 })
  assert.equal(decode(outAction.preemptAbort, list(1n, 2n), 8), {
    ...{ action: 'preempt-abort', key: 1n, victimKey: 2n, type: 8 },
  })
  assert.equal(decode(outAction.clear, list(1n, 0n), 0xff), { action: 'clear', key: 1n })
  const others = sized(encodeTransportId(port('a')), encodeTransportId(port('b')))
  assert.equal(decode(outAction.register, list(0n, 2n, 0x08, others)), {
    ...{ action: 'register', key: 0n, newKey: 2n, aptpl: false, others: [port('a'), port('b')] },
  })
  const move = list(1n, 2n)
  move[17] = 0x03
  move.writeUInt16BE(2, 18)
  move.writeUInt32BE(encodeTransportId(port('b')).length, 20)
  assert.equal(decode(outAction.registerMove, Buffer.concat([move, encodeTransportId(port('b'))])), {
    ...{ action: 'register-move', key: 1n, newKey: 2n, unregister: true, aptpl: true },
    to: { initiatorPort: port('b'), targetPort: 2 },
  })
})

test('what is wrong is refused', () => {
  const decode = (action: number, bytes: Buffer, type = 0) => decodeOut(cdb(action, type), bytes, [1])
  const transportId = encodeTransportId(port('a'))
  for (const length of [0, 8, 23, 25])
    assert.equal(decode(outAction.reserve, Buffer.alloc(length), 1), conditions.parameterListLength)
  for (const type of [0, 2, 4, 9, 0x11])
    assert.equal(decode(outAction.reserve, list(1n, 0n), type), conditions.invalidCdb)
  assert.equal(decode(outAction.preempt, list(1n, 2n), 0x11), conditions.invalidCdb)
  assert.equal(decode(0x1f, list(1n, 2n), 1), conditions.invalidCdb)
  assert.equal(decode(outAction.reserve, list(1n, 2n, 0x08), 1), conditions.invalidParameter)
  for (const others of [
    Buffer.alloc(0),
    sized(transportId).subarray(0, -1),
    sized(transportId.subarray(0, 20)),
    sized(Buffer.concat([Buffer.of(0x05), transportId.subarray(1)])),
  ])
    assert.equal(decode(outAction.register, list(0n, 2n, 0x08, others)), conditions.invalidParameter)
  const noPort = Buffer.alloc(24)
  noPort[0] = 0x45
  noPort.writeUInt16BE(20, 2)
  noPort.write('iqn.x:a', 4)
  assert.equal(decode(outAction.register, list(0n, 2n, 0x08, sized(noPort))), conditions.invalidParameter)
})

test('random bytes are understood or refused, and nothing else', () => {
  const prng = new Prng(3)
  for (let i = 0; i < 5000; i++) {
    const bytes = prng.bytes(prng.below(120))
    if (bytes.length >= 28 && prng.chance(0.5)) bytes.writeUInt32BE((bytes.length - 28) >>> 0, 24)
    const result = decodeOut(cdb(prng.below(9), prng.below(10)), bytes, [1])
    assert.ok('action' in result || 'asc' in result)
  }
})

test('answers: keys, the reservation, who holds it, and what can be done', () => {
  const keys = encodeKeys(state)
  assert.equal([keys.readUInt32BE(), keys.readUInt32BE(4)], [7, 16])
  assert.equal([keys.readBigUInt64BE(8), keys.readBigUInt64BE(16)], [16n, 17n])
  const reservation = encodeReservation(state)
  assert.equal([reservation.length, reservation.readBigUInt64BE(8), reservation[21]], [24, 17n, 5])
  const shared = encodeReservation({ ...state, reservation: { type: 7, holder: undefined } })
  assert.equal([shared.readBigUInt64BE(8), shared[21]], [0n, 7])
  assert.is(encodeReservation(noReservations).length, 8)
  const capabilities = encodeCapabilities(state)
  assert.equal([...capabilities], [0, 8, 0x0d, 0x81, 0xea, 0x01, 0, 0])
  const full = encodeFullStatus(state)
  assert.is(full.readUInt32BE(4), full.length - 8)
  const length = full.readUInt32BE(8 + 20)
  const second = 8 + 24 + length
  assert.equal([full[8 + 12], full[second + 12], full[second + 13]], [0, 1, 5])
  assert.is(full.readUInt16BE(second + 18), 2)
  assert.ok(full.subarray(second + 24).equals(encodeTransportId(port('b'))))
})

test('the table of commands: each mask is as long as its command, and begins with its code', () => {
  const lengths = [6, 10, 10, undefined, 16, 12]
  for (const { name, usage, opcode, serviceAction } of commands) {
    const mask = Buffer.from(usage, 'hex')
    assert.is(mask.length, lengths[opcode >> 5], name)
    assert.is(mask[0], opcode, name)
    if (serviceAction !== undefined) assert.is(mask[1]! & 0x1f, serviceAction, name)
  }
  const codes = commands.map(({ opcode, serviceAction }) => `${opcode} ${serviceAction ?? ''}`)
  assert.is(new Set(codes).size, codes.length)
})

test.run()
