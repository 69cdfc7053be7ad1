/** Clients that write and read files at every node all the time, and notice everything: an answer that is wrong, and one that takes long. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Demo } from '../demo.ts'

const FILES = 8
const MAX_FAILURES = 100
/** After a failure, ms. */
const PAUSE_MS = 50

export class FileLoad {
  readonly #demo: Demo
  readonly #nodes: readonly string[]
  #stopped = false
  #all: Promise<unknown> | undefined
  calls = 0
  readonly failures: string[] = []
  /** Of all calls since `begin`, ms. */
  longestMs = 0

  /** `nodes`: those that stay. */
  constructor(demo: Demo, nodes: readonly string[]) {
    this.#demo = demo
    this.#nodes = nodes
  }

  begin(): void {
    this.#all = Promise.all(this.#nodes.map((node) => this.#work(node)))
  }

  async end(): Promise<void> {
    this.#stopped = true
    await this.#all
  }

  async #work(node: string): Promise<void> {
    const root = this.#demo.node(node).http.url
    for (let round = 0; !this.#stopped; round++) {
      const url = `${root}load-${node}-${round % FILES}`
      const body = `${node} ${round} `.repeat(200)
      const began = performance.now()
      try {
        const put = await fetch(url, { method: 'PUT', body })
        if (!put.ok) throw new Error(`PUT ${put.status}`)
        const got = await (await fetch(url)).text()
        if (got !== body) throw new Error('another content than was written')
      } catch (error) {
        if (this.failures.length < MAX_FAILURES) this.failures.push(`${url}: ${String(error)}`)
        await sleep(PAUSE_MS)
      }
      this.calls += 2
      this.longestMs = Math.max(this.longestMs, performance.now() - began)
    }
  }
}
