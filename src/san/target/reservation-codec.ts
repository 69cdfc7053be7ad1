/** PERSISTENT RESERVE IN and OUT as bytes (SPC-4, 6.15 and 6.16), and the TransportIDs of iSCSI (SPC-4, 7.6.4.6). */

import {
  isForAll,
  isHolder,
  type Nexus,
  type OutRequest,
  type ReservationState,
  type ReservationType,
  reservationType,
} from './reservation-state.ts'
import { type CheckCondition, conditions } from './sense-data.ts'

export const outAction = {
  register: 0,
  reserve: 1,
  release: 2,
  clear: 3,
  preempt: 4,
  preemptAbort: 5,
  registerIgnore: 6,
  registerMove: 7,
} as const

const LIST_BYTES = 24
const SPEC_I_PT = 0x08
const ALL_TG_PT = 0x04
const APTPL = 0x01
const TYPES: readonly number[] = Object.values(reservationType)

export function decodeOut(cdb: Buffer, list: Buffer, allPorts: readonly number[]): OutRequest | CheckCondition {
  const action = cdb[1]! & 0x1f
  if (action === outAction.registerMove) return decodeMove(list)
  const flags = list[20] ?? 0
  const hasOthers = (flags & SPEC_I_PT) !== 0
  if (list.length < LIST_BYTES || (list.length > LIST_BYTES && !hasOthers)) return conditions.parameterListLength
  const [key, second] = [list.readBigUInt64BE(0), list.readBigUInt64BE(8)]
  if (action === outAction.register || action === outAction.registerIgnore) {
    const others = hasOthers ? decodeOthers(list) : undefined
    if (others === null) return conditions.invalidParameter
    return {
      action: action === outAction.register ? 'register' : 'register-ignore',
      key,
      newKey: second,
      aptpl: (flags & APTPL) !== 0,
      ...((flags & ALL_TG_PT) !== 0 && { allPorts }),
      ...(others && { others }),
    }
  }
  if (hasOthers) return conditions.invalidParameter
  if (action === outAction.clear) return { action: 'clear', key }
  const [scope, type] = [cdb[2]! >> 4, cdb[2]! & 0x0f]
  const takesType = action !== outAction.preempt && action !== outAction.preemptAbort
  // of a preemption that only removes registrations, scope and type do not count
  if (scope !== 0 || !TYPES.includes(type)) {
    if (takesType || scope !== 0 || type !== 0) return conditions.invalidCdb
  }
  switch (action) {
    case outAction.reserve:
      return { action: 'reserve', key, type: type as ReservationType }
    case outAction.release:
      return { action: 'release', key, type: type as ReservationType }
    case outAction.preempt:
      return { action: 'preempt', key, victimKey: second, type: type as ReservationType }
    case outAction.preemptAbort:
      return { action: 'preempt-abort', key, victimKey: second, type: type as ReservationType }
    default:
      return conditions.invalidCdb
  }
}

function decodeMove(list: Buffer): OutRequest | CheckCondition {
  if (list.length < LIST_BYTES || list.length !== LIST_BYTES + list.readUInt32BE(20))
    return conditions.parameterListLength
  const initiatorPort = decodeTransportId(list.subarray(LIST_BYTES))?.port
  if (initiatorPort === undefined) return conditions.invalidParameter
  return {
    action: 'register-move',
    key: list.readBigUInt64BE(0),
    newKey: list.readBigUInt64BE(8),
    unregister: (list[17]! & 0x02) !== 0,
    aptpl: (list[17]! & APTPL) !== 0,
    to: { initiatorPort, targetPort: list.readUInt16BE(18) },
  }
}

/** Null when they are none. */
function decodeOthers(list: Buffer): readonly string[] | null {
  if (list.length < LIST_BYTES + 4) return null
  const ids = list.subarray(LIST_BYTES + 4)
  if (ids.length !== list.readUInt32BE(LIST_BYTES)) return null
  const ports: string[] = []
  for (let at = 0; at < ids.length; ) {
    const found = decodeTransportId(ids.subarray(at))
    if (!found) return null
    ports.push(found.port)
    at += found.length
  }
  return ports
}

