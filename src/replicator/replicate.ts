/** A run from one address to another, with all that it takes. */
import { ReplicaJournal } from './journal.ts'
import { openTree } from './open-tree.ts'
import type { Outcome } from './outcome.ts'
import { Replication, type ReplicationOptions } from './replication.ts'

export type ReplicateOptions = Omit<ReplicationOptions, 'source' | 'target' | 'journal'> & {
  readonly from: string
  readonly to: string
  /** File of the journal; made when it is missing. */
  readonly journal: string
}

/** Rejects as Replication.run, ReplicaJournal.open and openTree. */
export async function replicate({ from, to, journal: file, ...options }: ReplicateOptions): Promise<Outcome> {
  const journal = ReplicaJournal.open(file, from, to)
  try {
    const source = await openTree(from, 'from')
    try {
      const target = await openTree(to, 'to')
      try {
        return await new Replication({ ...options, source, target, journal }).run()
      } finally {
        await target.close()
      }
    } finally {
      await source.close()
    }
  } finally {
    journal.close()
  }
}
