/**
 * This node's registration at the LUNs: it registers the key of its life once at each, before it writes there, and never again. A registration
 * that is gone was preempted, or lost with its session; which of the two, nobody here can know. So the node ends, and its
 * next life registers anew (and is let in by the administrator like any other).
 *
 *   admit   before the first write of this life to a LUN
 *   leave   after its last
 *
 * Whoever preempts this life does so at one LUN after another. A LUN that it is done with, and that this life registers at only then, would take its
 * writes. So after a registration all earlier ones are looked at: if one is gone, this LUN is not used.
 */
import { brokenRules } from '../base/broken-rules.ts'
import { MatrixError } from '../base/errors.ts'
import type { Life } from '../base/life.ts'
import type { Lun } from './lun.ts'
import { ALL_REGISTRANTS, formatKey, lifeOfKey, type Reservations, registrationKey } from './reservations.ts'

export class Registration {
  readonly #life: Life
  readonly #admitted = new Map<Lun, Reservations>()

  constructor(life: Life) {
    this.#life = life
  }

  /** Rejects with MatrixError 'config' (no reservations there), 'lun-reserved' (strangers, or this life was preempted), or as `Reservations` do. */
  async admit(lun: Lun): Promise<void> {
    const { reservations } = lun
    if (!reservations)
      throw new MatrixError(
        'config',
        `${lun.identity} has no persistent reservations; fence agent "scsi-pr" needs them on every LUN: take it out of fencing.agents, at every node`,
      )
    const key = registrationKey(this.#life)
    await reservations.register(key)
    const stranger = (await reservations.readKeys()).find((other) => lifeOfKey(other) === undefined)
    if (stranger !== undefined) {
      await reservations.unregister(key)
      throw strangers(lun, `somebody who is no node is registered there (key ${formatKey(stranger)})`)
    }
    const found = await reservations.readReservation()
    if (!found) await reservations.reserve(key)
    else if (found.type !== ALL_REGISTRANTS) {
      await reservations.unregister(key)
      throw strangers(lun, `a reservation of type ${found.type} stands there (key ${formatKey(found.key)})`)
    }
    for (const [other, earlier] of this.#admitted) {
      if ((await earlier.readKeys()).includes(key) || brokenRules.earlierRegistrationsStand) continue
      await reservations.unregister(key)
      throw new MatrixError('lun-reserved', `${other.identity}: the registration of this node is gone: it was fenced`)
    }
    this.#admitted.set(lun, reservations)
  }

  /** After all I/O of this life to the LUN has ended. Changes nothing at one that has not admitted it. */
  async leave(lun: Lun): Promise<void> {
    const reservations = this.#admitted.get(lun)
    this.#admitted.delete(lun)
    await reservations?.unregister(registrationKey(this.#life))
  }

  /** It is not used: the key stays, since this life may have the LUN open once more, by the same way. */
  forget(lun: Lun): void {
    this.#admitted.delete(lun)
  }

  /** As far as that can be done: what is left is a key that nobody uses, which whoever fences this slot next takes away. */
  async leaveAll(): Promise<void> {
    await Promise.allSettled([...this.#admitted.keys()].map((lun) => this.leave(lun)))
  }
}

/** Of the thread that keeps a lease: it has ways of its own to the partitions, and a life only once it claims one. */
export class LeaseRegistration {
  readonly #luns: readonly Lun[]
  #registration: Registration | undefined

  constructor(luns: readonly Lun[]) {
    this.#luns = luns
  }

  /** As `Registration.admit`, at all of them. A claim that starts over may have another life. */
  async admit(life: Life): Promise<void> {
    this.#registration = new Registration(life)
    for (const lun of this.#luns) await this.#registration.admit(lun)
  }

  async leave(): Promise<void> {
    await this.#registration?.leaveAll()
  }
}

function strangers({ identity }: Lun, what: string): MatrixError {
  return new MatrixError(
    'lun-reserved',
    `${identity}: ${what}; it is left alone. When nobody uses the LUN, sg_persist --out --clear takes all of that away`,
  )
}
