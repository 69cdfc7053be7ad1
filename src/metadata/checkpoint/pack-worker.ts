/** Entry of the thread that packs one image (pack.ts starts it) and ends. */
import { parentPort, workerData } from 'node:worker_threads'
import { isMatrixError } from '../../base/errors.ts'
import { type FromPackThread, packImage } from './pack.ts'

function pack(image: Uint8Array): FromPackThread {
  try {
    return packImage(Buffer.from(image.buffer, image.byteOffset, image.length))
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return { code: isMatrixError(error) ? error.code : 'image-damaged', text }
  }
}

parentPort?.postMessage(pack(workerData as Uint8Array))
