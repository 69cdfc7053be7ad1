/**
 * People who look: each has the dashboard open (its event stream, and every two seconds what its page asks for), and a Prometheus that asks for
 * the metrics. A process of its own, `node bench/watchers.ts URL COUNT`, until its standard input ends; says `watching` once everybody has seen everything.
 */
import { Agent, get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'

/** As src/admin/ui/data.js asks. */
const PERIOD_MS = 2_000
/** As Prometheus does unless it is told otherwise is a minute; who looks closely asks more often. */
const SCRAPE_MS = 5_000

/** As browsers and Prometheus send it. */
const headers = { 'Accept-Encoding': 'gzip' }

class Watcher {
  readonly #url: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 2 })
  #since = 0

  constructor(url: string) {
    this.#url = url
  }

  /** Listens to what happens, for as long as the process lives. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      get(`${this.#url}api/events`, (stream) => {
        stream.on('data', () => resolve())
        stream.on('error', reject)
        stream.on('close', () => reject(new Error('the event stream has ended')))
      }).on('error', reject)
    })
  }

  async look(): Promise<void> {
    const [samples] = await Promise.all([this.#ask(`api/samples?since=${this.#since}`), this.#ask('api/overview')])
    const { nodes } = JSON.parse(samples as string) as { nodes: { samples: { at: number }[] }[] }
    this.#since = Math.min(...nodes.map((node) => node.samples.at(-1)?.at ?? this.#since))
  }

  async scrape(): Promise<void> {
    await this.#ask('../metrics')
  }

  #ask(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      get(new URL(path, this.#url), { agent: this.#agent, headers }, (response) => {
        const isPacked = response.headers['content-encoding'] === 'gzip'
        const parts: Buffer[] = []
        response.on('data', (part) => parts.push(part))
        response.on('error', reject)
        response.on('end', () => {
          const bytes = Buffer.concat(parts)
          const text = (isPacked ? gunzipSync(bytes) : bytes).toString()
          if (response.statusCode === 200) resolve(text)
          else reject(new Error(`${path}: ${response.statusCode} ${text}`))
        })
      }).on('error', reject)
    })
  }
}

/** Again and again, beginning somewhere within the period. */
async function every(ms: number, work: () => Promise<void>): Promise<void> {
  await sleep(Math.random() * ms)
  for (;;) {
    const began = performance.now()
    await work()
    await sleep(Math.max(0, ms - (performance.now() - began)))
  }
}

const [url, count] = process.argv.slice(2)
if (!url || !/^\d+$/.test(count ?? '')) throw new Error('usage: node bench/watchers.ts URL COUNT')
const watchers = Array.from({ length: Number(count) }, () => new Watcher(url))
for (const watcher of watchers) await Promise.all([watcher.listen(), watcher.look(), watcher.scrape()])
process.stdin.resume().on('end', () => process.exit())
process.stdout.write('watching\n')
await Promise.all(
  watchers.flatMap((watcher) => [every(PERIOD_MS, () => watcher.look()), every(SCRAPE_MS, () => watcher.scrape())]),
)
