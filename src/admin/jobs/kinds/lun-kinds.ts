/** Jobs about LUNs. All of them may be asked for again, at any node: the administrator is told what is wanted to be so (recovery/lun-change.ts). */
import * as v from 'valibot'
import { MatrixError } from '../../../base/errors.ts'
import { formatSize } from '../../../base/units.ts'
import type { JobDesk } from '../job-desk.ts'
import { type JobKind, type JobWork, jobKind } from '../job-kind.ts'
import { lunNamed, lunUrl, named } from './inputs.ts'

/** A LUN is drained so long between two looks at whether the job is to end, ms. */
const DRAIN_STEP_MS = 1_000
/** Of a drain, in the log. */
const TELL_SHARE = 0.1

export const lunKinds: readonly JobKind[] = [
  jobKind({
    name: 'add-lun',
    title: 'Format and add a LUN',
    summary:
      'Labels a LUN and adds it to the matrix; every node opens it. Content of others is kept from harm unless forced.',
    confirm: true,
    attempts: 3,
    input: v.strictObject({
      url: lunUrl,
      name: v.optional(named('Name; empty: the next free one')),
      force: v.optional(v.pipe(v.boolean(), v.title('Overwrite what is on it'))),
    }),
    object: ({ url }) => url,
    run: async ({ url, name, force }, work, desk) => {
      const options = [...(name === undefined ? [] : ['--name', name]), ...(force ? ['--force'] : [])]
      return { said: await command(['lun', 'add', url, ...options], work, desk), details: { url } }
    },
  }),
  jobKind({
    name: 'import-lun',
    title: 'Import a LUN',
    summary: 'Takes a LUN that bears a label of this matrix back into it; nothing is written to it.',
    attempts: 3,
    input: v.strictObject({ url: lunUrl }),
    object: ({ url }) => url,
    run: async ({ url }, work, desk) => ({
      said: await command(['lun', 'import', url], work, desk),
      details: { url },
    }),
  }),
  jobKind({
    name: 'grow-lun',
    title: 'Grow a LUN',
    summary: 'Uses the whole of a LUN whose device has become larger.',
    attempts: 5,
    input: v.strictObject({ lun: named('LUN') }),
    object: ({ lun }) => lun,
    async run({ lun: name }, work, desk) {
      const { uuid } = await lunNamed(name, desk)
      work.tell(10, `every node is told of the new size of ${name}`)
      const bytes = await work.persist(() => desk.means.luns.growLun(uuid))
      const more = bytes > 0 ? `: its filesystem has ${formatSize(bytes)} more` : ''
      return { said: `LUN ${name} is used whole${more}`, details: { lun: name, bytes } }
    },
  }),
  jobKind({
    name: 'drain-lun',
    title: 'Drain a LUN',
    summary: 'Moves what a filesystem has on a LUN to its other LUNs, while it is in use. Cancelled, it stands still.',
    attempts: 5,
    input: v.strictObject({ lun: named('LUN') }),
    object: ({ lun }) => lun,
    run: ({ lun }, work, desk) => drain(lun, work, desk),
  }),
  jobKind({
    name: 'remove-lun',
    title: 'Remove a LUN',
    summary: 'Takes a LUN that no filesystem uses out of the matrix; every node closes it.',
    confirm: true,
    attempts: 5,
    input: v.strictObject({ lun: named('LUN') }),
    object: ({ lun }) => lun,
    async run({ lun: name }, work, desk) {
      const luns = await desk.means.luns.list()
      const kept = v.is(v.object({ uuid: v.string() }), work.kept) ? work.kept : undefined
      // an earlier run of this job may have removed it
      if (kept && !luns.some(({ uuid }) => uuid === kept.uuid))
        return { said: `LUN ${name} is none of the matrix any more`, details: { lun: name } }
      const { uuid } = await lunNamed(name, desk)
      await work.keep({ uuid })
      work.tell(10, `every node is told to close ${name}`)
      await work.persist(() => desk.means.luns.remove(uuid))
      return { said: `LUN ${name} is none of the matrix any more: every node has closed it`, details: { lun: name } }
    },
  }),
]

async function drain(name: string, work: JobWork, desk: JobDesk) {
  const { uuid, size } = await lunNamed(name, desk)
  const isUsed = (await desk.host.readDatabase()).filesystems.some(({ luns }) => luns.includes(uuid))
  const kept = v.is(v.object({ most: v.number() }), work.kept) ? work.kept : undefined
  // an earlier run of this job may have come to its end
  if (!isUsed && kept) return { said: `LUN ${name} is drained`, details: { lun: name, movedBytes: kept.most } }
  let most = kept?.most ?? 0
  let told = Number.POSITIVE_INFINITY
  for (;;) {
    work.signal.throwIfAborted()
    const { leftBytes, done } = await work.persist(() => desk.means.luns.drain(uuid, DRAIN_STEP_MS))
    if (done)
      return { said: `LUN ${name} is drained: no filesystem is on it`, details: { lun: name, movedBytes: most } }
    if (leftBytes > most) await work.keep({ most: leftBytes })
    most = Math.max(most, leftBytes, 1)
    const percent = Math.min(99, Math.floor((1 - leftBytes / most) * 100))
    work.tell(percent, `${formatSize(leftBytes)} are left on ${name}, which has ${formatSize(size)}`)
    if (told - leftBytes < most * TELL_SHARE) continue
    told = leftBytes
    work.log(`${formatSize(leftBytes)} are left`)
  }
}

/** Runs `matrix`; gives what it says. Rejects with that when it fails. */
async function command(args: readonly string[], { tell, log, signal }: JobWork, { means }: JobDesk): Promise<string> {
  tell(10, `matrix ${args.join(' ')}`)
  const { code, output, said } = await means.matrix(args, { signal })
  signal.throwIfAborted()
  log(said)
  if (code !== 0) throw new MatrixError('lun-refused', said.replace(/^matrix: /, ''))
  return output.trim()
}
