/**
 * A register: a block of a file that is always written whole, or a name whose content is always replaced whole. Every value is written
 * once, so a read says which write it saw. '' is what there is at first, and after a removal.
 */
import type { Operation } from '../history.ts'
import type { Model } from './model.ts'

export type RegisterCall =
  | { readonly kind: 'write'; readonly value: string }
  | { readonly kind: 'read' }
  | { readonly kind: 'remove' }
/** Of a read the value; of a removal whether there was something to remove, where the protocol tells. */
export type RegisterAnswer = { readonly value?: string; readonly removed?: boolean }

export const register: Model<string, RegisterCall, RegisterAnswer> = {
  initial: '',
  key: (value) => value,
  step(value, call, answer) {
    switch (call.kind) {
      case 'read':
        return !answer || answer.value === value ? [value] : []
      case 'write':
        return [call.value]
      case 'remove':
        if (!answer) return value === '' ? [] : ['']
        return answer.removed === undefined || answer.removed === (value !== '') ? [''] : []
    }
  },
  readOnly: (call, answer) => call.kind === 'read' || (call.kind === 'remove' && answer.removed === false),
  describe(call, answer) {
    const said = (text: string) => (answer ? `: ${text}` : ', no answer')
    if (call.kind === 'write') return `write ${call.value}${said('done')}`
    if (call.kind === 'remove') return `remove${said(answer?.removed === false ? 'nothing there' : 'done')}`
    return `read${said(answer?.value === '' ? 'nothing' : `${answer?.value}`)}`
  },
  relevant(operations: readonly Operation<RegisterCall, RegisterAnswer>[]) {
    // a removal sees that there is something, not what
    if (operations.some(({ call }) => call.kind === 'remove')) return operations
    const seen = new Set(operations.map(({ answer }) => answer?.value))
    return operations.filter(({ call, answer }) => answer || (call.kind === 'write' && seen.has(call.value)))
  },
}
