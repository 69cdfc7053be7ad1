/** HTTP for tests: one request with its whole answer, and raw sockets for what no client library would send. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import * as assert from 'uvu/assert'

export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
  readonly text: string
}

export type RequestOptions = {
  readonly headers?: Record<string, string>
  /** An iterable is sent chunked. */
  readonly body?: string | Buffer | Iterable<Buffer> | AsyncIterable<Buffer>
}

/** Requests that go to one server after another, and what they have to be answered with. */
export function asker(urls: () => readonly string[]) {
  let turn = 0
  const nextUrl = (): string => {
    const all = urls()
    return all[turn++ % all.length] as string
  }
  const ask = (method: string, path: string, options?: RequestOptions): Promise<Answer> =>
    request(nextUrl(), method, path, options)
  const expect = async (status: number, method: string, path: string, options?: RequestOptions): Promise<Answer> => {
    const answer = await ask(method, path, options)
    assert.is(answer.status, status, `${method} ${path}: ${answer.status} ${answer.text.slice(0, 500)}`)
    return answer
  }
  return { nextUrl, ask, expect }
}

const agent = new Agent({ keepAlive: true, maxSockets: 32 })

/** Closes the idle connections: a test file that used `request` ends only then. */
export function closeClient(): void {
  agent.destroy()
}

export async function request(
  base: string,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<Answer> {
  const { hostname, port } = new URL(base)
  const { headers = {}, body } = options
  const whole = typeof body === 'string' || Buffer.isBuffer(body) ? Buffer.from(body) : undefined
  const length: Record<string, string> = whole ? { 'Content-Length': String(whole.length) } : {}
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const req = httpRequest({ agent, host: hostname, port, method, path, headers: { ...length, ...headers } }, resolve)
    req.on('error', reject)
    if (whole || body === undefined) req.end(whole)
    else void sendAll(req, body as AsyncIterable<Buffer>)
  })
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part as Buffer)
  const all = Buffer.concat(parts)
  return {
    status: response.statusCode ?? 0,
    headers: response.headers as Record<string, string>,
    body: all,
    text: all.toString('utf8'),
  }
}

async function sendAll(req: ReturnType<typeof httpRequest>, body: AsyncIterable<Buffer>): Promise<void> {
  for await (const chunk of body) {
    if (req.destroyed) return
    if (!req.write(chunk)) await new Promise<void>((resolve) => req.once('drain', resolve).once('close', resolve))
  }
  req.end()
}

const finalHeader = /(?:^|\r\n\r\n)HTTP\/1\.1 [2-5]\d\d[\s\S]*?\r\n\r\n/

/** Sends bytes, gives what comes back up to the header of a final answer, or until the server has been silent for `silenceMs`. */
export function raw(base: string, bytes: string | Buffer, silenceMs = 500): Promise<string> {
  const { hostname, port } = new URL(base)
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    socket.setTimeout(silenceMs, () => socket.destroy())
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (finalHeader.test(text)) socket.destroy()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
    })
    socket.on('close', () => resolve(text))
  })
}

/** Announces `announced` bytes, sends `sent`, and hangs up. */
export async function abandonedPut(base: string, path: string, sent: Buffer, announced: number): Promise<void> {
  const { hostname, port } = new URL(base)
  await new Promise<void>((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      socket.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${announced}\r\n\r\n`)
      socket.write(sent, () => setTimeout(() => socket.destroy(), 30))
    })
    socket.on('error', reject)
    socket.on('close', () => resolve())
  })
}
