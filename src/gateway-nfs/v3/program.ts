/**
 * NFS version 3: drives the operations. What happens to a request, in order:
 *
 *  1. Its arguments are decoded (else GARBAGE_ARGS).
 *  2. A change that was asked before is answered from the cache of replies, and goes no further.
 *  3. Its handles lead to an export and a caller (else BADHANDLE, STALE, ACCES); a read-only export refuses changes.
 *  4. The verb runs. It answers now, and the reply is encoded at once; or later, and the reply is encoded then.
 *  5. The reply leaves with the others of its pass; of a change, once the change is durable.
 *
 * Where only silence is honest (the node has withdrawn, or the outcome is in doubt), the connection is dropped, so that the
 * client asks again, here or at another node.
 */
import { crc32c } from '../../base/crc32c.ts'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import type { Handle } from '../../export/index.ts'
import type { Inode } from '../../metadata/index.ts'
import type { Clock } from '../../platform/clock.ts'
import type { CallHeader } from '../rpc/message.ts'
import type { RememberedReply } from '../rpc/replies.ts'
import { type ReplyWriter, SMALL_REPLY_BYTES } from '../rpc/reply-writer.ts'
import type { Program, Session } from '../rpc/session.ts'
import type { XdrReader } from '../xdr/reader.ts'
import { putAfter, putChange } from './attributes.ts'
import * as c from './constants.ts'
import type { AnyOperation, Call, Targets } from './operation.ts'
import { operations } from './operations.ts'
import { Nfs3Failure, statusOf } from './status.ts'
import type { ProcedureName } from './tables.ts'

/** One request under way. */
type Request = {
  readonly session: Session
  readonly operation: AnyOperation
  readonly xid: number
  readonly args: Targets
  /** Undefined until the handles were found good. */
  call: Call | undefined
  /** Of a change: where its reply will be remembered. */
  readonly remembered: RememberedReply | undefined
}

export class Nfs3Program implements Program {
  readonly name = 'nfs'
  readonly number = c.NFS_PROGRAM
  readonly version = c.NFS_V3
  readonly procedures = operations.length
  readonly #clock: Clock
  /** Requests served, by procedure number. */
  readonly #counts = operations.map(() => 0)
  #duplicates = 0

  constructor({ clock }: { clock: Clock }) {
    this.#clock = clock
  }

