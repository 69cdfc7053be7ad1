/**
 * How much each part of a node writes to its log: a level for all of them, and others for some, which may change at any time. A change is in memory: a restart
 * brings back what is configured.
 */
import type { LogFields } from './log.ts'

export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

/** Parts of a node, as their lines say (`subsystem`). */
export const subsystems = [
  'cluster',
  'san',
  'recovery',
  'filesystem',
  'nfs',
  'http',
  'mount',
  'services',
  'admin',
] as const
export type Subsystem = (typeof subsystems)[number]

export type LevelOfSubsystem = {
  readonly subsystem: Subsystem
  readonly level: LogLevel
  readonly configured: LogLevel
}

export class LogLevels {
  /** Of lines of no subsystem. */
  readonly general: LogLevel
  readonly #configured: ReadonlyMap<string, LogLevel>
  readonly #now = new Map<string, LogLevel>()

  constructor(general: LogLevel, own: Readonly<Partial<Record<Subsystem, LogLevel>>> = {}) {
    this.general = general
    this.#configured = new Map(subsystems.map((subsystem) => [subsystem, own[subsystem] ?? general]))
  }

  /** undefined: as configured. */
  set(subsystem: Subsystem, level: LogLevel | undefined): void {
    if (level === undefined) this.#now.delete(subsystem)
    else this.#now.set(subsystem, level)
  }

  list(): readonly LevelOfSubsystem[] {
    return subsystems.map((subsystem) => ({
      subsystem,
      level: this.#of(subsystem),
      configured: this.#configured.get(subsystem) as LogLevel,
    }))
  }

  /** A line of that severity is written, by a part of the node whose lines carry these fields. */
  allows(severity: LogLevel, { subsystem }: LogFields): boolean {
    const least = typeof subsystem === 'string' ? this.#of(subsystem) : this.general
    return logLevels.indexOf(severity) >= logLevels.indexOf(least)
  }

  #of(subsystem: string): LogLevel {
    return this.#now.get(subsystem) ?? this.#configured.get(subsystem) ?? this.general
  }
}
