/** The filesystems of the matrix, at every node: service, space, and how far each has applied whose journal. */
import { MatrixError } from '../../base/errors.ts'
import type { FilesystemRecord } from '../../san/index.ts'
import type { Filesystems } from '../api/answers.ts'
import type { FilesystemReport, NodeReport } from '../api/node-report.ts'
import type { Collector } from '../collector.ts'
import type { Answer } from '../reporter.ts'
import { namesOf, nodeAnswer } from './matrix-answer.ts'

type Filesystem = Filesystems['filesystems'][number]
type At = { readonly answer: Answer<NodeReport>; readonly report: FilesystemReport | undefined }

/** Rejects with 'lun-io' while the database cannot be read. */
export async function answerFilesystems(collector: Collector): Promise<Filesystems> {
  const [san, reports] = await Promise.all([collector.database(), collector.reports()])
  if ('error' in san) throw new MatrixError('lun-io', san.error)
  const { luns, filesystems } = san.database
  const lunName = (uuid: string) => luns.find((lun) => lun.uuid === uuid)?.name ?? uuid
  const nameOf = namesOf(reports)
  return { filesystems: filesystems.map((record) => describe(record, reports, lunName, nameOf)) }
}

function describe(
  record: FilesystemRecord,
  reports: readonly Answer<NodeReport>[],
  lunName: (uuid: string) => string,
  nameOf: (slot: number) => string,
): Filesystem {
  const places = reports.map((answer): At => {
    return { answer, report: answer.value?.filesystems.find(({ fsid }) => fsid === record.fsid) }
  })
  const served = places.filter(({ report }) => report?.state === 'serving')
  const shown = (served[0] ?? places.find(({ report }) => report))?.report
  const answered = places.filter(({ answer }) => answer.value)
  return {
    ...{ name: record.name, fsid: record.fsid, error: record.error ?? null },
    state: record.error ? 'error' : served.length === answered.length ? 'serving' : 'recovering',
    luns: record.luns.flatMap((uuid) => (uuid === null ? [] : lunName(uuid))),
    slots: record.slots,
    totalBytes: shown?.totalBytes ?? 0,
    freeBytes: shown?.freeBytes ?? 0,
    files: shown ? shown.totalFiles - shown.freeFiles : 0,
    maxFiles: shown?.totalFiles ?? 0,
    checkpoint: Math.max(0, ...places.map(({ report }) => report?.checkpoint ?? 0)),
    nodes: places.map(({ answer, report }) => ({
      ...{ ...nodeAnswer(answer), slot: answer.slot, state: report?.state ?? null },
      lagBytes: report?.lag.reduce((total, [, bytes]) => total + bytes, 0) ?? 0,
      journalUsed: report?.journal.used ?? 0,
      journalSize: report?.journal.size ?? record.journalBytes,
    })),
    journals: journalsOf(places, nameOf),
  }
}

/** Of every slot that has written. The end of one that has left is not known to anybody but by how far all have applied it. */
function journalsOf(places: readonly At[], nameOf: (slot: number) => string): Filesystem['journals'] {
  const slots = new Set(places.flatMap(({ report }) => report?.applied.map(([slot]) => slot) ?? []))
  return [...slots]
    .sort((a, b) => a - b)
    .map((slot) => ({
      slot,
      node: nameOf(slot),
      end: places.find(({ answer }) => answer.slot === slot)?.report?.journal.end ?? null,
      applied: places.flatMap(({ answer, report }) =>
        report ? [{ node: answer.node, lsn: report.applied.find(([of]) => of === slot)?.[1] ?? 0 }] : [],
      ),
    }))
}
