/** Answers of the express lane, as they go over the wire. */
import { STATUS_CODES } from 'node:http'
import type { Clock } from '../../platform/clock.ts'
import { formatHttpDate } from '../http-date.ts'
import { KEEP_ALIVE_MS } from '../limits.ts'

export type Answer = {
  readonly status: 200 | 201 | 204
  /** All but those that are of the connection. */
  readonly headers: Readonly<Record<string, string>>
  /** A character for every byte. */
  readonly body: string
}

const startLines = {
  200: `HTTP/1.1 200 ${STATUS_CODES[200]}\r\n`,
  201: `HTTP/1.1 201 ${STATUS_CODES[201]}\r\n`,
  204: `HTTP/1.1 204 ${STATUS_CODES[204]}\r\n`,
}

export class AnswerWriter {
  readonly #clock: Clock
  /** The second of `#tail`. */
  #second = Number.NaN
  #tail = ''

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** All of it, a character for every byte. */
  write({ status, headers, body }: Answer): string {
    let head = startLines[status]
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`
    return head + this.#tailOf(Math.floor(this.#clock.wall() / 1000)) + body
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
