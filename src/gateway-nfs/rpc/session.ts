/** What a program may do with that through which a call came: a connection (connection.ts) or a datagram (datagrams.ts). */
import type { MatrixFs } from '../../metadata/index.ts'
import type { XdrReader } from '../xdr/reader.ts'
import type { Client } from './client.ts'
import type { CallHeader } from './message.ts'
import type { ReplyWriter } from './reply-writer.ts'

export interface Session {
  readonly client: Client
  /** Replies put here leave at the end of this pass over what was received. */
  readonly replies: ReplyWriter
  /** Replies put here leave once every change that `fs` has answered so far is durable. */
  repliesAfter(fs: MatrixFs): ReplyWriter
  /** A request was taken whose reply, of about `replyBytes` when that is much, will be put later; `finished` once it has been. */
  begun(replyBytes?: number): void
  finished(replyBytes?: number): void
  /** Answers nothing of what is under way, and closes the connection: the client will ask again, here or elsewhere. */
  drop(reason: string, error?: unknown): void
  /** Logs a failure that is not the client's doing. */
  report(procedure: string, error: unknown): void
}

/** An RPC program of one version. */
export interface Program {
  readonly name: string
  readonly number: number
  readonly version: number
  /** Procedures are numbered from 0. */
  readonly procedures: number
  /** Serves one call: takes what it needs from `from` before it returns. Throws XdrError when the arguments are garbage. */
  serve(session: Session, header: CallHeader, from: XdrReader): void
}
