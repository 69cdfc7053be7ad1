/**
 * The matrix communication service (MCS): messages and requests between the members of the installed view (R36, R52).
 *
 * Invariants
 *  1. A message is delivered only in the view it was sent in, only between lives that are members of it, at most once, in the
 *     order of sending per peer; and unless the view ends first, it is delivered.
 *  2. Between `block` and `install` nothing is delivered. What is sent then is lost, what is asked then is refused.
 *  3. A message of a view not installed here yet waits for it: its sender saw the commit earlier. What waits is bounded; beyond
 *     HELD_BYTES the link is dropped, which ends the view, because a message must not be lost within one.
 *
 * Messages to oneself take the same path, a turn of the event loop later.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { FsError, type FsErrorCode, fsErrorMessages, MatrixError, type MatrixErrorCode } from '../base/errors.ts'
import type { Slot, ViewId } from '../base/ids.ts'
import { sameLife } from '../base/life.ts'
import { MAX_MESSAGE_BYTES } from '../base/limits.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { channels, decodeHeader, encodeMessage, frameKinds, HEADER_BYTES, type MessageHeader } from './frames.ts'
import { decodeBody, encodeBody } from './membership-messages.ts'
import type { Channel, Mesh } from './mesh.ts'
import { type Member, memberIn, type View } from './view.ts'

/** Messages of a view that is about to be installed, bytes in all. */
export const HELD_BYTES = 2 * MAX_MESSAGE_BYTES
/** A request without a time of its own is given up after this long, ms: a handler that hangs must not hold its asker for ever. */
export const DEFAULT_REQUEST_TIMEOUT_MS = 30_000
/** Longest payload of a message, bytes. */
export const MAX_PAYLOAD_BYTES = MAX_MESSAGE_BYTES - HEADER_BYTES

/** What went over one channel since the start. */
export type ChannelCounters = {
  sent: number
  sentBytes: number
  received: number
  receivedBytes: number
  /** Not delivered: of another view, or nobody listens. */
  dropped: number
}

type Handler = (from: Slot, payload: Buffer) => void
type RequestHandler = (from: Slot, body: unknown) => unknown
type Asked = {
  readonly to: Slot
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: Timer
}
type Held = { readonly from: Member; readonly view: ViewId; readonly frame: Buffer }

export type MessageServiceOptions = {
  readonly self: Member
  readonly clock: Clock
  readonly log: Log
  /** Hands a frame to the link of a member; false when there is none. */
  readonly send: (to: Slot, frame: Buffer) => boolean
  /** Ends the link to a peer that cannot be believed or that overwhelms us. */
  readonly drop: (slot: Slot, reason: string) => void
}

export class MessageService implements Mesh {
  readonly self: Slot
  readonly #options: MessageServiceOptions
  #view: View | undefined
  #open = false
  readonly #handlers = new Map<Channel, Handler>()
  readonly #requestHandlers = new Map<Channel, RequestHandler>()
  readonly #asked = new Map<number, Asked>()
  #lastRequest = 0
  #held: Held[] = []
  #heldBytes = 0
  readonly #counters: Record<Channel, ChannelCounters>

