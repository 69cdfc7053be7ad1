/**
 * A ZIP file written from front to end, to a sink that sets the pace. Only the central directory grows in memory: some 100 bytes per member.
 *
 * 1. A member that is there as a whole gets its sizes and checksum in front of its data.
 * 2. A member that is streamed gets them behind it. It is always "deflated", since a reader that sees only the stream finds the end of no other
 *    kind; where deflate would gain nothing its data goes into stored blocks (RFC 1951 3.2.4), five bytes for 64 KiB.
 * 3. A streamed member that fails is closed, so that the stream goes on, and is not in the central directory: to all who read that, it is not there.
 */
import { promisify } from 'node:util'
import { constants, crc32, deflateRaw } from 'node:zlib'
import {
  centralHeader,
  DEFLATED,
  dataDescriptor,
  endRecords,
  localHeader,
  type MemberHead,
  type MemberSizes,
  needsZip64,
  STORED,
} from './records.ts'

const deflate = promisify(deflateRaw)

/** Takes bytes in order. The promise, when there is one, is to be awaited before the next call; `done`: the memory is free again. */
export type Sink = (chunk: Buffer, done?: () => void) => Promise<void> | undefined

/** Part of a streamed member; `free` is called once its memory is not needed any more. */
export type Part = { readonly bytes: Buffer; readonly free: () => void }

/** Text shrinks well at this level, at several times the speed of the usual one. */
const LEVEL = 3
/** Below, deflate gains nothing worth the name. */
const MIN_DEFLATE_BYTES = 128
const MAX_STORED_BLOCK = 0xffff
/** An empty last block with fixed codes: how a deflate stream of flushed parts ends. */
const LAST_BLOCK = Buffer.from([0x03, 0x00])

export class ZipWriter {
  readonly #sink: Sink
  readonly #central: Buffer[] = []
  #centralBytes = 0
  #offset = 0

  constructor(sink: Sink) {
    this.#sink = sink
  }

  /** Members so far. */
  get count(): number {
    return this.#central.length
  }

  /** What the central directory takes, bytes. */
  get centralBytes(): number {
    return this.#centralBytes
  }

  /** A member whose content is there: a small file, a link (its target), a directory (nothing). */
  async addWhole(head: MemberHead, content: Buffer, compress: boolean): Promise<void> {
    const crc = crc32(content)
    const deflated =
      compress && content.length >= MIN_DEFLATE_BYTES ? await deflate(content, { level: LEVEL }) : undefined
    const data = deflated && deflated.length < content.length ? deflated : content
    const method = data === content ? STORED : DEFLATED
    const sizes = { crc, compressed: data.length, size: content.length }
    const offset = this.#offset
    await this.#send(localHeader(head, method, sizes, false))
    if (data.length > 0) await this.#send(data)
    this.#remember(centralHeader(head, method, sizes, offset, { later: false, zip64: false }))
  }

  /** A member of about `size` bytes, piece by piece. Rejects as `parts` does; the archive is fit to go on then. */
  async addStream(head: MemberHead, parts: AsyncIterable<Part>, size: number, compress: boolean): Promise<void> {
    // Stored blocks add less than a thousandth; a file may not grow meanwhile, since only `size` bytes of it are read.
    const zip64 = needsZip64(size + size / 1000)
    const offset = this.#offset
    await this.#send(localHeader(head, DEFLATED, 'later', zip64))
    const start = this.#offset
    let crc = 0
    let written = 0
    const close = async (): Promise<MemberSizes> => {
      await this.#send(LAST_BLOCK)
      const sizes = { crc, compressed: this.#offset - start, size: written }
      await this.#send(dataDescriptor(sizes, zip64))
      return sizes
    }
    let source: unknown
    try {
      for await (const { bytes, free } of failing(parts, (error) => (source = error))) {
        crc = crc32(bytes, crc)
        written += bytes.length
        if (compress) {
          const deflated = await deflate(bytes, { level: LEVEL, finishFlush: constants.Z_SYNC_FLUSH })
          free()
          await this.#send(deflated)
        } else await this.#sendStored(bytes, free)
      }
    } catch (error) {
      if (error === source) await close()
      throw error
    }
    this.#remember(centralHeader(head, DEFLATED, await close(), offset, { later: true, zip64 }))
  }

  async end(): Promise<void> {
    const offset = this.#offset
    for (const header of this.#central) await this.#send(header)
    await this.#send(endRecords(this.#central.length, offset, this.#centralBytes))
  }

  async #sendStored(bytes: Buffer, free: () => void): Promise<void> {
    for (let at = 0; at < bytes.length; at += MAX_STORED_BLOCK) {
      const block = bytes.subarray(at, at + MAX_STORED_BLOCK)
      const header = Buffer.alloc(5)
      header.writeUInt16LE(block.length, 1)
      header.writeUInt16LE(~block.length & 0xffff, 3)
      await this.#send(header)
      await this.#send(block, at + MAX_STORED_BLOCK >= bytes.length ? free : undefined)
    }
  }

  async #send(chunk: Buffer, done?: () => void): Promise<void> {
    this.#offset += chunk.length
    const full = this.#sink(chunk, done)
    if (full) await full
  }

  #remember(header: Buffer): void {
    this.#central.push(header)
    this.#centralBytes += header.length
  }
}

/** The same parts; tells of a failure that is theirs, not the sink's. */
async function* failing(parts: AsyncIterable<Part>, onFailure: (error: unknown) => void): AsyncGenerator<Part> {
  try {
    yield* parts
  } catch (error) {
    onFailure(error)
    throw error
  }
}
