/**
 * Persistent reservations of a LUN at an iSCSI target. The registration is that of the session (RFC 7143: the I_T nexus is the pair of the
 * initiator's name with the ISID, and the portal group): a session that is made anew has the one it had, at targets that keep to it. Those that do
 * not (tgt) have forgotten it; then the next write meets a conflict, and nothing here registers once more.
 *
 * A command whose connection was lost may have been executed. REGISTER AND IGNORE EXISTING KEY, RESERVE and reading come to the same when
 * they are sent again; a PREEMPT that is finds nobody any more: a conflict, of which the caller knows that it says so, too.
 */
import { isMatrixError } from '../../base/errors.ts'
import { ALL_REGISTRANTS, type RegistrationKey, type Reservation, type Reservations } from '../reservations.ts'
import type { ScsiCommand } from '../scsi/command.ts'
import {
  type OutAction,
  type OutFields,
  parseCapabilities,
  parseKeys,
  parseReservation,
  readKeys,
  readReservation,
  reportCapabilities,
  reserveOut,
} from '../scsi/persistent-reservation.ts'

/** Runs a command to its end, gives the bytes that were transferred. */
type Run = (command: ScsiCommand) => Promise<number>

export class IscsiReservations implements Reservations {
  readonly #run: Run
  #throughPowerLoss: boolean | undefined
  #knowsAbort = true

  constructor(run: Run) {
    this.#run = run
  }

  async readKeys(): Promise<readonly RegistrationKey[]> {
    return parseKeys(await this.#ask(readKeys()))
  }

  async readReservation(): Promise<Reservation | undefined> {
    return parseReservation(await this.#ask(readReservation()))
  }

  async register(key: RegistrationKey): Promise<void> {
    this.#throughPowerLoss ??= await this.#keepsThroughPowerLoss()
    const fields = { key: 0n, serviceKey: key, throughPowerLoss: this.#throughPowerLoss }
    await this.#tell('REGISTER AND IGNORE EXISTING KEY', fields)
  }

  async unregister(key: RegistrationKey): Promise<void> {
    await this.#tell('REGISTER', { key, serviceKey: 0n })
  }

  async reserve(key: RegistrationKey): Promise<void> {
    await this.#tell('RESERVE', { key, type: ALL_REGISTRANTS })
  }

  async preempt(own: RegistrationKey, victim: RegistrationKey): Promise<'aborted' | 'preempted'> {
    const fields = { key: own, serviceKey: victim, type: ALL_REGISTRANTS }
    if (this.#knowsAbort) {
      try {
        await this.#tell('PREEMPT AND ABORT', fields)
        return 'aborted'
      } catch (error) {
        if (!isUnknown(error)) throw error
        this.#knowsAbort = false
      }
    }
    await this.#tell('PREEMPT', fields)
    return 'preempted'
  }

  async #keepsThroughPowerLoss(): Promise<boolean> {
    try {
      return parseCapabilities(await this.#ask(reportCapabilities())).throughPowerLoss
    } catch (error) {
      if (isUnknown(error)) return false
      throw error
    }
  }

  async #ask(command: ScsiCommand): Promise<Buffer> {
    const length = await this.#run(command)
    return (command.read as Buffer).subarray(0, length)
  }

  async #tell(action: OutAction, fields: OutFields): Promise<void> {
    await this.#run(reserveOut(action, fields))
  }
}

/** The device does not know the command (sense 05 20), or not this kind of it (05 24, 05 26). */
function isUnknown(error: unknown): boolean {
  return isMatrixError(error, 'lun-io') && /sense 05 2[046] /.test(error.message)
}
