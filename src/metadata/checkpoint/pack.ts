/**
 * Makes an image ready for its place on the LUN: looks at it, hashes and compresses it. An image whose file was damaged on this
 * node's own disk must never become the checkpoint from which every node starts: its pages are checked first, all of them.
 *
 * That takes more than a second per million files. A large image in a file is therefore read by a thread (pack-worker.ts) with
 * a database connection of its own: it sees the state that was committed last, and its node goes on meanwhile.
 */
import { createHash } from 'node:crypto'
import { constants, zstdCompressSync } from 'node:zlib'
import { MatrixError, type MatrixErrorCode } from '../../base/errors.ts'
import type { Lsn, Slot } from '../../base/ids.ts'
import { MiB } from '../../base/units.ts'
import type { Vector } from '../../base/vector.ts'
import { moduleBeside, type Threads } from '../../platform/threads.ts'
import type { Image } from '../image/image.ts'
import { faultInImage, snapshotOf } from '../image/image-file.ts'

/** An image that equals `vector` in every row; `hash` is the SHA-256 of its `imageBytes` bytes, `stored` is their compressed form. */
export type PackedImage = {
  readonly vector: Vector
  readonly imageBytes: number
  readonly hash: Buffer
  readonly stored: Buffer
}

export type FromPackThread =
  | {
      readonly vector: ReadonlyMap<Slot, Lsn>
      readonly imageBytes: number
      readonly hash: Uint8Array
      readonly stored: Uint8Array
    }
  | { readonly code: MatrixErrorCode; readonly text: string }

/** Below this a thread costs more than it spares. */
const THREAD_BYTES = 1 * MiB
/** Speed over size: level 3 is zstd's own default; the checksum in its frame is spared, chunks have one. */
const options = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }

/** The committed state of `image`, within this turn of the event loop. Throws MatrixError 'image-damaged'. */
export function packImage(image: Image): PackedImage {
  return packed(new Map(image.vector), image.serialize())
}

/** The image in `file` as it was committed last. Throws MatrixError 'image-damaged'. */
export function packFile(file: string): PackedImage {
  const { vector, bytes } = snapshotOf(file)
  return packed(vector, bytes)
}

/** The committed state of `image`, by a thread when that is worth it and there are any. Rejects with MatrixError 'image-damaged'. */
export async function packAside(image: Image, threads: Threads | undefined): Promise<PackedImage> {
  if (!threads || image.file === ':memory:' || image.bytes < THREAD_BYTES) return packImage(image)
  return new Promise((resolve, reject) => {
    const thread = threads.start(moduleBeside(import.meta.url, './pack-worker.ts'), image.file)
    let answered = false
    thread.onMessage = (message) => {
      answered = true
      const answer = message as FromPackThread
      if ('code' in answer) reject(new MatrixError(answer.code, answer.text))
      else resolve({ ...answer, hash: toBuffer(answer.hash), stored: toBuffer(answer.stored) })
    }
    thread.onExit = (reason) => {
      if (!answered) reject(new MatrixError('image-damaged', `the thread that packs the image ended: ${reason}`))
    }
  })
}

function packed(vector: Vector, image: Buffer): PackedImage {
  const fault = faultInImage(image)
  if (fault !== undefined) throw new MatrixError('image-damaged', `the image is not sound: ${fault}`)
  const hash = createHash('sha256').update(image).digest()
  return { vector, imageBytes: image.length, hash, stored: zstdCompressSync(image, options) }
}

/** Without a copy. */
function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
