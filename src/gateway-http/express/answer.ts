/** Answers of the express lane, as they go over the wire. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { KiB } from '../../base/units.ts'
import type { Clock } from '../../platform/clock.ts'
import { formatHttpDate } from '../http-date.ts'
import { KEEP_ALIVE_MS } from '../limits.ts'

export type Answer = {
  readonly status: 200 | 201 | 204
  /** All but those that are of the connection. */
  readonly headers: Readonly<Record<string, string>>
  /** Views on memory that is others': to be copied at once. */
  readonly body: readonly Buffer[]
}

const startLines = {
  200: `HTTP/1.1 200 ${STATUS_CODES[200]}\r\n`,
  201: `HTTP/1.1 201 ${STATUS_CODES[201]}\r\n`,
  204: `HTTP/1.1 204 ${STATUS_CODES[204]}\r\n`,
}

/** What is not larger is made in memory that is used again and again, bytes. */
const SCRATCH_BYTES = 32 * KiB

export class AnswerWriter {
  readonly #clock: Clock
  #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  /** The second of `#tail`. */
  #second = Number.NaN
  #tail = ''

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Writes all of it in one go. */
  send({ status, headers, body }: Answer, socket: Socket): void {
    let head = startLines[status]
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`
    head += this.#tailOf(Math.floor(this.#clock.wall() / 1000))
    let length = head.length
    for (const piece of body) length += piece.length
    if (length > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(length)
    let end = this.#scratch.write(head, 'latin1')
    for (const piece of body) end += piece.copy(this.#scratch, end)
    socket.write(this.#scratch.subarray(0, end))
    // what the kernel has not taken yet is still read from there
    if (socket.writableLength > 0) this.#scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  }

  /** The headers that every answer has, and the end of the header. */
  #tailOf(second: number): string {
    if (second !== this.#second) {
      this.#second = second
      this.#tail = `Date: ${formatHttpDate(second)}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=${KEEP_ALIVE_MS / 1000}\r\n\r\n`
    }
    return this.#tail
  }
}
