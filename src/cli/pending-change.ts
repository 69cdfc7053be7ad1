/** What people are told of a change of LUNs that has begun and is not finished. */
import type { PendingChange } from '../san/index.ts'

const beingDone: Record<PendingChange['kind'], string> = {
  add: 'added',
  remove: 'removed',
  enlarge: 'used in its new size',
  keep: 'used in its old size',
  extend: 'made part of a filesystem',
  retract: 'taken back from a filesystem',
  drain: 'closed for new data',
  refill: 'opened for new data',
  vacate: 'given up by its filesystem',
}

export function describePending({ kind, lun }: PendingChange): string {
  return `LUN ${lun.name} is being ${beingDone[kind]}: the nodes have yet to finish that`
}
