/** The matrix as its members tell of it: who is in, who was, who is administrator. */
import type { Slot } from '../../base/ids.ts'
import type { AdminHost } from '../admin-host.ts'
import type { Matrix, MatrixNode } from '../api/answers.ts'
import type { NodeReport } from '../api/node-report.ts'
import type { NodeAnswer } from '../api/values.ts'
import type { Collector } from '../collector.ts'
import type { Answer } from '../reporter.ts'

export function nodeAnswer({ node, error }: Answer<unknown>): NodeAnswer {
  return { node, answered: error === undefined, error: error ?? null }
}

/** Names of nodes by slot, as far as anybody here knows them. */
export function namesOf(reports: readonly Answer<NodeReport>[]): (slot: Slot) => string {
  const names = new Map<Slot, string>()
  for (const { value } of reports) {
    for (const { slot, node } of value?.leases ?? []) names.set(slot, node)
    for (const { slot, name } of value?.view?.members ?? []) names.set(slot, name)
  }
  for (const { slot, node } of reports) names.set(slot, node)
  return (slot) => names.get(slot) ?? `slot ${slot}`
}

export async function answerMatrix(host: AdminHost, collector: Collector): Promise<Matrix> {
  const [reports, san, own] = await Promise.all([collector.reports(), collector.database(), collector.own()])
  const { view, phase } = own
  const nameOf = namesOf(reports)
  const database = 'database' in san ? san.database : undefined
  return {
    name: host.matrixName,
    answeredBy: host.self.name,
    version: host.version,
    at: own.at,
    san: database
      ? {
          uuid: database.matrixUuid,
          generation: database.generation,
          term: database.term,
          pending: database.pending ? `${database.pending.kind} ${database.pending.lun.name}` : null,
        }
      : null,
    sanError: 'error' in san ? san.error : null,
    view: view && { id: view.id, phase },
    administrator: own.administrator && {
      node: nameOf(own.administrator.slot),
      term: own.administrator.term,
      generation: own.administrator.generation,
    },
    nodes: nodesOf(reports, own),
  }
}

/** The members, and every other slot that has a lease sector, by what this node has read of it. */
function nodesOf(reports: readonly Answer<NodeReport>[], own: NodeReport): MatrixNode[] {
  const leases = new Map(own.leases.map((lease) => [lease.slot, lease]))
  const members = reports.map((answer): MatrixNode => {
    const { slot } = answer
    return {
      ...{ ...nodeAnswer(answer), slot, state: 'member', lease: leaseOf(leases.get(slot)) },
      report: answer.value ?? null,
    }
  })
  const others = own.leases
    .filter(({ slot }) => reports.every((answer) => answer.slot !== slot))
    .map((lease): MatrixNode => {
      const state = lease.state === 'clean' ? 'down' : 'silent'
      const error = state === 'down' ? 'it has left' : 'it is in no view with this node'
      return { node: lease.node, answered: false, error, slot: lease.slot, state, lease: leaseOf(lease), report: null }
    })
  return [...members, ...others].sort((a, b) => a.slot - b.slot)
}

function leaseOf(lease: NodeReport['leases'][number] | undefined): MatrixNode['lease'] {
  if (!lease) return null
  const { state, stillMs, host, pid, address } = lease
  return { state, stillMs, host, pid, address }
}
