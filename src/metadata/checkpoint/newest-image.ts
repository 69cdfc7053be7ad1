/** The image that a node starts from: of the newest checkpoint that is whole. */
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import { equals } from '../../base/vector.ts'
import type { Log } from '../../platform/log.ts'
import { Image } from '../image/image.ts'
import type { CheckpointStore, Published } from './store.ts'

export type NewestImage = {
  readonly image: Image
  /** Its checkpoint, and those before it, newest first. */
  readonly published: readonly Published[]
}

/** A damaged checkpoint is passed over for the one before. Rejects with MatrixError 'checkpoint-damaged', 'lun-io'. `file`: as `Image.load` has it. */
export async function loadNewestImage(
  store: CheckpointStore,
  file: () => string,
  { log, name }: { readonly log: Log; readonly name: string },
): Promise<NewestImage> {
  const manifests = await store.manifests()
  for (const [index, manifest] of manifests.entries()) {
    try {
      const image = await Image.load(await store.load(manifest), file())
      if (!equals(image.vector, manifest.vector)) {
        image.close()
        throw new MatrixError(
          'checkpoint-damaged',
          `checkpoint ${manifest.sequence} names another vector than its image`,
        )
      }
      return { image, published: manifests.slice(index) }
    } catch (error) {
      if (!isMatrixError(error, 'checkpoint-damaged')) throw error
      log.error({ sequence: manifest.sequence, error }, 'a checkpoint is damaged')
    }
  }
  throw new MatrixError('checkpoint-damaged', `filesystem ${name} has no whole checkpoint on its first LUN`)
}
