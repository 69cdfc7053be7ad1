/** Keeps the last warnings and errors of a log, for people who look at the node from afar. Everything is passed on as it came. */
import type { Log, LogFields } from '../platform/index.ts'

const KEPT = 200
/** Of a line's fields, as JSON, characters. */
const FIELDS_MAX = 2000

export type LogLine = {
  /** Wall clock, ms. */
  readonly at: number
  readonly level: 'warn' | 'error'
  readonly message: string
  readonly fields: string
}

export class LogTail {
  readonly lines: LogLine[] = []
  /** Told of every line that is kept. */
  onLine: (line: LogLine) => void = () => {}
  readonly #wall: () => number

  constructor(wall: () => number) {
    this.#wall = wall
  }

  /** A log that passes everything on to `log`. */
  behind(log: Log, own: LogFields = {}): Log {
    const keep = (level: LogLine['level'], fields: LogFields, message: string): void => {
      log[level](fields, message)
      this.#keep(level, { ...own, ...fields }, message)
    }
    return {
      debug: (fields, message) => log.debug(fields, message),
      info: (fields, message) => log.info(fields, message),
      warn: (fields, message) => keep('warn', fields, message),
      error: (fields, message) => keep('error', fields, message),
      child: (fields) => this.behind(log.child(fields), { ...own, ...fields }),
    }
  }

  #keep(level: LogLine['level'], fields: LogFields, message: string): void {
    const line: LogLine = { at: this.#wall(), level, message, fields: shown(fields) }
    this.lines.push(line)
    if (this.lines.length > KEPT) this.lines.shift()
    this.onLine(line)
  }
}

/** Errors by their message: JSON knows nothing of them. */
function shown(fields: LogFields): string {
  const text = JSON.stringify(fields, (_, value) => {
    if (value instanceof Error) return value.message
    return typeof value === 'bigint' ? String(value) : value
  })
  return text.slice(0, FIELDS_MAX)
}