/** Only the form that names a port, with its ISID, can be registered. */
function decodeTransportId(bytes: Buffer): { readonly port: string; readonly length: number } | undefined {
  if (bytes.length < 24 || bytes[0] !== 0x45) return undefined
  const length = 4 + bytes.readUInt16BE(2)
  if (length > bytes.length || length % 4 !== 0) return undefined
  const text = bytes.toString('latin1', 4, length)
  const port = text.slice(0, (text.indexOf('\0') + text.length + 1) % (text.length + 1)).toLowerCase()
  return /^[a-z0-9.:_-]+,i,0x[0-9a-f]{12}$/.test(port) ? { port, length } : undefined
}

export function encodeTransportId(port: string): Buffer {
  const bytes = Buffer.alloc(4 + Math.max(20, (port.length + 4) & ~3))
  bytes[0] = 0x45
  bytes.writeUInt16BE(bytes.length - 4, 2)
  bytes.write(port, 4, 'latin1')
  return bytes
}

export function encodeKeys({ generation, registrations }: ReservationState): Buffer {
  const data = header(generation, 8 * registrations.size)
  let at = 8
  for (const { key } of registrations.values()) at = data.writeBigUInt64BE(key, at)
  return data
}

export function encodeReservation(state: ReservationState): Buffer {
  const { reservation, generation, registrations } = state
  if (!reservation) return header(generation, 0)
  const data = header(generation, 16)
  const holder = reservation.holder === undefined ? undefined : registrations.get(reservation.holder)
  data.writeBigUInt64BE(holder?.key ?? 0n, 8)
  data[21] = reservation.type
  return data
}

/** What can be done: everything but REPLACE LOST RESERVATION. */
export function encodeCapabilities({ aptpl }: ReservationState): Buffer {
  const data = Buffer.alloc(8)
  data.writeUInt16BE(8)
  data[2] = 0x08 | 0x04 | 0x01 // SIP_C, ATP_C, PTPL_C
  data[3] = 0x80 | (aptpl ? 0x01 : 0)
  data[4] = 0xea // WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX
  data[5] = 0x01 // EX_AC_AR
  return data
}

export function encodeFullStatus(state: ReservationState): Buffer {
  const { reservation } = state
  const parts = [...state.registrations].map(([id, registration]) => {
    const transportId = encodeTransportId(registration.initiatorPort)
    const part = Buffer.alloc(24)
    part.writeBigUInt64BE(registration.key)
    if (reservation && isHolder(state, id)) {
      part[12] = 0x01
      part[13] = reservation.type
    }
    part.writeUInt16BE(registration.targetPort, 18)
    part.writeUInt32BE(transportId.length, 20)
    return Buffer.concat([part, transportId])
  })
  const body = Buffer.concat(parts)
  return Buffer.concat([header(state.generation, body.length).subarray(0, 8), body])
}

function header(generation: number, length: number): Buffer {
  const data = Buffer.alloc(8 + length)
  data.writeUInt32BE(generation)
  data.writeUInt32BE(length, 4)
  return data
}

/** For people: `status` of the target. */
export function describeReservations(state: ReservationState): object {
  const { reservation, registrations, generation, aptpl } = state
  const names = Object.entries(reservationType)
  return {
    generation,
    aptpl,
    registrations: [...registrations.values()].map(({ key, ...nexus }: Nexus & { key: bigint }) => ({
      ...nexus,
      key: `0x${key.toString(16)}`,
    })),
    ...(reservation && {
      reservation: {
        type: names.find(([, code]) => code === reservation.type)?.[0],
        holder: isForAll(reservation.type) ? 'all' : registrations.get(reservation.holder as string)?.initiatorPort,
      },
    }),
  }
}
