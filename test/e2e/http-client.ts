/** A small HTTP client for end-to-end tests: one kept-alive agent per node, whole bodies. */
import { Agent, type IncomingMessage, request } from 'node:http'

export type HttpAnswer = {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** A request that gets no answer for so long has failed, ms. */
const ANSWER_LIMIT_MS = 15_000

export class HttpClient {
  readonly base: URL
  #agent = new Agent({ keepAlive: true, maxSockets: 8 })

  /** `base` ends in a slash: the URL of an export at one node. */
  constructor(base: string) {
    this.base = new URL(base)
  }

  /** `path` is relative to the export, already percent-encoded. Rejects when the connection breaks or nothing comes in time. */
  send(method: string, path: string, body?: Buffer, headers: Record<string, string> = {}): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const out = request(
        new URL(path, this.base),
        {
          method,
          agent: this.#agent,
          headers: body ? { ...headers, 'Content-Length': body.length } : headers,
          timeout: ANSWER_LIMIT_MS,
        },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () =>
            resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) }),
          )
        },
      )
      out.on('timeout', () => out.destroy(new Error(`${method} ${path}: no answer within ${ANSWER_LIMIT_MS} ms`)))
      out.on('error', reject)
      out.end(body)
    })
  }

  async put(path: string, body: Buffer): Promise<void> {
    const { status, body: text } = await this.send('PUT', path, body)
    if (status !== 201 && status !== 204) throw new Error(`PUT ${path}: ${status} ${text.toString().slice(0, 200)}`)
  }

  /** The content, or undefined when there is no such file. */
  async get(path: string): Promise<Buffer | undefined> {
    const { status, body } = await this.send('GET', path)
    if (status === 404) return undefined
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${body.toString().slice(0, 200)}`)
    return body
  }

  close(): void {
    this.#agent.destroy()
  }
}
