/** Structured logging, handed in. `fields` are ids and numbers; the message is a constant sentence. */
export type LogFields = Record<string, unknown>

export interface Log {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
  /** A log whose lines all carry `fields`. */
  child(fields: LogFields): Log
}

/** Swallows everything: for tests and tools. */
export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
}
