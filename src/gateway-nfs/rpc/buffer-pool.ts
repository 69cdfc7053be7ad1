/**
 * Recycled buffers for replies, in three sizes: a turn's worth of small replies, a middling READ or listing, the largest
 * READ. Fresh memory costs a page fault for every 4 KiB; that is most of what a large READ would cost.
 */
import { assert } from '../../base/assert.ts'
import { KiB } from '../../base/units.ts'
import { TRANSFER_MAX } from '../limits.ts'

/** Room for a reply's header and attributes beside its data. */
const HEADROOM = 4 * KiB
const CLASSES = [
  { bytes: 16 * KiB, keep: 256 },
  { bytes: 128 * KiB + HEADROOM, keep: 32 },
  { bytes: TRANSFER_MAX + HEADROOM, keep: 16 },
] as const

export const LARGEST_REPLY = TRANSFER_MAX + HEADROOM

export type PooledBuffer = { readonly bytes: Buffer; readonly view: DataView }

export class BufferPool {
  readonly #idle: PooledBuffer[][] = CLASSES.map(() => [])

  /** A buffer of at least `bytes` bytes with anything in it. */
  take(bytes: number): PooledBuffer {
    assert(bytes <= LARGEST_REPLY, 'a reply fits into the largest buffer')
    const index = CLASSES.findIndex((size) => bytes <= size.bytes)
    const idle = this.#idle[index]!.pop()
    if (idle) return idle
    const fresh = Buffer.allocUnsafeSlow(CLASSES[index]!.bytes)
    return { bytes: fresh, view: new DataView(fresh.buffer, fresh.byteOffset, fresh.byteLength) }
  }

  /** Gives a buffer back; nobody may look at it any more. */
  release(buffer: PooledBuffer): void {
    const index = CLASSES.findIndex((size) => size.bytes === buffer.bytes.length)
    const idle = this.#idle[index]!
    if (idle.length < CLASSES[index]!.keep) idle.push(buffer)
  }
}
