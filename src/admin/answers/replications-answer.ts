/** The configured replications of all nodes. */
import type { ReplicationReport } from '../api/node-report.ts'
import type { Collector } from '../collector.ts'

/** `at`: the node that runs it, and whose word it is; null while nobody does. */
export async function answerReplications(collector: Collector): Promise<(ReplicationReport & { at: string | null })[]> {
  const found = new Map<string, ReplicationReport & { at: string | null }>()
  for (const { value } of await collector.reports())
    for (const replication of value?.replications ?? [])
      if (replication.mine || !found.has(replication.name))
        found.set(replication.name, { ...replication, at: replication.mine ? (value?.name ?? null) : null })
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}
