/** Webhooks by Node's own clients: one POST, no redirects, nothing kept open. */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Sent, WebhookCall, Webhooks } from '../outbox.ts'

/** Of an answer, what is told of it, characters. */
const SAID_MAX = 200
/** What a 4xx says that may be otherwise a moment later: time-out, too early, too many (RFC 9110, 8470, 6585). */
const PASSING = new Set([408, 425, 429])

export const realWebhooks: Webhooks = {
  post: (call) =>
    new Promise((resolve) => {
      const failed = (error: NodeJS.ErrnoException): void =>
        resolve({ how: 'failed', why: error.message || (error.code ?? 'no connection') })
      try {
        post(call, resolve, failed)
      } catch (error) {
        failed(error as Error)
      }
    }),
}

function post(
  { url, headers, body, ca, timeoutMs }: WebhookCall,
  done: (sent: Sent) => void,
  failed: (error: Error) => void,
): void {
  const options = {
    method: 'POST',
    headers: { ...headers, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
  }
  const asked = url.startsWith('https:') ? httpsRequest(url, { ...options, ca }) : httpRequest(url, options)
  asked.on('error', (error) =>
    failed(error.name === 'AbortError' ? new Error(`no answer within ${timeoutMs} ms`) : error),
  )
  asked.on('response', (response) => {
    let said = ''
    response.setEncoding('utf8')
    response.on('data', (more: string) => {
      said = (said + more).slice(0, SAID_MAX)
    })
    response.on('error', failed)
    response.on('end', () => done(verdict(response.statusCode ?? 0, said)))
  })
  asked.end(body)
}

function verdict(status: number, said: string): Sent {
  if (status >= 200 && status < 300) return { how: 'taken' }
  const isFinal = status >= 300 && status < 500 && !PASSING.has(status)
  const words = said.trim().replace(/\s+/g, ' ')
  return { how: isFinal ? 'refused' : 'failed', why: `answered with ${status}${words === '' ? '' : `: ${words}`}` }
}
