/** Jobs that copy trees, by the replicator. What is copied already is not copied again, whoever begins anew. */
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { prunePolicies, replicationOutcome } from '../../../../config/index.ts'
import { MatrixError } from '../../../base/errors.ts'
import { formatSize } from '../../../base/units.ts'
import type { ReplicationReport } from '../../api/node-report.ts'
import type { JobDesk } from '../job-desk.ts'
import { type JobKind, type JobWork, jobKind } from '../job-kind.ts'
import { named } from './inputs.ts'

/** How often it is looked how far a replication is, ms. */
const LOOK_MS = 1_000

function tree(title: string, form: string, pattern: RegExp) {
  const otherwise =
    'a directory of a machine is copied by `matrix replicate copy` there, or by [[replicate]] in the configuration'
  return v.pipe(v.string(), v.maxLength(4096), v.regex(pattern, `${form}; ${otherwise}`), v.title(title))
}
const source = tree('From', 'nfs://HOST[:PORT]/EXPORT/PATH', /^nfs:\/\/[^/@\p{Cc}\s]+\/[^\p{Cc}]+$/u)
const target = tree(
  'Into a directory that is there',
  'nfs://HOST[:PORT]/EXPORT/PATH or https://HOST[:PORT]/PATH',
  /^(?:nfs|https?):\/\/(?:[^/:@\p{Cc}\s]+@)?[^/@\p{Cc}\s]+\/[^\p{Cc}]+$/u,
)

export const replicaKinds: readonly JobKind[] = [
  jobKind({
    name: 'copy-tree',
    title: 'Copy a tree',
    summary: 'Copies a directory of a matrix, or what has changed in it, to another: of this matrix or of another one.',
    attempts: 5,
    resumes: true,
    input: v.strictObject({
      from: source,
      to: target,
      prune: v.optional(v.pipe(v.picklist(prunePolicies), v.title('Remove what is not at the source'))),
      exclude: v.optional(v.pipe(v.string(), v.maxLength(1024), v.title('Leave out, such as *.tmp'))),
    }),
    object: ({ from, to }) => `${from} ${to}`,
    run: ({ from, to, prune, exclude }, work, desk) => copy({ from, to, prune, exclude }, work, desk),
  }),
  jobKind({
    name: 'replicate',
    title: 'Replicate now',
    summary: 'Runs a configured replication now, at the node whose it is. Cancelled, that run goes on.',
    attempts: 5,
    resumes: true,
    input: v.strictObject({ replication: named('Replication') }),
    object: ({ replication }) => replication,
    run: ({ replication }, work, desk) => replicate(replication, work, desk),
  }),
]

type Copy = {
  readonly from: string
  readonly to: string
  readonly prune: string | undefined
  readonly exclude: string | undefined
}

/** What is known of earlier runs is kept at the node that does it; another one compares everything once. */
async function copy({ from, to, prune, exclude }: Copy, work: JobWork, { means }: JobDesk) {
  work.tell(1, `looks what there is at ${from}`)
  const { code, output, said } = await means.matrix(
    [
      ...['replicate', 'copy', from, to, '--json', '--progress'],
      ...(prune === undefined ? [] : ['--prune', prune]),
      ...(exclude === undefined ? [] : ['--exclude', exclude]),
    ],
    { signal: work.signal, onSaid: (line) => work.tell(50, line) },
  )
  work.signal.throwIfAborted()
  const parsed = v.safeParse(replicationOutcome, output)
  if (!parsed.success) throw new MatrixError('lun-io', said.replace(/^matrix: /, '') || `it ended with ${code}`)
  const { looked, copied, bytes, pruned, failed, troubles } = parsed.output
  for (const { path, why } of troubles) work.log(`${path}: ${why}`)
  if (failed > 0)
    throw new MatrixError('lun-io', `${failed} could not be copied: ${troubles[0]?.path}: ${troubles[0]?.why}`)
  const removed = pruned > 0 ? `, ${pruned} removed` : ''
  return {
    said: `${to} is as ${from}: ${looked} looked at, ${copied} copied (${formatSize(bytes)} read)${removed}`,
    details: { from, to, looked, copied, bytes, pruned },
  }
}

async function replicate(name: string, work: JobWork, desk: JobDesk) {
  const kept = v.safeParse(v.object({ after: v.number() }), work.kept)
  const before = await work.persist(() => runnerOf(name, desk))
  const after = kept.success ? kept.output.after : (before.last?.at ?? 0)
  await work.keep({ after })
  if (before.since === undefined && (before.last?.at ?? 0) <= after)
    await work.persist(() => desk.errands.at(before.at, { errand: 'replicate', replication: name }))
  for (;;) {
    await sleep(LOOK_MS)
    work.signal.throwIfAborted()
    const { at, since, last } = await work.persist(() => runnerOf(name, desk))
    if (since !== undefined || !last || last.at <= after) {
      const seconds = since === undefined ? 0 : Math.max(0, Math.round((desk.host.clock.wall() - since) / 1000))
      work.tell(50, `${at} copies (${seconds} s)`)
      continue
    }
    const { looked, copied, bytes, pruned, failed, why } = last
    if (why !== undefined) throw new MatrixError('lun-io', `replication ${name} at ${at}: ${why}`)
    return {
      said: `replication ${name} has copied everything at ${at}: ${looked} looked at, ${copied} copied (${formatSize(bytes)} read)`,
      details: { replication: name, node: at, looked, copied, bytes, pruned, failed },
    }
  }
}

/** Rejects with 'not-found' that names those there are, and with 'busy' while nobody runs it. */
async function runnerOf(name: string, { errands }: JobDesk): Promise<ReplicationReport & { readonly at: string }> {
  const known = new Set<string>()
  for (const member of errands.members()) {
    const all = await errands.at(member.name, { errand: 'replications' })
    for (const each of all) known.add(each.name)
    const own = all.find((each) => each.name === name && each.mine)
    if (own) return { ...own, at: member.name }
  }
  if (known.has(name)) throw new MatrixError('busy', `no node runs replication ${name} just now`)
  const names = [...known].sort().join(', ') || 'none'
  throw new MatrixError('not-found', `there is no replication ${name}; there are ${names}`)
}
