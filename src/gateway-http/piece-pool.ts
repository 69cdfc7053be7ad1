/** Recycled buffers for streaming: large allocations are zeroed by the system and cost more than the copy into them. */
import { MAX_IDLE_PIECES, PIECE_BYTES } from './limits.ts'

export class PiecePool {
  readonly #idle: Buffer[] = []

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES)
  }

  /** Only once nobody reads or writes it any more. A buffer that is never given back is simply collected. */
  give(piece: Buffer): void {
    if (this.#idle.length < MAX_IDLE_PIECES) this.#idle.push(piece)
  }
}
