/** Reservations of a LUN in memory, one way to it; each command may be made to do something else. */
import { MatrixError } from '../../../src/base/errors.ts'
import { ALL_REGISTRANTS, type Reservation, type Reservations } from '../../../src/san/index.ts'

export class FakeReservations implements Reservations {
  keys: bigint[]
  reservation: Reservation | undefined
  own: bigint | undefined
  readonly log: string[] = []
  /** A command of this name rejects; or is answered and does nothing. */
  fails: string | undefined
  lies = false
  how: 'aborted' | 'preempted' = 'aborted'

  constructor(keys: readonly bigint[] = [], type: number | undefined = keys.length > 0 ? ALL_REGISTRANTS : undefined) {
    this.keys = [...keys]
    if (type !== undefined) this.reservation = { type, key: 0n }
  }

  async readKeys() {
    this.#note('readKeys')
    return [...this.keys]
  }
  async readReservation() {
    this.#note('readReservation')
    return this.reservation
  }
  async register(key: bigint) {
    this.#note('register')
    this.own = key
    this.keys.push(key)
  }
  async unregister(key: bigint) {
    this.#note('unregister')
    this.keys = this.keys.filter((other) => other !== key)
    if (this.keys.length === 0) this.reservation = undefined
  }
  async reserve(key: bigint) {
    this.#note('reserve')
    this.reservation = { type: ALL_REGISTRANTS, key }
  }
  async preempt(own: bigint, victim: bigint) {
    this.#note('preempt')
    if (!this.keys.includes(own) || !this.keys.includes(victim)) throw new MatrixError('lun-reserved', 'conflict')
    if (!this.lies) this.keys = this.keys.filter((other) => other !== victim)
    return this.how
  }

  #note(command: string): void {
    this.log.push(command)
    if (this.fails === command) throw new MatrixError('lun-io', `${command} failed`)
  }
}
