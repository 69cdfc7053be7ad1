/** STATFS: from the image's running totals. What was freed but is not back in its group counts as free. */
import { BLOCK_SIZE } from '../../base/limits.ts'
import type { FsStatistics } from './matrix-fs.ts'
import type { Mount } from './mount.ts'

export function statfs({ volume, space, maxFiles }: Mount): FsStatistics {
  const { inodes, freeBlocks, freedBlocks } = volume.image.totals()
  // what is free on a LUN that is being drained is nobody's to use
  const { closedFree } = space
  return {
    totalBytes: (volume.layout.dataBlocks - closedFree) * BLOCK_SIZE,
    freeBytes: Math.max(0, freeBlocks + freedBlocks - closedFree - space.reserved) * BLOCK_SIZE,
    totalFiles: maxFiles,
    freeFiles: Math.max(0, maxFiles - inodes),
  }
}
