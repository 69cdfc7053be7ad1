/**
 * Plain requests: a GET, or a PUT of a small body that has come with it, of which every header is known to make no difference to the answer: no condition, no range, nobody
 * who signs in, nothing that binds the connection. What is not known for certain is no plain request.
 */
import type { IncomingMessage } from 'node:http'

export type PlainGet = {
  readonly method: 'GET'
  /** As it was sent. */
  readonly target: string
  /** The client names content codings: it might be answered with something compressed. */
  readonly mayPack: boolean
}
export type PlainPut = {
  readonly method: 'PUT'
  readonly target: string
  /** A view on what has been received. */
  readonly body: Buffer
}
export type PlainRequest = PlainGet | PlainPut

/** Headers of a request that change neither the answer to a GET of a file nor what a PUT stores. */
const indifferent = new Set([
  ...['accept', 'accept-charset', 'accept-language', 'cache-control', 'content-type', 'dnt', 'from', 'host', 'pragma'],
  ...['priority', 'referer', 'sec-ch-ua', 'sec-ch-ua-mobile', 'sec-ch-ua-platform', 'sec-fetch-dest', 'sec-fetch-mode'],
  ...['sec-fetch-site', 'sec-fetch-user', 'sec-gpc', 'te', 'upgrade-insecure-requests', 'user-agent'],
])

/** The same of what Node's HTTP server has parsed. `Connection` is that server's own matter. */
export function plainGetOf({ method, httpVersionMinor, url, rawHeaders }: IncomingMessage): PlainGet | undefined {
  if (method !== 'GET' || httpVersionMinor !== 1) return undefined
  let mayPack = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase()
    if (name === 'accept-encoding') mayPack = true
    else if (name !== 'connection' && !indifferent.has(name)) return undefined
  }
  return { method, target: url as string, mayPack }
}

/** What a header says that matters. `length`: of the body, bytes. */
type HeaderFacts = { readonly mayPack: boolean; readonly length: number | undefined }

const requestLine = /(GET|PUT) (\/[!-~]*) HTTP\/1\.1\r\n/y
/** A field (RFC 9112 5) of visible characters, with the spaces that may be around its value. */
const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/
const bodyLength = /^\d{1,6} *$/
const END_OF_HEADER = '\r\n\r\n'

/**
 * Reads requests as they come from a connection (RFC 9112 3 and 5, and none of what these tolerate). It remembers the header that came last: a client sends the same again
 * and again.
 */
export class PlainRequestParser {
  #lastHeader = ''
  #lastFacts: HeaderFacts = { mayPack: false, length: undefined }

  /** The request that begins at `from` and is all there, and where the next one would begin. `text` is `bytes` as latin1. */
  parse(
    bytes: Buffer,
    text: string,
    from: number,
  ): { readonly request: PlainRequest; readonly next: number } | undefined {
    requestLine.lastIndex = from
    const [, method, target] = requestLine.exec(text) ?? []
    if (target === undefined) return undefined
    const end = text.indexOf(END_OF_HEADER, requestLine.lastIndex)
    if (end < 0) return undefined
    const facts = this.#factsOf(text.slice(requestLine.lastIndex, end))
    if (!facts) return undefined
    const { mayPack, length } = facts
    const begin = end + END_OF_HEADER.length
    if (method === 'GET')
      return length === undefined ? { request: { method, target, mayPack }, next: begin } : undefined
    const next = begin + (length ?? Number.POSITIVE_INFINITY)
    return next > bytes.length
      ? undefined
      : { request: { method: 'PUT', target, body: bytes.subarray(begin, next) }, next }
  }

  #factsOf(header: string): HeaderFacts | undefined {
    if (header === this.#lastHeader) return this.#lastFacts
    const facts = readHeader(header)
    if (!facts) return undefined
    this.#lastHeader = header
    this.#lastFacts = facts
    return facts
  }
}

/** undefined unless all of it is understood. */
function readHeader(header: string): HeaderFacts | undefined {
  let hosts = 0
  let mayPack = false
  let length: number | undefined
  for (const line of header.split('\r\n')) {
    const [, spelled, value] = field.exec(line) ?? []
    if (spelled === undefined || value === undefined) return undefined
    const name = spelled.toLowerCase()
    if (name === 'host' && value !== '') hosts++
    else if (name === 'accept-encoding') mayPack = true
    else if (name === 'content-length' && length === undefined && bodyLength.test(value)) length = Number(value)
    else if (name === 'connection' ? value.trim().toLowerCase() !== 'keep-alive' : !indifferent.has(name))
      return undefined
  }
  return hosts === 1 ? { mayPack, length } : undefined
}
