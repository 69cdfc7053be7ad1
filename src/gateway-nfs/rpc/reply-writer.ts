/**
 * Gathers the replies of one pass, each in its record (rpc/record-marking.ts) and with its accepted-reply header (RFC 5531 9), so
 * that they leave in one write. An accepted reply without a verifier, big-endian:
 *
 *     offset size  name
 *     0      4     record mark: 2^31 + length of what follows
 *     4      4     xid
 *     8      4     message type  1, REPLY
 *     12     4     reply status  0, MSG_ACCEPTED
 *     16     8     verifier      AUTH_NONE, length 0
 *     24     4     accept status 0, SUCCESS
 *     28           the procedure's result
 */
import { assert } from '../../base/assert.ts'
import { XdrWriter } from '../xdr/writer.ts'
import type { BufferPool, PooledBuffer } from './buffer-pool.ts'

export const REPLY_HEADER_BYTES = 28
/** More than any reply of fixed size takes. */
export const SMALL_REPLY_BYTES = 512

/** Finished records in buffers of the pool, in order. */
export type Batch = {
  readonly parts: readonly { readonly buffer: PooledBuffer; readonly bytes: number }[]
  readonly bytes: number
}

const NO_BYTES = Buffer.alloc(0)

export class ReplyWriter extends XdrWriter {
  readonly #pool: BufferPool
  #buffer: PooledBuffer | undefined
  #full: { buffer: PooledBuffer; bytes: number }[] = []
  #fullBytes = 0

  constructor(pool: BufferPool) {
    super(NO_BYTES)
    this.#pool = pool
  }

  get isEmpty(): boolean {
    return this.pendingBytes === 0
  }

  /** Bytes put and not yet taken. */
  get pendingBytes(): number {
    return this.#fullBytes + this.at
  }

  /** Makes sure of `bytes` contiguous bytes. */
  #reserve(bytes: number): void {
    if (this.at + bytes <= this.bytes.length) return
    this.#seal()
    const buffer = this.#pool.take(bytes)
    this.#buffer = buffer
    this.bytes = buffer.bytes
    this.view = buffer.view
  }

  #seal(): void {
    if (this.#buffer) {
      this.#full.push({ buffer: this.#buffer, bytes: this.at })
      this.#fullBytes += this.at
    }
    this.#buffer = undefined
    this.bytes = NO_BYTES
    this.at = 0
  }

  /** Begins a successful reply whose result takes at most `resultBytes`; gives what `end` wants to know. */
  begin(xid: number, resultBytes: number): number {
    this.#reserve(REPLY_HEADER_BYTES + resultBytes)
    const start = this.at
    const view = this.view
    view.setUint32(start + 4, xid)
    view.setUint32(start + 8, 1)
    view.setUint32(start + 12, 0)
    view.setUint32(start + 16, 0)
    view.setUint32(start + 20, 0)
    view.setUint32(start + 24, 0)
    this.at = start + REPLY_HEADER_BYTES
    return start
  }

  /** Ends the record begun at `start`. */
  end(start: number): void {
    const length = this.at - start
    assert(length % 4 === 0 && this.at <= this.bytes.length, 'a reply is whole words and fits')
    this.view.setUint32(start, 0x80000000 + length - 4)
  }

  /** Takes back the record begun at `start`. */
  cancel(start: number): void {
    this.at = start
  }

  /** A copy of the record that was just ended, for the cache of replies. */
  copyFrom(start: number): Buffer {
    return Buffer.from(this.bytes.subarray(start, this.at))
  }

  /** Appends a record made before (`copyFrom`). */
  append(record: Buffer): void {
    this.#reserve(record.length)
    this.bytes.set(record, this.at)
    this.at += record.length
  }

  /** Hands over everything ended so far. */
  take(): Batch {
    this.#seal()
    const batch = { parts: this.#full, bytes: this.#fullBytes }
    this.#full = []
    this.#fullBytes = 0
    return batch
  }
}