  /** Requests served since the start, by procedure, and how many of them were answered from the cache of replies. */
  stats(): { readonly calls: Readonly<Record<ProcedureName, number>>; readonly duplicates: number } {
    const calls = Object.fromEntries(operations.map((each, number) => [each?.name ?? 'NULL', this.#counts[number]]))
    return { calls: calls as Record<ProcedureName, number>, duplicates: this.#duplicates }
  }

  serve(session: Session, header: CallHeader, from: XdrReader): void {
    const { xid, procedure } = header
    this.#counts[procedure]!++
    const operation = operations[procedure]
    if (!operation) {
      session.replies.end(session.replies.begin(xid, 0))
      return
    }
    const start = from.at
    const args = operation.decode(from)
    let remembered: RememberedReply | undefined
    if (operation.effect === 'change') {
      const checksum = crc32c(from.bytes.subarray(start, from.end))
      const known = session.client.replies.find(xid, procedure, checksum)
      if (known) {
        this.#repeat(session, known, args)
        return
      }
      remembered = session.client.replies.begin(xid, procedure, checksum)
    }
    const request: Request = { session, operation, xid, args, call: undefined, remembered }
    let result: MaybePromise<unknown>
    try {
      const call = admit(session, header, operation, args)
      request.call = call
      if (operation.effect !== 'read' && call.exported.access === 'ro') throw new Nfs3Failure(c.NFS3ERR_ROFS)
      result = operation.run(call, args)
    } catch (error) {
      this.#fail(request, error)
      return
    }
    if (!isPromise(result)) {
      this.#answer(request, result)
      return
    }
    const expected = operation.expectedBytes?.(args) ?? 0
    session.begun(expected)
    // a broken invariant thrown in here has no handler on purpose: it stops the node
    result.then(
      (value) => {
        this.#answer(request, value)
        session.finished(expected)
      },
      (error) => {
        this.#fail(request, error)
        session.finished(expected)
      },
    )
  }

  /** Encodes the reply of a verb that succeeded. */
  #answer(request: Request, result: unknown): void {
    const { operation, args } = request
    const call = request.call as Call
    const out = writerOf(request)
    const start = out.begin(request.xid, operation.resultBytes?.(result, args) ?? SMALL_REPLY_BYTES)
    try {
      out.uint32(c.NFS3_OK)
      operation.encode(out, call, result, args)
    } catch (error) {
      out.cancel(start)
      this.#fail(request, error)
      return
    }
    this.#end(request, out, start)
  }

  /** Encodes the reply of a request that failed: at once, or when its targets' attributes are there. */
  #fail(request: Request, error: unknown): void {
    const { session, operation, args, call } = request
    const status = statusOf(error)
    if (status === 'unknown') {
      if (request.remembered) session.client.replies.forget(request.xid, request.remembered)
      session.drop('the node cannot say what became of a request', error)
      return
    }
    if (status === c.NFS3ERR_SERVERFAULT) session.report(operation.name, error)
    const inodes = operation.failure.map((_, index) => attributesOf(call, index === 0 ? args.object : args.other))
    if (!inodes.some(isPromise)) {
      this.#refuse(request, status, inodes as (Inode | undefined)[])
      return
    }
    session.begun()
    Promise.all(inodes).then((found) => {
      this.#refuse(request, status, found)
      session.finished()
    })
  }

  #refuse(request: Request, status: number, inodes: readonly (Inode | undefined)[]): void {
    const { operation, call } = request
    const out = writerOf(request)
    const start = out.begin(request.xid, SMALL_REPLY_BYTES)
    out.uint32(status)
    for (const [index, shape] of operation.failure.entries()) {
      if (shape === 'after') putAfter(out, call?.fs, inodes[index])
      else putChange(out, undefined, call?.fs, inodes[index])
    }
    this.#end(request, out, start)
  }

  #end(request: Request, out: ReplyWriter, start: number): void {
    out.end(start)
    const { session, remembered } = request
    if (remembered) session.client.replies.answered(remembered, out.copyFrom(start), this.#clock.now())
  }

  /** A change that was asked before: sends its reply again, or waits for it. Never before the change is durable. */
  #repeat(session: Session, known: RememberedReply, args: Targets): void {
    this.#duplicates++
    const exported = args.object && session.client.exportOf(args.object)
    const fs = typeof exported === 'object' ? exported.fs : undefined
    const out = () => (fs ? session.repliesAfter(fs) : session.replies)
    if (known.reply) {
      out().append(known.reply)
      return
    }
    session.begun()
    known.waiters ??= []
    known.waiters.push((reply) => {
      if (reply) out().append(reply)
      else session.drop('a repeated request was given up')
      session.finished()
    })
  }
}

/** Where a request's reply is put. */
function writerOf({ session, operation, call }: Request): ReplyWriter {
  return operation.effect === 'change' && call ? session.repliesAfter(call.fs) : session.replies
}

/** Checks the handles of a request against the exports; throws Nfs3Failure. */
function admit(session: Session, header: CallHeader, operation: AnyOperation, { object, other }: Targets): Call {
  if (!object) throw new Nfs3Failure(c.NFS3ERR_BADHANDLE)
  const exported = session.client.exportOf(object)
  if (exported === 'stale') throw new Nfs3Failure(c.NFS3ERR_STALE)
  if (exported === 'refused') throw new Nfs3Failure(c.NFS3ERR_ACCES)
  if (operation.failure.length === 2) {
    if (!other) throw new Nfs3Failure(c.NFS3ERR_BADHANDLE)
    if (other.fsid !== object.fsid || other.exportId !== object.exportId) throw new Nfs3Failure(c.NFS3ERR_XDEV)
  }
  const caller = session.client.callerOf(exported, header.credentials)
  const { transferMax } = session.client
  return { exported, fs: exported.fs, caller, ino: object.ino, other: other?.ino ?? 0, transferMax }
}

/** The inode of a target of a failed request, if it can be had. */
function attributesOf(call: Call | undefined, handle: Handle | undefined): MaybePromise<Inode | undefined> {
  if (!call || !handle) return undefined
  try {
    const inode = call.fs.getattr(handle.ino)
    return isPromise(inode) ? inode.catch(absent) : inode
  } catch (error) {
    return absent(error)
  }
}

/** Attributes on failures are a courtesy: without them the reply says the same. */
function absent(error: unknown): undefined {
  statusOf(error) // a broken invariant is thrown on
  return undefined
}
