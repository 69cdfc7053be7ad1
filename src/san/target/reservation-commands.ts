/** Commands that reserve: PERSISTENT RESERVE IN and OUT, and the older RESERVE(6) and RELEASE(6), which end with the session. */
import { scsiStatus } from '../scsi/command.ts'
import { type Answer, check, good, type Plan, refuse, reply, wholeList } from './answer.ts'
import * as codec from './reservation-codec.ts'
import type { Nexus, ReservationState } from './reservation-state.ts'
import type { ScsiTask } from './scsi-task.ts'
import { conditions } from './sense-data.ts'
import type { Unit } from './unit.ts'

/** Longest parameter list: TransportIDs of many initiators. */
const MAX_LIST_BYTES = 64 * 1024

const showing =
  (encode: (state: ReservationState) => Buffer) =>
  ({ reservations }: Unit, { cdb }: ScsiTask): Answer =>
    reply(encode(reservations), cdb.readUInt16BE(7))

export const readKeys = showing(codec.encodeKeys)
export const readReservation = showing(codec.encodeReservation)
export const reportCapabilities = showing(codec.encodeCapabilities)
export const readFullStatus = showing(codec.encodeFullStatus)

export function out(unit: Unit, task: ScsiTask): Plan {
  const length = task.cdb.readUInt32BE(5)
  if (length < 24 || length > MAX_LIST_BYTES) refuse(conditions.parameterListLength)
  return {
    wants: length,
    run: async (data) => {
      const { ports } = unit.identity
      const request = codec.decodeOut(task.cdb, wholeList(data, length), ports)
      if (!('action' in request)) return check(request)
      if (request.action === 'register-move' && !ports.includes(request.to.targetPort))
        return check(conditions.invalidParameter)
      return unit.reserve(task, nexusOf(task), request)
    },
  }
}

function nexusOf({ origin }: ScsiTask): Nexus {
  return { targetPort: origin.port, initiatorPort: origin.nexus.slice(origin.nexus.indexOf(' ') + 1) }
}

/** Both are refused while anybody is registered (SPC-4, 5.13.3). */
export function reserve6(unit: Unit, { origin }: ScsiTask): Answer {
  if (unit.reservations.registrations.size > 0) return { status: scsiStatus.reservationConflict }
  unit.legacyHolder = origin.nexus
  return good
}

/** Of another's reservation it changes nothing. */
export function release6(unit: Unit, { origin }: ScsiTask): Answer {
  if (unit.reservations.registrations.size > 0) return { status: scsiStatus.reservationConflict }
  if (unit.legacyHolder === origin.nexus) unit.legacyHolder = undefined
  return good
}
