/** The log of a tool: what an operator should know goes to standard error as a sentence, the rest nowhere. */
import type { Log, LogFields } from '../platform/index.ts'

function tell(fields: LogFields, message: string): void {
  const parts = Object.entries(fields).map(([key, value]) => `${key}=${value instanceof Error ? value.message : value}`)
  process.stderr.write(`matrix: ${[message, ...parts].join(' ')}\n`)
}

export const toolLog: Log = {
  debug() {},
  info() {},
  warn: tell,
  error: tell,
  child: () => toolLog,
}
