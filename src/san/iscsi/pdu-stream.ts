/** PDUs over a byte stream: sent, received, and ended once, with a reason. Nothing arrives after the end, whatever the target goes on to send. */
import { InvariantError } from '../../base/assert.ts'
import type { ByteStream } from '../../platform/byte-stream.ts'
import { type Digests, encodePdu, type Pdu, PduReader } from './pdu.ts'

/** Longest data segment that targets may send, as is declared to them, bytes. */
export const MAX_RECV_BYTES = 256 * 1024

export class PduStream {
  /** What it throws ends the stream. */
  onPdu: (pdu: Pdu) => void = () => {}
  /** Called exactly once. */
  onEnd: (reason: string) => void = () => {}
  readonly #stream: ByteStream
  readonly #reader: PduReader
  #digests: Digests = { header: false, data: false }
  #ended: string | undefined

  constructor(stream: ByteStream) {
    this.#stream = stream
    this.#reader = new PduReader(MAX_RECV_BYTES, (pdu) => {
      if (this.#ended === undefined) this.onPdu(pdu)
    })
    stream.onData = (chunk) => {
      if (this.#ended !== undefined) return
      try {
        this.#reader.push(chunk)
      } catch (error) {
        if (error instanceof InvariantError) throw error
        this.end(error instanceof Error ? error.message : String(error))
      }
    }
    stream.onClose = (reason) => this.end(reason)
  }

  /** Why it has ended. */
  get ended(): string | undefined {
    return this.#ended
  }

  /** Of everything from now on, both ways. */
  useDigests(digests: Digests): void {
    this.#digests = digests
    this.#reader.digests = digests
  }

  send(bhs: Buffer, data: readonly Uint8Array[] = []): void {
    if (this.#ended === undefined) this.#stream.write(encodePdu(bhs, data, this.#digests))
  }

  end(reason: string): void {
    if (this.#ended !== undefined) return
    this.#ended = reason
    this.#stream.reset()
    this.onEnd(reason)
  }
}
