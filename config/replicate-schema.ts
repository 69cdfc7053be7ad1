/** `[[replicate]]`: trees that are copied again and again (docs/replicator.md). */
import { isAbsolute, join } from 'node:path'
import * as v from 'valibot'
import { duration, key, name, oneOf, text } from './values.ts'

/** Replications of one matrix. */
export const MAX_REPLICATIONS = 64

/** 'made': what an earlier run has made. 'all': whatever is not at the source. */
export const prunePolicies = ['never', 'made', 'all'] as const
export type PrunePolicy = (typeof prunePolicies)[number]

export type ReplicationRule = {
  readonly name: string
  readonly from: string
  readonly to: string
  readonly everyMs: number
  readonly prune: PrunePolicy
  readonly exclude: readonly string[]
  readonly verify: boolean
  /** Who runs it; the administrator when it is left out. */
  readonly node?: string
}

const SOURCE = 'an absolute path of this machine, or nfs://HOST[:PORT]/EXPORT/PATH'
const TARGET = `${SOURCE}, or https://[USER@]HOST[:PORT]/PATH[?password-file=FILE&ca=FILE]`
const isSource = (written: string): boolean =>
  written.length < 4096 && !/\p{Cc}/u.test(written) && (isAbsolute(written) || /^nfs:\/\/[^/]+\/./.test(written))
/** A password in it would be in every list of replications. */
const isTarget = (written: string): boolean =>
  isSource(written) || (written.length < 4096 && /^https?:\/\/(?:[^/:@\s]+@)?[^/@\s]+\/[^\s\p{Cc}]+$/u.test(written))

export const replicate = v.pipe(
  v.array(
    v.strictObject({
      name: name('Name of the replication ([what it is](replicator.md)).'),
      from: text('The tree that is copied.', SOURCE, isSource),
      to: text('The directory that it is copied into. It has to be there.', TARGET, isTarget),
      every: v.optional(duration('It begins anew so long after it has ended.', { min: '1s', max: '168h' }), '1h'),
      node: v.optional(
        name(
          'The node that runs it: necessary where one of the trees is of a machine. Default: the administrator of the matrix, whoever that is.',
        ),
      ),
      prune: v.optional(
        oneOf(
          'What is removed from the target when it is not at the source: nothing, what the replicator has made there, or all.',
          prunePolicies,
        ),
        'never',
      ),
      exclude: v.optional(
        v.array(
          text(
            'Globs of what is left out: `*.tmp` anywhere, `cache/**` below the tree.',
            'a glob',
            (written) => written.length > 0 && written.length < 1024,
          ),
        ),
        [],
      ),
      verify: v.optional(
        key('Whether what was written is read again before it gets its name.', 'true or false', (written) =>
          typeof written === 'boolean' ? written : undefined,
        ),
        true,
      ),
    }),
  ),
  v.maxLength(MAX_REPLICATIONS, `at most ${MAX_REPLICATIONS} replications`),
)

/** Where journals and outcomes of replications are kept. */
export function replicasDir(stateDir: string): string {
  return join(stateDir, 'replicas')
}

type Written = v.InferOutput<typeof replicate>

/** A tree of a machine is another one at each of them. `output` may be partly unchecked. */
export function replicateProblems(written: readonly Record<string, unknown>[], nodes: readonly unknown[]): string[] {
  return written.flatMap(({ from, to, node }, index) => {
    const problems: string[] = []
    const local = [from, to].filter((address) => typeof address === 'string' && isAbsolute(address))
    if (local.length > 0 && node === undefined)
      problems.push(
        `replicate[${index}].node: missing, and ${local.join(' and ')} is of one machine; allowed is the name of its node`,
      )
    if (from !== undefined && from === to)
      problems.push(`replicate[${index}].to: "${String(to)}" is also where it is copied from`)
    if (typeof node === 'string' && nodes.length > 0 && !nodes.includes(node))
      problems.push(`replicate[${index}].node: found "${node}"; allowed is one of ${nodes.join(', ')}`)
    return problems
  })
}

export function replicationsOf(written: Written): ReplicationRule[] {
  return written.map(({ every, node, ...rest }) => ({ ...rest, everyMs: every, ...(node !== undefined && { node }) }))
}
