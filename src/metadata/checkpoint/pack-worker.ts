/** Entry of the thread that packs the image in one file (pack.ts starts it) and ends. */
import { parentPort, workerData } from 'node:worker_threads'
import { isMatrixError } from '../../base/errors.ts'
import { type FromPackThread, packFile } from './pack.ts'

function pack(file: string): FromPackThread {
  try {
    return packFile(file)
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    return { code: isMatrixError(error) ? error.code : 'image-damaged', text }
  }
}

parentPort?.postMessage(pack(workerData as string))
