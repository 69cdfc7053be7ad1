/** What comes of asking a LUN, in a form that is compared easily. */
import { isMatrixError } from '../../src/base/errors.ts'
import type { Lun } from '../../src/san/index.ts'

/** Code and message of the MatrixError that `work` rejects with. */
export async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (isMatrixError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  throw new Error('did not reject')
}

export async function readBack(lun: Lun, offset: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes)
  await lun.read(offset, buffer)
  return buffer
}
