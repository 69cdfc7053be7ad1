/**
 * A program that is served by its table: arguments are decoded, a handler is called, its result is encoded. For all that is not
 * called a hundred thousand times a second; NFS itself has codecs of its own (v3/program.ts).
 *
 * A handler answers at once or later. When it throws `NoAnswer`, nothing is answered, and the client asks again; anything else
 * that it throws is a bug here: it is logged and answered with SYSTEM_ERR.
 *
 * Procedures named in `once` change something that doing them twice would spoil: their replies are remembered (replies.ts).
 */
import { InvariantError } from '../../base/assert.ts'
import { brokenRules } from '../../base/broken-rules.ts'
import { crc32c } from '../../base/crc32c.ts'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import type { Credentials } from '../../export/index.ts'
import type { Clock } from '../../platform/clock.ts'
import type { ArgsOfProcedure, Procedure, ResultOfProcedure } from '../xdr/procedure.ts'
import type { XdrReader } from '../xdr/reader.ts'
import { type CallHeader, putAcceptFailure } from './message.ts'
import type { RememberedReply } from './replies.ts'
import { SMALL_REPLY_BYTES } from './reply-writer.ts'
import type { Program, Session } from './session.ts'

/** Only silence is honest: the node has withdrawn, or the outcome is in doubt. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

/** Through what a call came, and in whose name. */
export type CallContext = { readonly session: Session; readonly credentials: Credentials }

export type Handlers<T> = {
  readonly [Name in keyof T]: (
    args: ArgsOfProcedure<T[Name]>,
    context: CallContext,
  ) => MaybePromise<ResultOfProcedure<T[Name]>>
}

export type TableProgramOptions<T> = {
  readonly name: string
  readonly number: number
  readonly version: number
  readonly table: T
  readonly handlers: Handlers<T>
  readonly clock: Clock
  readonly once?: readonly (keyof T)[]
  /** Bytes that results take at most, where that is more than a small reply. */
  readonly resultBytes?: { readonly [Name in keyof T]?: number }
}

type Entry = {
  readonly name: string
  readonly procedure: Procedure<unknown, unknown>
  readonly handler: (args: unknown, context: CallContext) => MaybePromise<unknown>
  readonly once: boolean
  readonly resultBytes: number
}

type Request = CallContext & {
  readonly entry: Entry
  readonly xid: number
  readonly remembered: RememberedReply | undefined
}

export class TableProgram<T extends { readonly [name: string]: unknown }> implements Program {
  readonly name: string
  readonly number: number
  readonly version: number
  readonly procedures: number
  readonly #clock: Clock
  /** By number; there may be gaps. */
  readonly #entries: (Entry | undefined)[] = []
  readonly #counts: number[] = []

  constructor({ name, number, version, table, handlers, clock, once = [], resultBytes }: TableProgramOptions<T>) {
    this.name = name
    this.number = number
    this.version = version
    this.#clock = clock
    for (const [key, value] of Object.entries(table)) {
      const procedure = value as Procedure<unknown, unknown>
      this.#counts[procedure.number] = 0
      this.#entries[procedure.number] = {
        name: key,
        procedure,
        handler: handlers[key] as Entry['handler'],
        once: once.includes(key),
        resultBytes: resultBytes?.[key] ?? SMALL_REPLY_BYTES,
      }
    }
    this.procedures = this.#entries.length
  }

  /** Calls since the start, by procedure. */
  get calls(): Readonly<Record<string, number>> {
    const entries = this.#entries.flatMap((entry, number) => (entry ? [[entry.name, this.#counts[number]]] : []))
    return Object.fromEntries(entries)
  }

  serve(session: Session, header: CallHeader, from: XdrReader): void {
    const { xid, procedure: number } = header
    const entry = this.#entries[number]
    if (!entry) {
      putAcceptFailure(session.replies, xid, { kind: 'procedure-unavailable' })
      return
    }
    this.#counts[number]!++
    const start = from.at
    const args = entry.procedure.args.decode(from)
    let remembered: RememberedReply | undefined
    if (entry.once && !brokenRules.doneOnce) {
      const { replies } = session.client
      const checksum = crc32c(from.bytes.subarray(start, from.end))
      const what = this.number * 256 + number
      const known = replies.find(xid, what, checksum)
      if (known) {
        repeat(session, known)
        return
      }
      remembered = replies.begin(xid, what, checksum)
    }
    const context = { session, credentials: header.credentials }
    const request: Request = { ...context, entry, xid, remembered }
    let result: MaybePromise<unknown>
    try {
      result = entry.handler(args, context)
    } catch (error) {
      this.#fail(request, error)
      return
    }
    if (!isPromise(result)) {
      this.#answer(request, result)
      return
    }
    session.begun()
    result
      .then(
        (value) => this.#answer(request, value),
        (error) => this.#fail(request, error),
      )
      .then(() => session.finished())
  }

  #answer(request: Request, result: unknown): void {
    const { session, entry, xid } = request
    const out = session.replies
    const start = out.begin(xid, entry.resultBytes)
    entry.procedure.result.encode(out, result)
    out.end(start)
    this.#remember(request, out.copyFrom(start))
  }

  #fail(request: Request, error: unknown): void {
    const { session, entry, xid, remembered } = request
    if (error instanceof InvariantError) throw error
    if (error instanceof NoAnswer) {
      if (remembered) session.client.replies.forget(xid, remembered)
      session.drop(error.message)
      return
    }
    session.report(entry.name, error)
    const out = session.replies
    const start = out.begin(xid, SMALL_REPLY_BYTES)
    out.cancel(start)
    putAcceptFailure(out, xid, { kind: 'system-error' })
    this.#remember(request, out.copyFrom(start))
  }

  #remember({ session, remembered }: Request, reply: Buffer): void {
    if (remembered) session.client.replies.answered(remembered, reply, this.#clock.now())
  }
}

/** A call that was asked before: sends its reply again, or waits for it. */
function repeat(session: Session, known: RememberedReply): void {
  if (known.reply) {
    session.replies.append(known.reply)
    return
  }
  session.begun()
  known.waiters ??= []
  known.waiters.push((reply) => {
    if (reply) session.replies.append(reply)
    else session.drop('a repeated request was given up')
    session.finished()
  })
}
