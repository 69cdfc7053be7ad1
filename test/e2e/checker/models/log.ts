/** A file that clients only append to, one record of its own each time; a read gives all records there are, in their order. */
import type { Model } from './model.ts'

export type LogCall = { readonly kind: 'append'; readonly record: string } | { readonly kind: 'read' }
/** Of a read the records. */
export type LogAnswer = { readonly records?: readonly string[] }

const textOf = (records: readonly string[]) => records.map((record) => `${record};`).join('')

export const appendLog: Model<string, LogCall, LogAnswer> = {
  initial: '',
  key: (log) => log,
  step(log, call, answer) {
    if (call.kind === 'append') return [`${log}${call.record};`]
    return !answer?.records || textOf(answer.records) === log ? [log] : []
  },
  readOnly: (call) => call.kind === 'read',
  describe(call, answer) {
    if (call.kind === 'append') return `append ${call.record}${answer ? ': done' : ', no answer'}`
    const records = answer?.records
    if (!records) return 'read, no answer'
    return `read: ${records.length} records${records.length > 3 ? ', … ' : ' '}${records.slice(-3).join(' ')}`
  },
}
