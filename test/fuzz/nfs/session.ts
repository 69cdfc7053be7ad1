/** A call without a socket: what the server puts for it is gathered, and what goes wrong is thrown. */

import type { BufferPool } from '../../../src/gateway-nfs/rpc/buffer-pool.ts'
import type { Client } from '../../../src/gateway-nfs/rpc/client.ts'
import { CallHeader } from '../../../src/gateway-nfs/rpc/message.ts'
import type { Programs } from '../../../src/gateway-nfs/rpc/programs.ts'
import { ReplyWriter } from '../../../src/gateway-nfs/rpc/reply-writer.ts'
import type { Session } from '../../../src/gateway-nfs/rpc/session.ts'
import { XdrReader } from '../../../src/gateway-nfs/xdr/reader.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'

export class CallSession implements Session {
  readonly client: Client
  readonly replies: ReplyWriter
  readonly #pool: BufferPool
  #held: { readonly fs: MatrixFs; readonly writer: ReplyWriter } | undefined
  #working = 1
  #failure: Error | undefined
  #done: () => void = () => {}

  constructor(client: Client, pool: BufferPool) {
    this.client = client
    this.#pool = pool
    this.replies = new ReplyWriter(pool)
  }

  /** Serves one record; resolves with its reply, or with nothing when it is no call. Rejects when the server has no answer, or says that it is at fault. */
  async serve(programs: Programs, record: Buffer): Promise<Buffer | undefined> {
    const over = new Promise<void>((resolve) => (this.#done = resolve))
    const isCall = programs.serve(this, new CallHeader(), new XdrReader().reset(record, 0, record.length))
    this.finished()
    await over
    const held = this.#held
    if (held) {
      await new Promise<void>((resolve, reject) => held.fs.afterDurable((error) => (error ? reject(error) : resolve())))
    }
    if (this.#failure) throw this.#failure
    const writers = held ? [this.replies, held.writer] : [this.replies]
    const parts = writers.flatMap((writer) => writer.take().parts)
    const bytes = Buffer.concat(parts.map(({ buffer, bytes: length }) => buffer.bytes.subarray(0, length)))
    for (const { buffer } of parts) this.#pool.release(buffer)
    if (!isCall && bytes.length > 0) throw new Error('what is no call was answered')
    if (isCall && bytes.length === 0) throw new Error('a call was not answered')
    return isCall ? bytes : undefined
  }

  repliesAfter(fs: MatrixFs): ReplyWriter {
    this.#held ??= { fs, writer: new ReplyWriter(this.#pool) }
    return this.#held.writer
  }

  begun(): void {
    this.#working++
  }

  finished(): void {
    if (--this.#working === 0) this.#done()
  }

  drop(reason: string, error?: unknown): void {
    this.#failure ??= new Error(`the server gives no answer: ${reason}`, { cause: error })
  }

  report(procedure: string, error: unknown): void {
    this.#failure ??= new Error(`${procedure}: ${error instanceof Error ? error.stack : String(error)}`)
  }
}
