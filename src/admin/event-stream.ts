/**
 * Server-sent events (HTML Living Standard, 9.2): changes as they happen, to all who listen. A listener that does not read is cut off rather than
 * remembered for; it comes back by itself and asks for the whole anew.
 *
 *     event: timeline   data: one step of a change of membership, or what became of a LUN
 *     event: state      data: {"view":12,"phase":"member","administrator":"n1"}
 *     event: log        data: a warning or an error of this node
 *     event: job        data: a job that has changed, as in the answers of /jobs
 */
import type { ServerResponse } from 'node:http'
import type { Clock, Timer } from '../platform/index.ts'

export const LISTENERS_MAX = 200
/** What may wait for a listener, bytes. */
const BACKLOG_MAX = 256 * 1024
/** Proxies and browsers take a silent connection for dead. */
const HEARTBEAT_MS = 15_000
/** A browser whose connection has ended tries again after this, ms. */
const RETRY_MS = 2_000

export class EventStream {
  readonly #listeners = new Set<ServerResponse>()
  readonly #heartbeat: Timer
  #lastId = 0

  constructor(clock: Clock) {
    this.#heartbeat = clock.every(HEARTBEAT_MS, () => this.#tell(': still here\n\n'))
  }

  get listeners(): number {
    return this.#listeners.size
  }

  /** False when there are too many already; else the response is the stream's until its client goes. */
  add(response: ServerResponse): boolean {
    if (this.#listeners.size >= LISTENERS_MAX) return false
    this.#listeners.add(response)
    response.once('close', () => this.#listeners.delete(response))
    response.on('error', () => this.#listeners.delete(response))
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-store' })
    response.write(`retry: ${RETRY_MS}\n\n`)
    return true
  }

  send(event: 'timeline' | 'state' | 'log' | 'job', data: object): void {
    this.#tell(`id: ${++this.#lastId}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  close(): void {
    this.#heartbeat.cancel()
    for (const listener of this.#listeners) listener.end()
    this.#listeners.clear()
  }

  #tell(text: string): void {
    for (const listener of this.#listeners) {
      if (listener.writableLength > BACKLOG_MAX) {
        this.#listeners.delete(listener)
        listener.destroy()
      } else listener.write(text)
    }
  }
}
