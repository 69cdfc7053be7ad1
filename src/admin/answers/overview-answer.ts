/** Everything that the dashboard shows, in one answer: made once for all who look, and asked for by one request where there were nine. */
import type { Desk } from '../endpoint.ts'
import { answerFilesystems } from './filesystems-answer.ts'
import { answerLocks } from './locks-answer.ts'
import { answerLuns } from './luns-answer.ts'
import { answerMatrix } from './matrix-answer.ts'
import { answerReplications } from './replications-answer.ts'
import { answerRecentSamples } from './samples-answer.ts'
import { answerServices } from './services-answer.ts'
import { answerWaits } from './waits-answer.ts'

/** What needs LUNs or Redis may fail while they do: that part is null, and the rest is there. */
export async function answerOverview({ host, collector, names, jobs }: Desk) {
  const part = <T>(answer: Promise<T>): Promise<T | null> => answer.catch(() => null)
  const locking = answerLocks(host, collector, names)
  const seeing = answerLuns(collector)
  const [matrix, samples, replications, filesystems, luns, locks, services, known] = await Promise.all([
    ...([answerMatrix(host, collector), answerRecentSamples(collector), answerReplications(collector)] as const),
    ...([part(answerFilesystems(collector)), part(seeing), part(locking)] as const),
    ...([part(answerServices(collector)), part(jobs.list())] as const),
  ])
  const waits = locks && answerWaits(matrix, locks, luns ?? (await seeing.catch((error: Error) => error)))
  return {
    ...{ matrix, samples, replications, filesystems, luns, locks, waits, services, jobs: known },
    timeline: { entries: host.timeline() },
    log: { node: host.self.name, lines: host.logTail.lines },
  }
}
