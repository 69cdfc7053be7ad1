/**
 * Checks a filesystem from outside: asks the image that its LUNs tell (offline-image.ts). An image that equals a vector has to be sound, whether or not
 * nodes run.
 */
import { formatVector } from '../base/vector.ts'
import { checkImage, type Finding } from '../recovery/index.ts'
import { lookAtImage } from './offline-image.ts'
import type { OfflineMatrix } from './offline-matrix.ts'

export type CheckResult = { readonly findings: readonly Finding[]; readonly inodes: number; readonly vector: string }

/** Rejects as `lookAtImage` does. */
export function checkFilesystem(matrix: OfflineMatrix, name: string): Promise<CheckResult> {
  return lookAtImage(matrix, name, ({ image, layout }) => ({
    // what a running node has written last is not known to be durable yet
    findings: checkImage(image, layout, 'behind'),
    inodes: image.totals().inodes,
    vector: formatVector(image.vector),
  }))
}
