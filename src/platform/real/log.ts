/** Structured logging through pino: one JSON line per event, times in ISO 8601, cheap when a level is off. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'
import type { Log, LogFields } from '../log.ts'
import { type LogLevel, LogLevels } from '../log-levels.ts'

export type LogOptions = {
  /** Least severe lines that are written (default 'info'); 'silent' writes none. */
  readonly level?: LogLevel | 'silent' | LogLevels
  /** Where lines go; standard output when left out. A path is opened for appending, its folder made when missing. */
  readonly destination?: string | DestinationStream
}

/** Writes synchronously: the last lines before a stop or a crash are the ones that matter. */
export function createLog({ level = 'info', destination }: LogOptions = {}): Log {
  const stream =
    destination === undefined || typeof destination === 'string'
      ? pino.destination({ dest: destination ?? 1, sync: true, mkdir: true, append: true })
      : destination
  const isSilent = level === 'silent'
  const levels = level instanceof LogLevels ? level : new LogLevels(isSilent ? 'error' : level)
  const logger = pino({ level: isSilent ? 'silent' : 'debug', base: null, timestamp: stdTimeFunctions.isoTime }, stream)
  return wrap(logger, levels, {})
}

/** `own`: fields that all its lines carry. */
function wrap(logger: Logger, levels: LogLevels, own: LogFields): Log {
  const write = (severity: LogLevel) => (fields: LogFields, message: string) => {
    if (levels.allows(severity, own)) logger[severity](fields, message)
  }
  return {
    ...{ debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    child: (fields) => wrap(logger.child(fields), levels, { ...own, ...fields }),
  }
}
