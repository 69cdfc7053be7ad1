/**
 * Requests to a WebDAV server, a few at a time over connections that are kept. A server that is not there for a while (a virtual host that moves, a node that is taken over) is a pause: what has not
 * been begun there is asked again, and what may be asked twice; the rest fails, and the next run goes on.
 */
import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request as requestPlainly } from 'node:http'
import { request as requestByTls, Agent as TlsAgent } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { codeOf, failure } from '../../program-api/index.ts'
import type { DavPlace } from './dav-url.ts'

/** Longest wait for an answer, or for a server to come back, ms. */
const PATIENCE_MS = 120_000
const AGAIN_MS = 500
/** More is no answer of a server that means well, bytes: a listing of a million entries has a few hundred. */
const MAX_ANSWER_BYTES = 1 << 30
const SOCKETS = 16

export type DavAnswer = {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export type DavRequest = {
  readonly method: 'GET' | 'PUT' | 'DELETE' | 'MKCOL' | 'MOVE' | 'PROPFIND' | 'PROPPATCH'
  /** Below the tree, beginning with "/". */
  readonly path: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: Uint8Array | string
}

/** Asked twice they do what they do once. */
const REPEATABLE = new Set<DavRequest['method']>(['GET', 'PUT', 'PROPFIND', 'PROPPATCH'])
const NOT_BEGUN = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN'])
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT'])

export class DavClient {
  readonly #place: DavPlace
  readonly #agent: Agent

  constructor(place: DavPlace) {
    this.#place = place
    const options = { keepAlive: true, maxSockets: SOCKETS }
    this.#agent =
      place.url.protocol === 'https:'
        ? new TlsAgent({ ...options, ...(place.ca !== undefined && { ca: place.ca }) })
        : new Agent(options)
  }

  urlOf(path: string): URL {
    const below = path.split('/').filter(Boolean).map(encodeURIComponent).join('/')
    return new URL(this.#place.url.pathname + below, this.#place.url)
  }

  /** Rejects as the network fails: ECONNREFUSED, ETIMEDOUT and so on. Any status is an answer, but 503. */
  async ask(request: DavRequest): Promise<DavAnswer> {
    for (const until = performance.now() + PATIENCE_MS; ; await sleep(AGAIN_MS)) {
      try {
        const answer = await this.#once(request)
        if (answer.status !== 503 || performance.now() > until) return answer
      } catch (error) {
        const code = codeOf(error) ?? ''
        const mayRepeat = NOT_BEGUN.has(code) || (BROKEN.has(code) && REPEATABLE.has(request.method))
        if (!mayRepeat || performance.now() > until) throw error
      }
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #once({ method, path, headers, body }: DavRequest): Promise<DavAnswer> {
    const { authorization, url } = this.#place
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    const send = url.protocol === 'https:' ? requestByTls : requestPlainly
    return new Promise((resolve, reject) => {
      const asked = send(
        this.urlOf(path),
        {
          method,
          agent: this.#agent,
          timeout: PATIENCE_MS,
          headers: {
            ...(authorization !== undefined && { Authorization: authorization }),
            'Content-Length': bytes?.length ?? 0,
            ...headers,
          },
        },
        (response) => {
          const parts: Buffer[] = []
          let length = 0
          response.on('data', (part: Buffer) => {
            length += part.length
            if (length > MAX_ANSWER_BYTES) response.destroy(failure('EFBIG', `the answer to ${method} '${path}'`))
            else parts.push(part)
          })
          response.on('error', reject)
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
          )
        },
      )
      asked.on('error', reject)
      asked.on('timeout', () => asked.destroy(failure('ETIMEDOUT', `${method} '${path}'`)))
      asked.end(bytes)
    })
  }
}
