/**
 * Frames on a byte stream: a length (u32, little-endian, 1 … MAX_MESSAGE_BYTES) and so many bytes. Pure: no sockets here.
 *
 * A reader gives out frames that lie within one chunk without copying them; a frame in pieces is collected in one buffer of
 * its length. A length of zero or beyond the limit ends the stream: there is no way to find the next frame after it.
 */
import { MatrixError } from '../../base/errors.ts'
import { MAX_MESSAGE_BYTES } from '../../base/limits.ts'

/** Bytes before each frame. */
export const LENGTH_BYTES = 4

export class FrameReader {
  readonly #onFrame: (frame: Buffer) => void
  /** Bytes of a length or frame that has not arrived whole; `#wanted` 0: of a length. */
  #length = Buffer.alloc(LENGTH_BYTES)
  #lengthFilled = 0
  #partial: Buffer | undefined
  #filled = 0

  constructor(onFrame: (frame: Buffer) => void) {
    this.#onFrame = onFrame
  }

  /** True in the middle of a frame: a stream that ends here was cut off. */
  get midFrame(): boolean {
    return this.#partial !== undefined || this.#lengthFilled > 0
  }

  /** Takes the next bytes of the stream. Throws MatrixError 'protocol' on a length that cannot be. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#partial) {
        const partial = this.#partial
        const taken = chunk.copy(partial, this.#filled, at)
        this.#filled += taken
        at += taken
        if (this.#filled === partial.length) {
          this.#partial = undefined
          this.#onFrame(partial)
        }
        continue
      }
      let length: number
      if (this.#lengthFilled === 0 && chunk.length - at >= LENGTH_BYTES) {
        length = chunk.readUInt32LE(at)
        at += LENGTH_BYTES
      } else {
        const taken = chunk.copy(this.#length, this.#lengthFilled, at)
        this.#lengthFilled += taken
        at += taken
        if (this.#lengthFilled < LENGTH_BYTES) return
        this.#lengthFilled = 0
        length = this.#length.readUInt32LE(0)
      }
      if (length === 0 || length > MAX_MESSAGE_BYTES) {
        throw new MatrixError(
          'protocol',
          `a frame of ${length} bytes was announced; 1 to ${MAX_MESSAGE_BYTES} are allowed`,
        )
      }
      if (chunk.length - at >= length) {
        this.#onFrame(chunk.subarray(at, at + length))
        at += length
      } else {
        this.#partial = Buffer.allocUnsafe(length)
        this.#filled = 0
      }
    }
  }
}

/** Frames up to this size are copied together into one buffer; larger ones are handed to the socket as they are, bytes. */
const COPY_BELOW = 16 * 1024

/** Puts lengths before `frames`; the buffers to write, in order, small neighbours joined. */
export function encodeFrames(frames: readonly Uint8Array[]): Buffer[] {
  const out: Buffer[] = []
  for (let first = 0; first < frames.length; ) {
    let bytes = 0
    let end = first
    // a run of small frames, closed by the length of the large one that follows it
    while (end < frames.length) {
      const length = (frames[end] as Uint8Array).length
      bytes += LENGTH_BYTES
      if (length > COPY_BELOW) break
      bytes += length
      end++
    }
    const joined = Buffer.allocUnsafe(bytes)
    let at = 0
    for (let i = first; i < end; i++) {
      const frame = frames[i] as Uint8Array
      at = joined.writeUInt32LE(frame.length, at)
      joined.set(frame, at)
      at += frame.length
    }
    const large = frames[end]
    if (large) joined.writeUInt32LE(large.length, at)
    out.push(joined)
    if (large) out.push(Buffer.from(large.buffer, large.byteOffset, large.byteLength))
    first = end + 1
  }
  return out
}
