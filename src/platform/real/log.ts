/** Structured logging through pino: one JSON line per event, times in ISO 8601, cheap when a level is off. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'
import type { Log } from '../log.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export type LogOptions = {
  readonly level?: LogLevel
  /** Where lines go; standard output when left out. A path is opened for appending, its folder made when missing. */
  readonly destination?: string | DestinationStream
}

/** Writes synchronously: the last lines before a stop or a crash are the ones that matter. */
export function createLog({ level = 'info', destination }: LogOptions = {}): Log {
  const stream =
    destination === undefined || typeof destination === 'string'
      ? pino.destination({ dest: destination ?? 1, sync: true, mkdir: true, append: true })
      : destination
  return wrap(pino({ level, base: null, timestamp: stdTimeFunctions.isoTime }, stream))
}

function wrap(logger: Logger): Log {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => wrap(logger.child(fields)),
  }
}
