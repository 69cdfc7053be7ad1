/** Clients of two nodes that write and read, and fight over one file, while somebody looks at the dashboard. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Demo } from '../demo.ts'

export const FOUGHT = 'projects/ledger.txt'

export class Load {
  readonly #demo: Demo
  #stopped = false
  #running: Promise<unknown> = Promise.resolve()
  requests = 0
  /** What was not answered, but for a node that is down. */
  readonly failures: string[] = []

  constructor(demo: Demo) {
    this.#demo = demo
  }

  async begin(): Promise<void> {
    for (const folder of ['projects/', 'photos/']) await fetch(this.#url('n1', folder), { method: 'MKCOL' })
    this.#running = Promise.all([
      this.#client('n1', (n) => ['PUT', FOUGHT, `n1 was here ${n}`]),
      this.#client('n2', (n) => ['PUT', FOUGHT, `n2 was here ${n}`]),
      this.#client('n1', (n) => ['PUT', `photos/p${n % 40}`, 'p'.repeat(200_000)]),
      this.#client('n2', (n) => ['GET', `photos/p${n % 40}`, undefined]),
    ])
  }

  async end(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #client(node: string, next: (n: number) => readonly [string, string, string | undefined]): Promise<void> {
    for (let n = 0; !this.#stopped; n++) {
      const [method, path, body] = next(n)
      try {
        const response = await fetch(this.#url(node, path), { method, body: body ?? null })
        await response.arrayBuffer()
        this.requests++
        if (response.status >= 500 && response.status !== 503)
          this.failures.push(`${method} ${path}: ${response.status}`)
      } catch {
        await sleep(200) // the node is down
      }
      await sleep(5)
    }
  }

  #url(node: string, path: string): URL {
    return new URL(path, this.#demo.node(node).http.url)
  }
}
