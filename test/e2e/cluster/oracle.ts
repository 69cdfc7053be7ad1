/**
 * At every moment at most one side serves: judged from what reached the LUNs, what clients were answered, and which views the nodes
 * say have begun to serve ('serving' in the log of their coordinator).
 *
 * A life is *excluded* from the moment at which a view without it serves, if a view with it had served before: it was fenced, and can
 * only come back as another life. From then on
 *
 *   1. nothing it writes reaches a LUN, anywhere but in the sectors of leases and SAN locks, which each slot has for itself;
 *   2. no request that it was sent later is answered with success.
 *
 * The moment is known by a line of a log, written just after: what is judged later than it, is surely later.
 */

import { MiB } from '../../../src/base/units.ts'
import type { Operation } from '../checker/history.ts'
import type { Life, RealNode } from './real-node.ts'
import type { Written } from './write-log.ts'

/** Sectors of leases, fence requests and SAN locks (san/lun-layout.ts). */
const MEMBERSHIP = { from: 1 * MiB, to: 2 * MiB } as const
/** Times of log lines are in whole milliseconds, set against another clock. */
const LOG_TOLERANCE_MS = 5

/** What is looked at of a node. */
export type JudgedNode = Pick<RealNode, 'name' | 'number' | 'lives' | 'logged'>
export type Exclusion = {
  readonly node: JudgedNode
  readonly life: Life
  readonly number: number
  readonly from: number
}
type Served = { readonly time: number; readonly members: readonly string[] }

/** Views that have served, oldest first. Throws when there is none: then this oracle would say nothing. */
function servedViews(nodes: readonly JudgedNode[]): readonly Served[] {
  const views = nodes.flatMap((node) =>
    node
      .logged(0)
      .filter(({ msg }) => msg === 'serving')
      .map(({ time, members }) => ({ time, members: members as string[] })),
  )
  if (views.length === 0) throw new Error('no node has logged a view that serves: the oracle has nothing to go by')
  return views.sort((a, b) => a.time - b.time)
}

/** Throws when the nodes have logged no view at all. */
export function exclusions(nodes: readonly JudgedNode[]): readonly Exclusion[] {
  const views = servedViews(nodes)
  return nodes.flatMap((node) =>
    node.lives.flatMap((life, index) => {
      const end = life.endedAt ?? Number.POSITIVE_INFINITY
      const own = views.filter(({ time }) => time > life.startedAt && time <= end)
      const first = own.findIndex(({ members }) => members.includes(node.name))
      // with views that others agreed on after it had ended nothing is left to judge
      const next = first < 0 ? undefined : own.slice(first).find(({ members }) => !members.includes(node.name))
      return next ? [{ node, life, number: index + 1, from: next.time + LOG_TOLERANCE_MS }] : []
    }),
  )
}

/** What excluded lives wrote, as lines for people; empty when nothing. */
export function lateWrites(excluded: readonly Exclusion[], writes: readonly Written[]): string[] {
  return excluded.flatMap(({ node, life, number, from }) => {
    const late = writes.filter(
      (write) =>
        write.node === node.number - 1 &&
        write.time > from &&
        write.time <= (life.endedAt ?? Number.POSITIVE_INFINITY) &&
        !(write.offset >= MEMBERSHIP.from && write.offset + write.length <= MEMBERSHIP.to),
    )
    if (late.length === 0) return []
    const some = late.slice(0, 5).map((write) => describe(write, from))
    return [
      `${node.name}@${number} was excluded, and ${late.length} of its writes reached a LUN later: ${some.join('; ')}`,
    ]
  })
}

/** What excluded lives answered, as lines for people; empty when nothing. `operations` with their lives. */
export function lateAnswers(excluded: readonly Exclusion[], operations: readonly Operation[]): string[] {
  return excluded.flatMap(({ node, number, from }) => {
    const at = `${node.name}@${number}`
    const late = operations.filter((each) => each.at === at && each.answer !== undefined && each.start > from)
    if (late.length === 0) return []
    const some = late.slice(0, 5).map(({ protocol, object, call, start }) => {
      return `${protocol} ${object} ${JSON.stringify(call)} asked ${(start - from).toFixed(0)} ms after`
    })
    return [`${at} was excluded, and has answered ${late.length} requests that came later: ${some.join('; ')}`]
  })
}

function describe({ lun, offset, length, time }: Written, from: number): string {
  return `lun${lun + 1} ${length} bytes at ${offset}, ${(time - from).toFixed(0)} ms after`
}
