/**
 * Server-sent events (HTML Living Standard, 9.2): changes as they happen, to all who listen. A listener that does not read is cut off rather than
 * remembered for; it comes back by itself and asks for the whole anew.
 *
 *     event: timeline   data: one step of a change of membership, or what became of a LUN
 *     event: state      data: {"view":12,"phase":"member","administrator":"n1"}
 *     event: log        data: a warning or an error of this node
 *     event: job        data: a job that has changed, as in the answers of /jobs
 *     event: overview   data: the answer of /overview, every two seconds: for who asks for /events?follow=overview
 *
 * What is told regularly is made once, when it is due, and written to all who follow it in one go: fifty who look cost little more than one.
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
/** How often a listener is asked whether he still may. */
const MAY_MS = 30_000

export type Listening = {
  /** What he wants to be told regularly, beside what happens. */
  readonly follow?: 'overview'
  /** A session that ends is heard no longer. */
  readonly may?: () => Promise<boolean>
}

export class EventStream {
  readonly #clock: Clock
  readonly #listeners = new Map<ServerResponse, Listening>()
  readonly #timers: Timer[]
  #lastId = 0
  /** Told before those who listen: who asks because of an event has to find it in the answer. */
  onEvent: () => void = () => undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#timers = [
      clock.every(HEARTBEAT_MS, () => this.#tell(': still here\n\n')),
      clock.every(MAY_MS, () => void this.#askWhoMay()),
    ]
  }

  get listeners(): number {
    return this.#listeners.size
  }

  /** False when there are too many already; else the response is the stream's until its client goes. */
  add(response: ServerResponse, listening: Listening = {}): boolean {
    if (this.#listeners.size >= LISTENERS_MAX) return false
    this.#listeners.set(response, listening)
    response.once('close', () => this.#listeners.delete(response))
    response.on('error', () => this.#listeners.delete(response))
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-store' })
    response.write(`retry: ${RETRY_MS}\n\n`)
    return true
  }

  send(event: 'timeline' | 'state' | 'log' | 'job', data: object): void {
    this.onEvent()
    this.#tell(`id: ${++this.#lastId}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  /** Who follows `event` is told what `make` gives, JSON, every `ms`. Nothing is made while nobody does, or while it is not there. */
  feed(event: NonNullable<Listening['follow']>, ms: number, make: () => Promise<Buffer>): void {
    let isMaking = false
    const tell = async () => {
      const followers = [...this.#listeners].filter(([, { follow }]) => follow === event)
      if (followers.length === 0 || isMaking) return
      isMaking = true
      try {
        const text = Buffer.concat([Buffer.from(`event: ${event}\ndata: `), await make(), Buffer.from('\n\n')])
        // who has not taken the last one gets the next
        for (const [listener] of followers)
          if (this.#listeners.has(listener) && listener.writableLength === 0) listener.write(text)
      } catch {
        // they see that nothing comes, ask, and are told why
      } finally {
        isMaking = false
      }
    }
    this.#timers.push(this.#clock.every(ms, () => void tell()))
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel()
    for (const listener of this.#listeners.keys()) listener.end()
    this.#listeners.clear()
  }

  async #askWhoMay(): Promise<void> {
    for (const [listener, { may }] of [...this.#listeners])
      if (may && !(await may().catch(() => false))) {
        this.#listeners.delete(listener)
        listener.end()
      }
  }

  #tell(text: string): void {
    for (const listener of this.#listeners.keys()) {
      if (listener.writableLength > BACKLOG_MAX) {
        this.#listeners.delete(listener)
        listener.destroy()
      } else listener.write(text)
    }
  }
}
