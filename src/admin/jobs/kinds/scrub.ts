/**
 * Scrubbing a filesystem: everything that it has is read. First labels and metadata, which carry checksums; then the extents of all files, LUN after LUN,
 * inode after inode (metadata/fs/scrub.ts), by the node that runs the job. Where it has come to is kept: a job that is interrupted goes on there.
 *
 * A file that is made behind the place it has come to is not read any more: it has just been written.
 */
import * as v from 'valibot'
import { MatrixError } from '../../../base/errors.ts'
import { formatSize } from '../../../base/units.ts'
import type { Mount } from '../../../recovery/index.ts'
import type { JobResult } from '../../api/jobs.ts'
import type { JobDesk } from '../job-desk.ts'
import type { JobWork } from '../job-kind.ts'

/** Files are read so long between two looks at whether the job is to end, ms. */
const STEP_MS = 500
/** Where it has come to is kept so often, ms. */
const KEEP_MS = 5_000
/** Share of the job that metadata takes, percent. */
const METADATA_PERCENT = 10
/** Places that a result names; all are in the log. */
const NAMED_MOST = 100

const place = v.object({
  /** Index of the LUN in the filesystem's record, and the inode that was read last there. */
  lun: v.number(),
  ino: v.number(),
  files: v.number(),
  bytes: v.number(),
  labels: v.number(),
  findings: v.number(),
  unreadable: v.array(v.string()),
})
type Place = v.InferOutput<typeof place>

/** `check`: of the metadata. */
export async function scrub(
  filesystem: string,
  work: JobWork,
  desk: JobDesk,
  check: () => Promise<{ readonly findings: readonly { readonly check: string; readonly detail: string }[] }>,
): Promise<JobResult> {
  let at: Place
  if (v.is(place, work.kept)) {
    at = work.kept
    work.log(`goes on after ${at.files} files, ${formatSize(at.bytes)}`)
  } else {
    const labels = await desk.means.labels()
    for (const { lun, copies } of labels) work.log(`LUN ${lun}: label copy ${copies.join(', ')} is damaged`)
    const { findings } = await check()
    for (const { check: which, detail } of findings) work.log(`${which}: ${detail}`)
    const found = { labels: labels.length, findings: findings.length, unreadable: [] }
    at = { lun: 0, ino: 0, files: 0, bytes: 0, ...found }
    await work.keep(at)
  }
  at = await readFiles(filesystem, at, work, desk)
  const { files, bytes, labels, findings, unreadable } = at
  const bad = [
    ...(labels > 0 ? [`${labels} LUNs with damaged labels`] : []),
    ...(findings > 0 ? [`${findings} findings in the metadata`] : []),
    ...(unreadable.length > 0 ? [`${unreadable.length} places of files that cannot be read`] : []),
  ]
  const verdict = bad.length === 0 ? 'is sound' : `has ${bad.join(', ')}`
  return {
    said: `filesystem ${filesystem} ${verdict}: ${files} files, ${formatSize(bytes)} were read`,
    details: { filesystem, sound: bad.length === 0, ...at, unreadable: unreadable.slice(0, NAMED_MOST) },
  }
}

async function readFiles(filesystem: string, from: Place, work: JobWork, { host }: JobDesk): Promise<Place> {
  let at = from
  const mount = mountOf(filesystem, host.mounts())
  const { totalBytes, freeBytes } = await mount.fs.statfs()
  const used = Math.max(1, totalBytes - freeBytes)
  let keptAt = host.clock.now()
  while (at.lun < mount.record.luns.length) {
    work.signal.throwIfAborted()
    const { lun, ino } = at
    const { next, files, bytes, unreadable } = await work.persist(() => mount.fs.scrub(lun, ino, STEP_MS))
    const named = unreadable.map(
      (each) => `inode ${each.ino}, bytes ${each.offset}…${each.offset + each.bytes - 1}: ${each.reason}`,
    )
    for (const line of named) work.log(line)
    at = {
      ...at,
      ...(next === undefined ? { lun: lun + 1, ino: 0 } : { ino: next }),
      ...{ files: at.files + files, bytes: at.bytes + bytes, unreadable: [...at.unreadable, ...named] },
    }
    const percent = METADATA_PERCENT + Math.floor(((100 - METADATA_PERCENT) * at.bytes) / used)
    work.tell(Math.min(99, percent), `${at.files} files read, ${formatSize(at.bytes)} of about ${formatSize(used)}`)
    if (host.clock.now() - keptAt < KEEP_MS) continue
    await work.keep(at)
    keptAt = host.clock.now()
  }
  return at
}

function mountOf(filesystem: string, mounts: readonly Mount[]): Mount {
  const mount = mounts.find(({ record }) => record.name === filesystem)
  if (mount && mount.state !== 'withdrawn') return mount
  throw new MatrixError('not-found', `filesystem ${filesystem} is not in service at this node`)
}
