/**
 * A connection in the express lane.
 *
 *     open ──┬─ request understood ──► answered ──► open
 *            ├─ request that takes time ──► busy ──┬─ answered ──► open
 *            │                                     └─ nothing to say ──► handed over
 *            ├─ anything else, or a client that does not take its answers ──► handed over
 *            └─ end, error, silence ──► gone
 *
 * While it is busy nothing is read, so that what comes meanwhile, also an end, waits in the socket. What is handed over begins with the first byte that has not been answered.
 * A client that is silent is cut: HEADERS_TIMEOUT_MS before its first request, KEEP_ALIVE_MS between two, IDLE_TIMEOUT_MS while it does not take its answer.
 */
import type { Socket } from 'node:net'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import { KiB } from '../../base/units.ts'
import { HEADERS_TIMEOUT_MS, IDLE_TIMEOUT_MS, KEEP_ALIVE_MS } from '../limits.ts'
import type { Answer } from './answer.ts'
import { type PlainRequest, PlainRequestParser } from './plain-request.ts'

/** Answers that wait for a client to take them, bytes: who asks for more has slower ways. */
const MAX_WAITING = 64 * KiB

export type ConnectionHooks = {
  readonly answer: (request: PlainRequest) => MaybePromise<Answer | undefined>
  readonly send: (answer: Answer) => void
  readonly slow: (done: Promise<void>) => void
  readonly left: (isHandedOver: boolean) => void
}

export class ExpressConnection {
  readonly #socket: Socket
  readonly #hooks: ConnectionHooks
  readonly #parser = new PlainRequestParser()
  #patienceMs = 0
  #isBusy = false
  #isEnding = false
  #hasLeft = false

  constructor(socket: Socket, hooks: ConnectionHooks) {
    this.#socket = socket
    this.#hooks = hooks
    this.#waitFor(HEADERS_TIMEOUT_MS)
    socket.on('data', this.#onData).on('end', this.#onEnd).on('timeout', this.#onSilence)
    socket.on('error', this.cut).on('close', this.#onClose)
  }

  /** After the answers to what has been asked. */
  end(): void {
    this.#isEnding = true
    if (!this.#isBusy) this.#socket.destroySoon()
  }

  readonly cut = (): void => {
    this.#socket.destroy()
  }

  readonly #onData = (chunk: Buffer): void => {
    const text = chunk.toString('latin1')
    for (let from = 0; from < text.length; ) {
      const parsed = this.#socket.writableLength < MAX_WAITING ? this.#parser.parse(chunk, text, from) : undefined
      const answer = parsed && this.#hooks.answer(parsed.request)
      if (!parsed || answer === undefined) {
        this.#handOver(chunk.subarray(from))
        return
      }
      if (isPromise(answer)) {
        void this.#await(answer, chunk.subarray(from), parsed.next - from)
        return
      }
      this.#hooks.send(answer)
      from = parsed.next
    }
    this.#answered()
  }

  /** `rest` begins with the request that is under way, `length` bytes. */
  async #await(answering: Promise<Answer | undefined>, rest: Buffer, length: number): Promise<void> {
    const socket = this.#socket
    this.#isBusy = true
    socket.pause()
    const answer = await answering
    this.#isBusy = false
    if (socket.destroyed) return
    if (answer === undefined) {
      this.#handOver(rest)
      return
    }
    this.#hooks.send(answer)
    this.#answered()
    if (this.#isEnding) {
      socket.destroySoon()
      return
    }
    if (rest.length > length) socket.unshift(rest.subarray(length))
    socket.resume()
  }

  #answered(): void {
    if (this.#socket.writableLength === 0) {
      this.#waitFor(KEEP_ALIVE_MS)
      return
    }
    this.#waitFor(IDLE_TIMEOUT_MS)
    // told once all that was written before has been taken, or never will be
    const taken = new Promise<void>((resolve) => this.#socket.write('', () => resolve()))
    this.#hooks.slow(taken)
    void taken.then(() => {
      if (!this.#hasLeft) this.#waitFor(KEEP_ALIVE_MS)
    })
  }

  #handOver(rest: Buffer): void {
    const socket = this.#socket
    this.#leave()
    socket.setTimeout(0)
    socket.pause()
    socket.unshift(rest)
    this.#hooks.left(true)
    socket.resume()
  }

  #waitFor(ms: number): void {
    if (ms === this.#patienceMs) return
    this.#patienceMs = ms
    this.#socket.setTimeout(ms)
  }

  readonly #onSilence = (): void => {
    if (!this.#isBusy) this.#socket.destroy()
  }

  /** Whoever says no more still gets what it has asked for. */
  readonly #onEnd = (): void => {
    this.#socket.end()
  }

  readonly #onClose = (): void => {
    this.#leave()
    this.#hooks.left(false)
  }

  #leave(): void {
    this.#hasLeft = true
    const socket = this.#socket
    socket.off('data', this.#onData).off('end', this.#onEnd).off('timeout', this.#onSilence)
    socket.off('error', this.cut).off('close', this.#onClose)
  }
}
