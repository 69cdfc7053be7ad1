/** The LUNs of the matrix: what each is used for, and how every node sees it (R40). */
import { MatrixError } from '../../base/errors.ts'
import type { LunSight } from '../../recovery/index.ts'
import type { LunRecord, MembershipDatabase } from '../../san/index.ts'
import type { Luns } from '../api/answers.ts'
import type { NodeReport } from '../api/node-report.ts'
import type { Collector } from '../collector.ts'
import type { Answer } from '../reporter.ts'

type Lun = Luns['luns'][number]
type Sight = Lun['sights'][number]

/** From best to worst; what is not named is worse than 'up' and better than 'missing'. */
const GOOD = 'up'
const ABSENT = 'missing'

/** Rejects with 'lun-io' while the database cannot be read. */
export async function answerLuns(collector: Collector): Promise<Luns> {
  const [san, looks, reports] = await Promise.all([collector.database(), collector.sights(), collector.reports()])
  if ('error' in san) throw new MatrixError('lun-io', san.error)
  const seen = typeof looks === 'string' ? reports.map(({ node }) => ({ node, sights: looks })) : looks
  return {
    luns: san.database.luns.map((lun) => {
      const sights = seen.map(({ node, sights: all }) => sightOf(lun, node, all, reports))
      return {
        uuid: lun.uuid,
        name: lun.name,
        sizeBytes: lun.size,
        state: worst(sights),
        use: useOf(lun, san.database),
        sights,
      }
    }),
  }
}

function sightOf(
  lun: LunRecord,
  node: string,
  sights: readonly LunSight[] | string,
  reports: readonly Answer<NodeReport>[],
): Sight {
  const unknown = { state: null, device: null, sizeBytes: null, reason: null, paths: [] }
  if (typeof sights === 'string') return { node, answered: false, error: sights, ...unknown }
  const sight = sights.find(({ uuid }) => uuid === lun.uuid)
  const answered = { node, answered: true, error: null }
  if (!sight) return { ...answered, ...unknown, state: ABSENT, reason: 'it does not know of this LUN yet' }
  const report = reports.find((each) => each.node === node)?.value
  return {
    ...{ ...answered, state: sight.state, device: sight.path ?? null, sizeBytes: sight.size ?? null },
    reason: sight.reason ?? null,
    paths: report?.luns.find(({ uuid }) => uuid === lun.uuid)?.paths ?? [],
  }
}

function worst(sights: readonly Sight[]): string {
  const states = sights.flatMap(({ state }) => state ?? [])
  return states.find((state) => state === ABSENT) ?? states.find((state) => state !== GOOD) ?? states[0] ?? 'unknown'
}

function useOf({ uuid }: LunRecord, { filesystems }: MembershipDatabase): Lun['use'] {
  return filesystems.flatMap(({ name, luns, draining }) =>
    luns.includes(uuid)
      ? [{ filesystem: name, part: luns[0] === uuid ? 'first' : 'data', draining: draining?.includes(uuid) ?? false }]
      : [],
  )
}
