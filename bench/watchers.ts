/**
 * People who look: each has the dashboard open (its event stream, which tells it everything every two seconds), and a Prometheus that asks for
 * the metrics. A process of its own, `node bench/watchers.ts URL COUNT`, until its standard input ends. `watch` on it has everybody open the dashboard, `rest` close it; each is
 * answered with a line once it is so.
 */
import { Agent, get, type IncomingMessage } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

/** Who has been told nothing for so long is not watching, ms: it should be every two seconds. */
const SILENCE_MS = 10_000
/** As most have set it; a Prometheus that is told nothing asks every minute. */
const SCRAPE_MS = 15_000

/** As browsers and Prometheus send it. */
const headers = { 'Accept-Encoding': 'gzip' }

class Watcher {
  readonly #url: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 2 })
  #events: IncomingMessage | undefined
  #heardAt = 0

  constructor(url: string) {
    this.#url = url
  }

  get isWatching(): boolean {
    return this.#events !== undefined
  }

  /** Opens the stream of what happens. */
  async open(): Promise<void> {
    this.#events = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${this.#url}api/events?follow=overview`, (stream) => {
        stream.once('data', () => resolve(stream))
        stream.on('data', () => (this.#heardAt = performance.now()))
        stream.on('error', reject)
        stream.on('close', () => {
          if (this.#events === stream) throw new Error('the event stream has ended')
        })
      }).on('error', reject)
    })
  }

  close(): void {
    const events = this.#events
    this.#events = undefined
    events?.on('error', () => undefined).destroy()
  }

  /** As the page does at first. */
  async arrive(): Promise<void> {
    await Promise.all([this.#ask('api/overview'), this.#ask('api/samples?since=0'), this.scrape()])
  }

  async scrape(): Promise<void> {
    if (this.isWatching && performance.now() - this.#heardAt > SILENCE_MS) throw new Error('nothing comes any more')
    await this.#ask('../metrics')
  }

  /** What is answered is thrown away: what browsers make of it is not the node's work. */
  #ask(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const asked = get(new URL(path, this.#url), { agent: this.#agent, headers }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`${path}: ${response.statusCode}`))
        response.on('error', reject)
        response.on('end', resolve).resume()
      })
      // an idle connection may end in the moment in which it is used again; browsers ask once more, too
      asked.on('error', (error) => (asked.reusedSocket ? resolve(this.#ask(path)) : reject(error)))
    })
  }
}

/** Again and again while somebody watches, beginning somewhere within the period. */
async function every(ms: number, watcher: Watcher, work: () => Promise<void>): Promise<void> {
  await sleep(Math.random() * ms)
  for (;;) {
    const began = performance.now()
    if (watcher.isWatching) await work()
    await sleep(Math.max(0, ms - (performance.now() - began)))
  }
}

const [url, count] = process.argv.slice(2)
if (!url || !/^\d+$/.test(count ?? '')) throw new Error('usage: node bench/watchers.ts URL COUNT')
const watchers = Array.from({ length: Number(count) }, () => new Watcher(url))
for (const watcher of watchers) {
  // what a page asks for first is much, and not what is measured
  await watcher.arrive()
  void every(SCRAPE_MS, watcher, () => watcher.scrape())
}
process.stdout.write('ready\n')
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'watch') await Promise.all(watchers.map((watcher) => watcher.open()))
  else for (const watcher of watchers) watcher.close()
  process.stdout.write(`${line}\n`)
}
process.exit()
