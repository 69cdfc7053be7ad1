/** A window that no order explains, as a timeline: one line per operation, by client, with a bar for when it was under way. */
import type { Operation } from './history.ts'
import type { Model } from './models/model.ts'
import type { Verdict } from './wgl.ts'

const BAR = 48

export function describeWindow<State, Call, Answer>(
  object: string,
  model: Model<State, Call, Answer>,
  { window, before }: Extract<Verdict<Call, Answer>, { kind: 'unexplained' }>,
): string {
  const from = Math.min(...window.map(({ start }) => start))
  const last = Math.max(...window.map(({ start, end, answer }) => (answer === undefined ? start : end)))
  const scale = BAR / Math.max(last - from, 1e-6)
  const bar = ({ start, end, answer }: Operation<Call, Answer>): string => {
    const begin = Math.min(BAR - 1, Math.floor((start - from) * scale))
    if (answer === undefined) return `${' '.repeat(begin)}|${'?'.repeat(BAR - begin - 1)}`
    const width = Math.max(1, Math.ceil((end - start) * scale))
    return `${' '.repeat(begin)}${'█'.repeat(Math.min(width, BAR - begin))}`.padEnd(BAR)
  }
  const clients = [...new Set(window.map(({ client }) => client))]
  const lines = clients.flatMap((client) =>
    window
      .filter((operation) => operation.client === client)
      .map((operation) => {
        const { at, protocol, call, answer, start, end } = operation
        const ended = answer === undefined ? '…' : (end - from).toFixed(2)
        const who = `${client} ${protocol}@${at}`.padEnd(18)
        return `  ${who} ${bar(operation)} ${(start - from).toFixed(2)}–${ended} ms  ${model.describe(call, answer)}`
      }),
  )
  const states = before.length > 4 ? [...before.slice(0, 4), `… (${before.length} possibilities)`] : before
  return [
    `${object}: no order explains these ${window.length} operations (from ${from.toFixed(2)} ms on).`,
    `  before them: ${states.map((state) => state || '(empty)').join('  or  ')}`,
    ...lines,
  ].join('\n')
}
