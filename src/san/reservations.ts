/**
 * Persistent reservations of a LUN (SPC-4, 5.13), as fencing needs them: every node registers a key of its life at every LUN, one reservation of
 * type Write Exclusive – All Registrants stands on each, and whoever's key is preempted can write no more, wherever its commands are. (Under
 * Registrants Only the reservation would vanish with its holder.) Each way to a LUN (a SCSI initiator port, an iSCSI session) has a
 * registration of its own; what has the same key is preempted together.
 *
 *     key, 64 bits     'Mx' │ slot, 8 bits │ incarnation, 40 bits
 *
 * All of these reject with MatrixError 'lun-reserved' (a reservation conflict: this way is not registered any more, or strangers have
 * reserved the LUN), 'config' (the device knows none), 'timeout' or 'lun-io': then it may have been done or not.
 */
import { assert } from '../base/assert.ts'
import type { Life } from '../base/life.ts'

/** Write Exclusive – All Registrants. */
export const ALL_REGISTRANTS = 7

export type RegistrationKey = bigint

export type Reservation = { readonly type: number; readonly key: RegistrationKey }

export interface Reservations {
  /** Of all registrations; ways with the same key have it here several times. */
  readKeys(): Promise<readonly RegistrationKey[]>
  readReservation(): Promise<Reservation | undefined>
  /** Whatever this way was registered with before. It outlives a power loss of the device where that can be. */
  register(key: RegistrationKey): Promise<void>
  /** Takes the registration of this way back; the reservation ends with the last of them. */
  unregister(key: RegistrationKey): Promise<void>
  /** For all registrants. Changes nothing when that stands already. */
  reserve(key: RegistrationKey): Promise<void>
  /**
   * Removes all registrations with the key `victim`. 'aborted': what they had sent and was not executed never will be. 'preempted': the device cannot
   * promise that; some of it may be executed within the life of an I/O. A conflict also says that nobody is registered with `victim`.
   */
  preempt(own: RegistrationKey, victim: RegistrationKey): Promise<'aborted' | 'preempted'>
}

const TAG = 0x4d78n
const INCARNATION_BITS = 40n

export function registrationKey({ slot, incarnation }: Life): RegistrationKey {
  assert(incarnation > 0 && BigInt(incarnation) < 1n << INCARNATION_BITS, `no key for incarnation ${incarnation}`)
  return (TAG << 48n) | (BigInt(slot) << INCARNATION_BITS) | BigInt(incarnation)
}

/** Whose key it is; undefined for one of strangers. */
export function lifeOfKey(key: RegistrationKey): Life | undefined {
  if (key >> 48n !== TAG) return undefined
  return {
    slot: Number((key >> INCARNATION_BITS) & 0xffn),
    incarnation: Number(key & ((1n << INCARNATION_BITS) - 1n)),
  }
}

export function formatKey(key: RegistrationKey): string {
  return `0x${key.toString(16).padStart(16, '0')}`
}
