/** Virtual hosts and what is looked after for them, at every node. */
import type { Services } from '../api/answers.ts'
import type { Collector } from '../collector.ts'
import { nodeAnswer } from './matrix-answer.ts'

type Host = Services['virtualHosts'][number]

export async function answerServices(collector: Collector): Promise<Services> {
  const reports = await collector.reports()
  const hosts = new Map<string, Host>()
  for (const { value } of reports)
    for (const { name, address, policy, nodes, bears, serves, byHand, ...state } of value?.virtualHosts ?? []) {
      const host = hosts.get(address) ?? { name, address, policy, node: null, byHand: false, order: nodes, nodes: [] }
      const place = { node: value?.name ?? '', bears, serves, ...state }
      const borne = bears ? { node: place.node, byHand } : {}
      hosts.set(address, { ...host, ...borne, nodes: [...host.nodes, place] })
    }
  return {
    virtualHosts: [...hosts.values()],
    nodes: reports.map((answer) => ({
      ...nodeAnswer(answer),
      services: answer.value?.services ?? [],
      mounts: answer.value?.keptMounts ?? [],
    })),
  }
}
