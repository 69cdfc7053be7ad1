/** Jobs about filesystems in use. */
import * as v from 'valibot'
import { exitCodes } from '../../../../config/index.ts'
import { MatrixError } from '../../../base/errors.ts'
import { formatSize } from '../../../base/units.ts'
import type { JobDesk } from '../job-desk.ts'
import { type JobKind, type JobWork, jobKind } from '../job-kind.ts'
import { filesystemNamed, lunNamed, named } from './inputs.ts'
import { scrub } from './scrub.ts'

/** How often it is told that a check goes on, ms. */
const STILL_MS = 2_000

const checked = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    vector: v.string(),
    inodes: v.number(),
    findings: v.array(v.object({ check: v.string(), detail: v.string() })),
  }),
)

export const filesystemKinds: readonly JobKind[] = [
  jobKind({
    name: 'grow-filesystem',
    title: 'Grow a filesystem',
    summary: 'Gives a filesystem another LUN of the matrix, while it is in use.',
    attempts: 5,
    input: v.strictObject({ filesystem: named('Filesystem'), lun: named('LUN that it gets') }),
    object: ({ filesystem, lun }) => `${filesystem} ${lun}`,
    async run({ filesystem, lun }, work, desk) {
      const { fsid } = await filesystemNamed(filesystem, desk)
      const { uuid } = await lunNamed(lun, desk)
      work.tell(10, `every node is told that ${filesystem} has ${lun}`)
      const bytes = await work.persist(() => desk.means.luns.growFilesystem(fsid, uuid))
      const more = bytes > 0 ? `${formatSize(bytes)} more` : 'its space had been added before'
      return { said: `filesystem ${filesystem} is on LUN ${lun}, too: ${more}`, details: { filesystem, lun, bytes } }
    },
  }),
  jobKind({
    name: 'restore-filesystem',
    title: 'Restore a filesystem',
    summary: 'Puts a filesystem that was marked in error into service again, once its LUNs are mended.',
    attempts: 5,
    input: v.strictObject({ filesystem: named('Filesystem') }),
    object: ({ filesystem }) => filesystem,
    async run({ filesystem }, work, desk) {
      work.tell(10, `every node tries the LUNs of ${filesystem}`)
      await work.persist(() => desk.means.luns.restore(filesystem))
      return { said: `filesystem ${filesystem} is in service`, details: { filesystem } }
    },
  }),
  jobKind({
    name: 'checkpoint',
    title: 'Publish a checkpoint',
    summary:
      'Writes the metadata as one node has it to the first LUN, so that journal space becomes free and a start reads less.',
    attempts: 5,
    input: v.strictObject({ filesystem: named('Filesystem'), node: v.optional(named('Node; empty: any')) }),
    object: ({ filesystem }) => filesystem,
    async run({ filesystem, node }, work, { errands, host }) {
      const at = node ?? host.self.name
      work.tell(10, `${at} writes the metadata of ${filesystem}`)
      const { sequence } = await work.persist(() => errands.at(at, { errand: 'checkpoint', filesystem }))
      return {
        said: `checkpoint ${sequence} of ${filesystem} is published by ${at}`,
        details: { filesystem, node: at, sequence },
      }
    },
  }),
  jobKind({
    name: 'fsck',
    title: 'Check a filesystem',
    summary:
      'Builds the metadata from checkpoint and journals as a node would, and looks for everything that contradicts itself. Changes nothing.',
    attempts: 3,
    input: v.strictObject({ filesystem: named('Filesystem') }),
    object: ({ filesystem }) => filesystem,
    async run({ filesystem }, work, desk) {
      await filesystemNamed(filesystem, desk)
      const { findings, inodes, vector } = await check(filesystem, work, desk)
      for (const { check: which, detail } of findings) work.log(`${which}: ${detail}`)
      const verdict = findings.length === 0 ? 'is sound' : `has ${findings.length} findings`
      return {
        said: `filesystem ${filesystem} ${verdict}: ${inodes} inodes at ${vector}`,
        details: { filesystem, sound: findings.length === 0, inodes, vector, findings },
      }
    },
  }),
  jobKind({
    name: 'scrub',
    title: 'Scrub a filesystem',
    summary:
      'Reads everything it has: labels, checkpoint and journals by their checksums, every extent of every file. Tells what cannot be read, and of which file it is.',
    attempts: 5,
    resumes: true,
    input: v.strictObject({ filesystem: named('Filesystem') }),
    object: ({ filesystem }) => filesystem,
    run: ({ filesystem }, work, desk) => scrub(filesystem, work, desk, () => check(filesystem, work, desk)),
  }),
]

/** By `matrix fs check`, in a process of its own: the image of a large filesystem takes memory and time that the node has not. */
async function check(filesystem: string, work: JobWork, { means, host }: JobDesk) {
  const began = host.clock.now()
  const tell = (): void => {
    const seconds = Math.round((host.clock.now() - began) / 1000)
    work.tell(1, `the metadata of ${filesystem} is built from checkpoint and journals, and checked (${seconds} s)`)
  }
  tell()
  const still = host.clock.every(STILL_MS, tell)
  try {
    const { code, output, said } = await means.matrix(['fs', 'check', filesystem, '--json'], work)
    work.signal.throwIfAborted()
    if (code === exitCodes.ok || code === exitCodes.damaged) return v.parse(checked, output)
    throw new MatrixError('checkpoint-damaged', said.replace(/^matrix: /, ''))
  } finally {
    still.cancel()
  }
}