  constructor(options: MessageServiceOptions) {
    this.#options = options
    this.self = options.self.slot
    this.#counters = Object.fromEntries(
      channels.map((channel) => [channel, { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0, dropped: 0 }]),
    ) as Record<Channel, ChannelCounters>
  }

  get view(): View | undefined {
    return this.#view
  }

  counters(): Readonly<Record<Channel, Readonly<ChannelCounters>>> {
    return this.#counters
  }

  // ---- for the floors above ----------------------------------------------------------------------------------------

  onMessage(channel: Channel, handler: Handler): void {
    assert(!this.#handlers.has(channel), `channel ${channel} has a handler already`)
    this.#handlers.set(channel, handler)
  }

  onRequest(channel: Channel, handler: RequestHandler): void {
    assert(!this.#requestHandlers.has(channel), `channel ${channel} has a request handler already`)
    this.#requestHandlers.set(channel, handler)
  }

  send(to: Slot, channel: Channel, payload: Uint8Array): void {
    assert(payload.length <= MAX_PAYLOAD_BYTES, `message of ${payload.length} bytes`)
    if (this.#open) this.#transmit(to, channel, frameKinds.message, 0, payload)
  }

  request(to: Slot, channel: Channel, body: unknown, timeoutMs = DEFAULT_REQUEST_TIMEOUT_MS): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (!this.#open || !this.#view)
        return reject(new MatrixError('view-changed', 'the view is changing: ask again under the next'))
      if (!memberIn(this.#view, to))
        return reject(new MatrixError('peer-gone', `slot ${to} is not in view ${this.#view.id}`))
      const payload = encodeBody(body)
      assert(payload.length <= MAX_PAYLOAD_BYTES, `request of ${payload.length} bytes`)
      const id = this.#nextRequest()
      const timer = this.#options.clock.after(timeoutMs, () => {
        this.#asked.delete(id)
        reject(new MatrixError('timeout', `no answer from slot ${to} on channel ${channel} within ${timeoutMs} ms`))
      })
      this.#asked.set(id, { to, resolve, reject, timer })
      this.#transmit(to, channel, frameKinds.request, id, payload)
    })
  }

  // ---- for the node: views and frames ------------------------------------------------------------------------------

  /** The view is over: nothing more of it is delivered, and whoever waits for an answer is told. */
  block(): void {
    this.#open = brokenRules.blockedBetweenViews && this.#view !== undefined
    for (const [id, asked] of this.#asked) {
      this.#asked.delete(id)
      asked.timer.cancel()
      asked.reject(new MatrixError('view-changed', `the view ended before slot ${asked.to} answered`))
    }
  }

  /** Begins `view`; call `deliverHeld` once everybody above knows of it. */
  install(view: View): void {
    assert(!this.#open && view.id > (this.#view?.id ?? 0), `view ${view.id} after ${this.#view?.id}`)
    this.#view = view
    this.#open = true
  }

  deliverHeld(): void {
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    for (const { from, frame } of held) this.receive(from, frame)
  }

  /** A frame of the kinds message … failure. A malformed one ends the link. */
  receive(from: Member, frame: Buffer): void {
    try {
      const header = decodeHeader(frame)
      const current = this.#view?.id ?? 0
      if (header.view > current && !brokenRules.newViewWaits) {
        this.#hold(from, header, frame)
        return
      }
      if (!this.#open || (header.view < current && !brokenRules.oldViewDropped) || !this.#isMember(from)) {
        this.#counters[header.channel].dropped++
        return
      }
      this.#deliver(from.slot, header, frame.subarray(HEADER_BYTES))
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      this.#options.log.warn({ peer: from.name, reason: error.message }, 'malformed message')
      this.#options.drop(from.slot, error.message)
    }
  }

  // ---- within ------------------------------------------------------------------------------------------------------

  #isMember(life: Member): boolean {
    const member = this.#view && memberIn(this.#view, life.slot)
    return member !== undefined && sameLife(member, life)
  }

  #transmit(to: Slot, channel: Channel, kind: 5 | 6 | 7 | 8, request: number, payload: Uint8Array): void {
    const view = this.#view as View
    const counters = this.#counters[channel]
    const frame = encodeMessage(kind, channel, request, view.id, payload)
    counters.sent++
    counters.sentBytes += payload.length
    if (to === this.self) this.#options.clock.soon(() => this.receive(this.#options.self, frame))
    else if (!memberIn(view, to) || !this.#options.send(to, frame)) counters.dropped++
  }

  #nextRequest(): number {
    do this.#lastRequest = (this.#lastRequest % 0xffffffff) + 1
    while (this.#asked.has(this.#lastRequest))
    return this.#lastRequest
  }

  #hold(from: Member, { view, channel }: MessageHeader, frame: Buffer): void {
    if (this.#heldBytes + frame.length > HELD_BYTES) {
      this.#counters[channel].dropped++
      this.#options.drop(from.slot, `more than ${HELD_BYTES} bytes wait for a view`)
      return
    }
    this.#heldBytes += frame.length
    this.#held.push({ from, view, frame: Buffer.from(frame) })
  }

  #deliver(from: Slot, { kind, channel, request, view }: MessageHeader, payload: Buffer): void {
    const counters = this.#counters[channel]
    counters.received++
    counters.receivedBytes += payload.length
    if (kind === frameKinds.message) {
      const handler = this.#handlers.get(channel)
      if (handler) handler(from, payload)
      else counters.dropped++
      return
    }
    if (kind === frameKinds.request) {
      this.#answer(from, channel, request, view, decodeBody(payload))
      return
    }
    const asked = this.#asked.get(request)
    if (asked?.to !== from) return // given up in the meantime
    const body = decodeBody(payload)
    this.#asked.delete(request)
    asked.timer.cancel()
    if (kind === frameKinds.reply) asked.resolve(body)
    else asked.reject(decodeFailure(body))
  }

  #answer(from: Slot, channel: Channel, request: number, view: ViewId, body: unknown): void {
    const reply = (kind: 7 | 8, answer: unknown) => {
      // an answer of a view that has ended would not be delivered: its asker has been told already
      if (this.#open && this.#view?.id === view) this.#transmit(from, channel, kind, request, encodeBody(answer))
    }
    const fail = (error: unknown) => {
      const failure = encodeFailure(error)
      if (!failure)
        this.#options.clock.soon(() => {
          throw error
        }) // a bug of ours: this node must not go on
      reply(frameKinds.failure, failure ?? { code: 'peer-gone', message: 'the peer met a bug and stops' })
    }
    const handler = this.#requestHandlers.get(channel)
    if (!handler) {
      fail(new MatrixError('not-found', `nobody answers on channel ${channel} of slot ${this.self}`))
      return
    }
    try {
      const answer = handler(from, body)
      if (answer instanceof Promise) answer.then((value) => reply(frameKinds.reply, value), fail)
      else reply(frameKinds.reply, answer)
    } catch (error) {
      fail(error)
    }
  }
}

/** Expected failures travel with code and message; undefined for anything else. */
function encodeFailure(error: unknown): { code: string; message: string } | undefined {
  return error instanceof MatrixError || error instanceof FsError
    ? { code: error.code, message: error.message }
    : undefined
}

function decodeFailure(body: unknown): Error {
  const { code, message } = (body ?? {}) as { code?: unknown; message?: unknown }
  if (typeof code !== 'string' || typeof message !== 'string') return new MatrixError('protocol', 'malformed failure')
  if (Object.hasOwn(fsErrorMessages, code)) return new FsError(code as FsErrorCode, message)
  return new MatrixError(code as MatrixErrorCode, message)
}
