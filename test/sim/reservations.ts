/**
 * Persistent reservations of a simulated disk. Every thread of a life is a way of its own to each disk (an iSCSI session), with a registration of its
 * own; ghosts of lives that have ended stay until somebody preempts them. They outlive a power loss (APTPL).
 *
 * A write by a way that is not registered is refused when it would land, however early it was issued: a preemption aborts what is under way.
 *
 * What a target may do wrong: it loses a registration with its session (tgt: the key stays, and belongs to nobody), it answers a preemption
 * and has done nothing (istgt), a command fails and was executed or not. What nobody may do is to register again with a key that was preempted.
 */
import { MatrixError } from '../../src/base/errors.ts'
import {
  ALL_REGISTRANTS,
  formatKey,
  type RegistrationKey,
  type Reservation,
  type Reservations,
} from '../../src/san/reservations.ts'
import type { SimHost, SimWorld } from './world.ts'

/** `way` undefined: a ghost. */
type Registration = { way: SimHost | undefined; readonly key: RegistrationKey }

/** Runs a command at the device; rejects when it fails there or on the way. */
type RunCommand = <T>(run: () => T) => Promise<T>

export class SimReservations {
  readonly #world: SimWorld
  readonly #name: string
  #registrations: Registration[] = []
  #isReserved = false
  readonly #preempted = new Set<RegistrationKey>()
  /** How often a preemption is answered and not done. */
  lies: () => boolean = () => false

  constructor(world: SimWorld, name: string) {
    this.#world = world
    this.#name = name
  }

  refuses(way: SimHost): boolean {
    return this.#isReserved && !this.#registrations.some((each) => each.way === way)
  }

  has(key: RegistrationKey): boolean {
    return this.#registrations.some((each) => each.key === key)
  }

  /** A session is reset: the target does not know any more whose registration that was. False when it had none. */
  forget(way: SimHost): boolean {
    const own = this.#registrations.find((each) => each.way === way)
    if (own) own.way = undefined
    return own !== undefined
  }

  path(way: SimHost, command: RunCommand): Reservations {
    const own = () => this.#registrations.find((each) => each.way === way)
    const conflict = () => new MatrixError('lun-reserved', `${this.#name}: reservation conflict for ${way.name}`)
    return {
      readKeys: () => command(() => this.#registrations.map(({ key }) => key)),
      readReservation: () =>
        command((): Reservation | undefined => (this.#isReserved ? { type: ALL_REGISTRANTS, key: 0n } : undefined)),
      register: (key) =>
        command(() => {
          this.#world.trace(`${this.#name} ${way.name} registers ${formatKey(key)}`)
          if (this.#preempted.has(key))
            this.#world.fail(
              new Error(`${way.name} registers again at ${this.#name}, where ${formatKey(key)} was preempted`),
            )
          this.#registrations = this.#registrations.filter((each) => each.way !== way)
          this.#registrations.push({ way, key })
        }),
      unregister: () =>
        command(() => {
          if (!own()) throw conflict()
          this.#registrations = this.#registrations.filter((each) => each.way !== way)
          if (this.#registrations.length === 0) this.#isReserved = false
        }),
      reserve: () =>
        command(() => {
          if (!own()) throw conflict()
          this.#isReserved = true
        }),
      preempt: (key, victim) =>
        command(() => {
          if (own()?.key !== key || !this.has(victim)) throw conflict()
          if (this.lies()) return 'aborted' as const
          this.#world.trace(`${this.#name} ${way.name} preempts ${formatKey(victim)}`)
          this.#registrations = this.#registrations.filter((each) => each.key !== victim)
          this.#preempted.add(victim)
          return 'aborted' as const
        }),
    }
  }
}
