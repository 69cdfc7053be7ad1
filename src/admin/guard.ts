/**
 * What a browser could be talked into by a page that is none of ours, and is refused before it is asked who sends it (access/access.ts):
 *
 *  - Where nobody logs in, a page elsewhere whose name was made to resolve to 127.0.0.1 (DNS rebinding) sends its own name as Host: only loopback names are
 *    answered. Where one logs in, such a page has no session, since that is another name's.
 *  - A page elsewhere that sends a request here says so in Origin or Sec-Fetch-Site: it is refused, and there is no CORS header that would let it read.
 *  - What is not a GET or HEAD has to be JSON, which no form of another page can send without asking first.
 */
import type { IncomingMessage } from 'node:http'
import { isLoopback } from '../../config/index.ts'

export type Refusal = { readonly status: number; readonly code: string; readonly message: string }

/** `posts`: something is answered there that is no GET. `isOpen`: nobody logs in. */
export function refuse(
  request: IncomingMessage,
  posts: boolean,
  { isOpen, scheme }: { readonly isOpen: boolean; readonly scheme: 'http' | 'https' },
): Refusal | undefined {
  const { headers, method } = request
  const host = hostNameOf(headers.host)
  if (host === undefined || (isOpen && !isLoopback(host)))
    return {
      status: 421,
      code: 'host',
      message: `Host "${headers.host ?? ''}" is ${isOpen ? "none of this machine's loopback names" : 'no name of a host'}`,
    }
  const { origin } = headers
  if (origin !== undefined && origin !== `${scheme}://${headers.host}`)
    return { status: 403, code: 'origin', message: `a page of ${origin} may not ask here` }
  const site = headers['sec-fetch-site']
  const navigates = headers['sec-fetch-mode'] === 'navigate' && method === 'GET'
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !navigates)
    return { status: 403, code: 'origin', message: `a page of another site may not ask here (${String(site)})` }
  if (method === 'GET' || method === 'HEAD') return undefined
  if (method !== 'POST' || !posts) return { status: 405, code: 'method', message: `${method} is not answered here` }
  if (!/^application\/json\s*(?:;|$)/i.test(headers['content-type'] ?? ''))
    return { status: 415, code: 'type', message: 'the body has to be application/json' }
  return undefined
}

function hostNameOf(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::\d{1,5})?$/i.exec(host ?? '')
  return (match?.[1] ?? match?.[2])?.toLowerCase()
}

/** On every answer. `scripts`: hashes of the scripts that stand in the page itself. */
export function securityHeaders(scripts: readonly string[]): Readonly<Record<string, string>> {
  const inline = scripts.map((hash) => ` '${hash}'`).join('')
  return {
    'Content-Security-Policy': `default-src 'none'; script-src 'self'${inline}; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
  }
}

/** The one style that a script of bull-board's page puts into it. */
const BOARD_STYLE = "'sha256-r2N1TB/gHbBtBZFKg7ejmq1acVSREzucTAEw6ga4hoU='"

/** Of bull-board's page: its files are found by `<base>`. */
export function boardPolicy(headers: Readonly<Record<string, string>>): string {
  return (headers['Content-Security-Policy'] ?? '')
    .replace("base-uri 'none'", "base-uri 'self'")
    .replace("style-src 'self'", `style-src 'self' ${BOARD_STYLE}`)
    .replace("img-src 'self' data:", "img-src 'self' data:; font-src 'self'")
}
