/**
 * The commands of persistent reservations (SPC-4, 6.15 and 6.16), and what devices answer, parsed without trusting any length in it. What they are for:
 * reservations.ts.
 */
import { assert } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import type { Reservation } from '../reservations.ts'
import type { ScsiCommand } from './command.ts'

const IN = 0x5e
const OUT = 0x5f
const PARAMETERS = 24

const outActions = {
  REGISTER: 0,
  RESERVE: 1,
  RELEASE: 2,
  CLEAR: 3,
  PREEMPT: 4,
  'PREEMPT AND ABORT': 5,
  'REGISTER AND IGNORE EXISTING KEY': 6,
} as const

export type OutAction = keyof typeof outActions

function reserveIn(action: number, name: string, bytes: number): ScsiCommand {
  const cdb = Buffer.alloc(16)
  const read = Buffer.alloc(bytes)
  cdb[0] = IN
  cdb[1] = action
  cdb.writeUInt16BE(bytes, 7)
  return { name: `PERSISTENT RESERVE IN, ${name}`, cdb, read, mayBeShort: true }
}

export function readKeys(): ScsiCommand {
  return reserveIn(0, 'READ KEYS', 8 + 8 * 1024)
}

export function readReservation(): ScsiCommand {
  return reserveIn(1, 'READ RESERVATION', 24)
}

export function reportCapabilities(): ScsiCommand {
  return reserveIn(2, 'REPORT CAPABILITIES', 8)
}

export type OutFields = {
  /** Under which the sender is registered; 0 when it is not. */
  readonly key: bigint
  /** The one it registers with, or whose registration it takes away. */
  readonly serviceKey?: bigint
  readonly type?: number
  /** Registrations outlive a power loss of the device. */
  readonly throughPowerLoss?: boolean
}

export function reserveOut(action: OutAction, fields: OutFields): ScsiCommand {
  const { key, serviceKey = 0n, type = 0, throughPowerLoss = false } = fields
  assert(isKey(key) && isKey(serviceKey), 'a reservation key has 64 bits')
  const cdb = Buffer.alloc(16)
  cdb[0] = OUT
  cdb[1] = outActions[action]
  cdb[2] = type // of scope 0, the whole logical unit
  cdb.writeUInt32BE(PARAMETERS, 5)
  const parameters = Buffer.alloc(PARAMETERS)
  parameters.writeBigUInt64BE(key, 0)
  parameters.writeBigUInt64BE(serviceKey, 8)
  if (throughPowerLoss) parameters[20] = 0x01
  return { name: `PERSISTENT RESERVE OUT, ${action}`, cdb, write: [parameters] }
}

function isKey(key: bigint): boolean {
  return key >= 0n && key < 2n ** 64n
}

/** Registered keys; one as often as it is registered, once per path. Throws MatrixError 'lun-io' for what cannot be. */
export function parseKeys(data: Buffer): readonly bigint[] {
  const body = bodyOf(data, 'READ KEYS')
  const keys: bigint[] = []
  for (let at = 0; at + 8 <= body.length; at += 8) keys.push(body.readBigUInt64BE(at))
  return keys
}

/** Undefined while nobody has reserved it. */
export function parseReservation(data: Buffer): Reservation | undefined {
  const body = bodyOf(data, 'READ RESERVATION')
  if (body.length < 16) return undefined
  return { key: body.readBigUInt64BE(0), type: (body[13] as number) & 0x0f }
}

export type ReservationCapabilities = {
  /** The type that a matrix needs can be had. */
  readonly allRegistrants: boolean
  readonly throughPowerLoss: boolean
}

export function parseCapabilities(data: Buffer): ReservationCapabilities {
  if (data.length < 8) throw short('REPORT CAPABILITIES', data)
  // without a mask of types the device says nothing of them: it is tried
  const hasMask = ((data[3] as number) & 0x80) !== 0
  return {
    allRegistrants: !hasMask || ((data[4] as number) & 0x80) !== 0,
    throughPowerLoss: ((data[2] as number) & 0x01) !== 0,
  }
}

function bodyOf(data: Buffer, what: string): Buffer {
  if (data.length < 8) throw short(what, data)
  const length = data.readUInt32BE(4)
  if (8 + length > data.length)
    throw new MatrixError('lun-io', `${what}: the device tells of ${length} bytes and sent ${data.length - 8}`)
  return data.subarray(8, 8 + length)
}

function short(what: string, data: Buffer): MatrixError {
  return new MatrixError('lun-io', `${what}: the device sent ${data.length} bytes; at least 8 are needed`)
}
