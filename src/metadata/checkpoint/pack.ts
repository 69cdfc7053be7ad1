/**
 * Makes an image ready for its place on the LUN: looks at it, hashes and compresses it. An image whose file was damaged on this
 * node's own disk must never become the checkpoint from which every node starts: its pages are checked first, all of them.
 *
 * That takes about a second per million files, so a large image goes through a thread (pack-worker.ts).
 */
import { createHash } from 'node:crypto'
import { constants, zstdCompressSync } from 'node:zlib'
import { MatrixError, type MatrixErrorCode } from '../../base/errors.ts'
import { MiB } from '../../base/units.ts'
import type { Threads } from '../../platform/threads.ts'
import { faultInImage } from '../image/image.ts'

export type PackedImage = { readonly hash: Buffer; readonly stored: Buffer }

export type FromPackThread =
  | { readonly hash: Uint8Array; readonly stored: Uint8Array }
  | { readonly code: MatrixErrorCode; readonly text: string }

/** Below this a thread costs more than it spares, and a simulation stays repeatable. */
const THREAD_BYTES = 4 * MiB
/** Speed over size: level 3 is zstd's own default; the checksum in its frame is spared, chunks have one. */
const options = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }

/** Throws MatrixError 'image-damaged'. */
export function packImage(image: Buffer): PackedImage {
  const fault = faultInImage(image)
  if (fault !== undefined) throw new MatrixError('image-damaged', `the image is not sound: ${fault}`)
  return { hash: createHash('sha256').update(image).digest(), stored: zstdCompressSync(image, options) }
}

/** The same, in a thread when that is worth it and there are any. Rejects with MatrixError 'image-damaged'. */
export async function packAside(image: Buffer, threads: Threads | undefined): Promise<PackedImage> {
  if (!threads || image.length < THREAD_BYTES) return packImage(image)
  return new Promise((resolve, reject) => {
    const thread = threads.start(workerEntry(), image)
    let answered = false
    thread.onMessage = (message) => {
      answered = true
      const answer = message as FromPackThread
      if ('code' in answer) reject(new MatrixError(answer.code, answer.text))
      else resolve({ hash: Buffer.from(answer.hash), stored: toBuffer(answer.stored) })
    }
    thread.onExit = (reason) => {
      if (!answered) reject(new MatrixError('image-damaged', `the thread that packs the image ended: ${reason}`))
    }
  })
}

/** Without a copy. */
function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

function workerEntry(): URL {
  const entry = new URL('./pack-worker.ts', import.meta.url)
  if (import.meta.url.endsWith('.js')) entry.pathname = entry.pathname.replace(/\.ts$/, '.js')
  return entry
}
