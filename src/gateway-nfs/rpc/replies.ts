/**
 * The duplicate request cache. A client that lost its connection sends again what was not answered; executing a REMOVE or
 * CREATE a second time would give a wrong answer, so the reply to each such request is remembered and sent again (Juszczak,
 * "Improving the Performance and Correctness of an NFS Server", 1989).
 *
 * One table per client address and port (clients reconnect from the same port for this very reason), keyed by xid, checked
 * by procedure and a checksum of the arguments. Bounded per client, in clients and in time. It is this node's memory only.
 *
 * A request is under way (`reply` undefined) until `answered` or `forgotten`; a duplicate that arrives meanwhile waits for the reply.
 */
import { REPLIES_PER_CLIENT, REPLY_LIFE_MS, REPLY_TABLES_MAX } from '../limits.ts'
import type { Transport } from './transport.ts'

export type RememberedReply = {
  readonly procedure: number
  readonly checksum: number
  reply: Buffer | undefined
  /** When it was answered, clock.now(). */
  answeredAt: number
  /** Called once with the reply, or with nothing when the request was given up. */
  waiters: ((reply: Buffer | undefined) => void)[] | undefined
}

export class ClientReplies {
  readonly #byXid = new Map<number, RememberedReply>()

  get size(): number {
    return this.#byXid.size
  }

  /** The reply to exactly this request, when it has been seen. */
  find(xid: number, procedure: number, checksum: number): RememberedReply | undefined {
    const known = this.#byXid.get(xid)
    return known && known.procedure === procedure && known.checksum === checksum ? known : undefined
  }

  /** Remembers that a request is under way. */
  begin(xid: number, procedure: number, checksum: number): RememberedReply {
    if (this.#byXid.size >= REPLIES_PER_CLIENT) this.#dropOldest()
    const entry: RememberedReply = { procedure, checksum, reply: undefined, answeredAt: 0, waiters: undefined }
    this.#byXid.delete(xid) // a new request with an old number comes last
    this.#byXid.set(xid, entry)
    return entry
  }

  answered(entry: RememberedReply, reply: Buffer, now: number): void {
    entry.reply = reply
    entry.answeredAt = now
    settle(entry, reply)
  }

  /** The request got no answer: when it comes again it is executed. */
  forget(xid: number, entry: RememberedReply): void {
    if (this.#byXid.get(xid) === entry) this.#byXid.delete(xid)
    settle(entry, undefined)
  }

  expire(before: number): void {
    for (const [xid, entry] of this.#byXid) if (entry.reply && entry.answeredAt < before) this.#byXid.delete(xid)
  }

  /** What is under way is bounded by the connection's limit, and kept. */
  #dropOldest(): void {
    for (const [xid, entry] of this.#byXid) {
      if (!entry.reply) continue
      this.#byXid.delete(xid)
      return
    }
  }
}

function settle(entry: RememberedReply, reply: Buffer | undefined): void {
  const { waiters } = entry
  if (!waiters) return
  entry.waiters = undefined
  for (const waiter of waiters) waiter(reply)
}

/** The tables of all clients. */
export class ReplyCache {
  readonly #clients = new Map<string, ClientReplies>()

  of(transport: Transport, address: string, port: number): ClientReplies {
    const key = `${transport}/${address}/${port}`
    const replies = this.#clients.get(key) ?? new ClientReplies()
    this.#clients.delete(key) // heard of last comes last
    this.#clients.set(key, replies)
    if (this.#clients.size > REPLY_TABLES_MAX) this.#dropOldest()
    return replies
  }

  /** Forgets what is older than its life; `connected` tables stay. */
  expire(now: number, connected: ReadonlySet<ClientReplies>): void {
    for (const [key, replies] of this.#clients) {
      replies.expire(now - REPLY_LIFE_MS)
      if (replies.size === 0 && !connected.has(replies)) this.#clients.delete(key)
    }
  }

  #dropOldest(): void {
    for (const key of this.#clients.keys()) {
      this.#clients.delete(key)
      return
    }
  }
}
