/** Every kind of job, in the order in which people are shown them. */
import { MatrixError } from '../../../base/errors.ts'
import type { JobKind } from '../job-kind.ts'
import { filesystemKinds } from './filesystem-kinds.ts'
import { lunKinds } from './lun-kinds.ts'
import { nodeKinds } from './node-kinds.ts'
import { replicaKinds } from './replica-kinds.ts'

export const jobKinds: readonly JobKind[] = [...filesystemKinds, ...lunKinds, ...nodeKinds, ...replicaKinds]

/** Throws MatrixError 'not-found' that names those there are. */
export function kindNamed(name: string): JobKind {
  const kind = jobKinds.find((each) => each.name === name)
  if (kind) return kind
  const known = jobKinds.map((each) => each.name).join(', ')
  throw new MatrixError('not-found', `there is no kind of job ${name}; there are ${known}`)
}
