/**
 * Asking any node of a matrix from anywhere, by its admin plane (docs/admin.md): the requests of the control socket (config/control.ts), over HTTP or
 * HTTPS, as a user or with a token. A password goes to another machine by HTTPS alone.
 */
import { readFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import * as v from 'valibot'
import {
  type ControlRequest,
  type ControlResult,
  controlResult,
  isLoopback,
  lookingRequests,
  objectOf,
} from '../../config/index.ts'
import { MatrixError, type MatrixErrorCode } from '../base/errors.ts'
import { realHost } from '../platform/real/host.ts'
import { UsageError } from './option-values.ts'

export type PlaneOptions = {
  /** Such as `https://n1:20190`; what path it has does not matter. */
  readonly url: string
  /** Left out: the secret, if any, is a token. */
  readonly user?: string | undefined
  /** File with the password or token in its first line. */
  readonly passwordFile?: string | undefined
  /** File with the certificates to trust instead of the system's (PEM). */
  readonly ca?: string | undefined
}

/** The node has so long to answer, ms: it may ask all others meanwhile. */
const LOOK_MS = 30_000
/** Until something is done, ms: a drill waits until its node is back. */
const ACT_MS = 600_000
/** Longest answer, bytes. */
const ANSWER_MAX = 64 * 1024 * 1024

const failure = v.object({ error: v.object({ code: v.string(), message: v.string() }) })

type Reply = { readonly status: number; readonly type: string; readonly text: string }

/** Rejects with MatrixError: what the node refuses with, 'not-found' when nobody listens there, 'config' for a login that is missing or wrong, 'timeout'. */
export async function askPlane(options: PlaneOptions, question: ControlRequest): Promise<ControlResult> {
  const origin = originOf(options.url)
  const authorization = await authorizationFor(options, origin)
  const looks = lookingRequests.includes(question.command)
  // whoever types a command names what it is about
  const body = JSON.stringify(looks ? question : { request: question, confirm: objectOf(question) })
  const reply = await post(new URL(`/_admin/api/${looks ? 'ask' : 'act'}`, origin), body, {
    ...{ authorization, ca: readCa(options.ca), patienceMs: looks ? LOOK_MS : ACT_MS },
  })
  const { status, type } = reply
  const answer = type.startsWith('application/json') ? parsed(reply.text) : undefined
  const result = v.safeParse(controlResult, answer)
  if (status === 200 && result.success) return result.output
  if (status === 401)
    throw new MatrixError(
      'config',
      authorization === undefined
        ? `${origin} wants a login: --user NAME --password-file FILE, or a token in FILE without --user`
        : `${origin} does not take this login`,
    )
  const refused = v.safeParse(failure, answer)
  if (refused.success) throw new MatrixError(refused.output.error.code as MatrixErrorCode, refused.output.error.message)
  throw new MatrixError(
    'protocol',
    `${origin} is no admin plane that this command knows: it answered with ${status} ${type}`,
  )
}

function originOf(url: string): string {
  const parsedUrl = URL.canParse(url) ? new URL(url) : undefined
  if (parsedUrl?.protocol !== 'http:' && parsedUrl?.protocol !== 'https:')
    throw new UsageError(`--node, MATRIX_NODE: found "${url}"; allowed is a URL such as https://n1:20190`)
  if (parsedUrl.username !== '' || parsedUrl.password !== '')
    throw new UsageError('--node, MATRIX_NODE: a login has no place in the URL; use --user and --password-file')
  return parsedUrl.origin
}

async function authorizationFor({ user, passwordFile }: PlaneOptions, origin: string): Promise<string | undefined> {
  if (passwordFile === undefined) {
    if (user === undefined) return undefined
    throw new UsageError('--user needs --password-file, or MATRIX_PASSWORD_FILE')
  }
  const { protocol, hostname } = new URL(origin)
  if (protocol === 'http:' && !isLoopback(hostname.replace(/^\[|\]$/g, '')))
    throw new UsageError(`a password goes to ${hostname} by https: alone`)
  const secret = await realHost.secret(passwordFile)
  if (secret === '') throw new MatrixError('config', `${passwordFile}: its first line is empty`)
  return user === undefined ? `Bearer ${secret}` : `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`
}

function readCa(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new MatrixError(
      'config',
      `--ca, MATRIX_CA: ${file}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`,
      {
        cause,
      },
    )
  }
}

function post(
  url: URL,
  body: string,
  {
    authorization,
    ca,
    patienceMs,
  }: { readonly authorization: string | undefined; readonly ca: string | undefined; readonly patienceMs: number },
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const headers = {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      ...(authorization !== undefined && { Authorization: authorization }),
    }
    const options = { method: 'POST', headers, agent: false, timeout: patienceMs }
    const asked = url.protocol === 'https:' ? httpsRequest(url, { ...options, ca }) : httpRequest(url, options)
    asked.on('response', (response) => read(response).then(resolve, reject))
    asked.on('timeout', () => {
      asked.destroy(new MatrixError('timeout', `${url.origin} has not answered within ${patienceMs / 1000} s`))
    })
    asked.on('error', (cause) => reject(explain(cause, url.origin)))
    asked.end(body)
  })
}

async function read(response: IncomingMessage): Promise<Reply> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > ANSWER_MAX) throw new MatrixError('protocol', `the answer has more than ${ANSWER_MAX} bytes`)
    chunks.push(chunk)
  }
  const text = Buffer.concat(chunks).toString('utf8')
  return { status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text }
}

function explain(cause: NodeJS.ErrnoException, origin: string): Error {
  if (cause instanceof MatrixError) return cause
  const { code = '' } = cause
  if (code === 'ECONNRESET') return new MatrixError('peer-gone', `${origin} ended before it answered`, { cause })
  // names of OpenSSL's and Node's: DEPTH_ZERO_SELF_SIGNED_CERT, ERR_TLS_CERT_ALTNAME_INVALID, …
  const isUntrusted = /CERT|SIGNATURE|ISSUER/.test(code)
  const hint = isUntrusted ? '; --ca FILE names the certificates to trust' : ''
  return new MatrixError(
    isUntrusted ? 'config' : 'not-found',
    `${origin} cannot be asked: ${cause.message || code}${hint}`,
    { cause },
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
