/**
 * The bytes of a medium: zeroes at first, and only what was written takes memory. A copy shares everything with its original
 * until one of the two writes (chunk by chunk), so that a thousand states of one LUN are cheap.
 */
const CHUNK = 64 * 1024

export class SparseBytes {
  readonly #chunks: Map<number, Buffer>
  /** Chunks that no copy can see. */
  #own = new Set<number>()

  constructor(chunks: Map<number, Buffer> = new Map()) {
    this.#chunks = chunks
  }

  read(offset: number, into: Buffer): void {
    for (let done = 0; done < into.length; ) {
      const at = (offset + done) % CHUNK
      const length = Math.min(CHUNK - at, into.length - done)
      const chunk = this.#chunks.get((offset + done - at) / CHUNK)
      if (chunk) chunk.copy(into, done, at, at + length)
      else into.fill(0, done, done + length)
      done += length
    }
  }

  write(offset: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = (offset + done) % CHUNK
      const length = Math.min(CHUNK - at, bytes.length - done)
      this.#writable((offset + done - at) / CHUNK).set(bytes.subarray(done, done + length), at)
      done += length
    }
  }

  copy(): SparseBytes {
    this.#own = new Set()
    return new SparseBytes(new Map(this.#chunks))
  }

  #writable(index: number): Buffer {
    let chunk = this.#chunks.get(index)
    if (chunk && this.#own.has(index)) return chunk
    chunk = chunk ? Buffer.from(chunk) : Buffer.alloc(CHUNK)
    this.#chunks.set(index, chunk)
    this.#own.add(index)
    return chunk
  }
}
