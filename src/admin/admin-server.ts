/**
 * The HTTP server of the admin plane:
 *
 *     /_admin/           the dashboard (assets.ts)
 *     /_admin/api/…      the API: endpoints.ts; /openapi.json describes it, /events are server-sent events
 *     /_admin/queues/    bull-board: the inside of the queues of jobs, to look at
 *     /metrics           Prometheus
 *
 * A request is refused by the guard, answered by one of these, or not found. What fails is told as JSON with a status; a bug is told as 500 and logged.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import Koa, { type Context } from 'koa'
import * as v from 'valibot'
import type { AdminAccess } from '../../config/index.ts'
import { InvariantError } from '../base/assert.ts'
import { isMatrixError, MatrixError, type MatrixErrorCode } from '../base/errors.ts'
import { LoginRefusal, readTls, renewCertificate, type TlsFiles } from '../export/index.ts'
import type { Log } from '../platform/index.ts'
import { Access, type Asker } from './access/access.ts'
import { type Asset, Assets } from './assets.ts'
import type { Desk, Endpoint, Visit } from './endpoint.ts'
import { endpoints } from './endpoints.ts'
import type { EventStream } from './event-stream.ts'
import { boardPolicy, refuse, securityHeaders } from './guard.ts'
import { Metrics } from './metrics.ts'
import { API_PREFIX, describeApi } from './openapi.ts'
import { SAMPLE_MS } from './samples.ts'
import { SharedText } from './shared-text.ts'

/** Connections at once: viewers, each with a few. */
const MAX_CONNECTIONS = 512
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
/** Longest body of a POST, bytes. */
const BODY_MAX = 64 * 1024
/** An answer that many ask for at once is put together once, ms. */
const TEXT_FRESH_MS = 500
/** The same for the metrics: who counts by the second gets them anew. */
const METRICS_FRESH_MS = 900
/** The inside of the queues (jobs/queue-board.ts). */
const BOARD_PATH = '/_admin/queues'

const statuses: Partial<Record<MatrixErrorCode, number>> = {
  'not-found': 404,
  exists: 409,
  'in-use': 409,
  'no-space': 507,
  query: 400,
  protocol: 400,
  config: 400,
  busy: 429,
  timeout: 504,
}

export type AdminStatistics = { readonly requests: number; readonly listeners: number }

export class AdminServer {
  readonly #desk: Desk
  readonly #events: EventStream
  readonly #log: Log
  readonly #server: Server | TlsServer
  readonly #access: Access
  readonly #scheme: 'http' | 'https'
  readonly #assets = new Assets()
  readonly #metrics = new Metrics()
  readonly #metricsText: SharedText
  readonly #headers: Readonly<Record<string, string>>
  readonly #description: string
  /** Endpoints by their path; and those of which a part of the path may be anything. */
  readonly #routes = Map.groupBy(
    endpoints.filter(({ path }) => !path.includes(':')),
    ({ path }) => API_PREFIX + path,
  )
  readonly #patterns = endpoints
    .filter(({ path }) => path.includes(':'))
    .map((endpoint) => ({ endpoint, pattern: patternOf(endpoint.path) }))
  /** Answers without a question, as text, by path. */
  readonly #texts = new Map<string, SharedText>()

  /** Throws MatrixError 'config' when certificate or users cannot be read. */
  constructor(
    desk: Desk,
    events: EventStream,
    { access, tls }: { readonly access: AdminAccess; readonly tls?: TlsFiles },
  ) {
    const { log, clock, self, matrixName } = desk.host
    this.#desk = desk
    this.#events = events
    this.#log = log
    this.#scheme = tls ? 'https' : 'http'
    this.#access = new Access(access, { node: self.name, realm: matrixName, isSecure: tls !== undefined, clock, log })
    this.#headers = securityHeaders(this.#assets.scriptHashes())
    const text = async () => this.#metrics.text(await desk.collector.own())
    const overview = endpoints.find(({ path }) => path === '/overview') as Endpoint
    events.onEvent = () => this.#text(overview).expire()
    events.feed('overview', SAMPLE_MS, () => this.#text(overview).bytes())
    this.#metricsText = new SharedText(text, () => clock.now(), METRICS_FRESH_MS)
    this.#description = JSON.stringify(describeApi(endpoints, desk.host.version))
    const app = new Koa()
    app.silent = true
    app.on('error', (error: Error) =>
      log.debug({ error: error.message }, 'an answer of the admin plane was not finished'),
    )
    app.use((ctx) => this.#serve(ctx))
    const options = { headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS, noDelay: true }
    if (tls) {
      const server = createTlsServer(
        { ...options, ...readTls(tls), handshakeTimeout: HEADERS_TIMEOUT_MS },
        app.callback(),
      )
      renewCertificate(server, tls, clock, log)
      this.#server = server
    } else this.#server = createServer(options, app.callback())
    this.#server.maxConnections = MAX_CONNECTIONS
  }

  /** Rejects with MatrixError 'in-use' when somebody else has the port. Port 0 takes a free one. */
  listen(host: string, port: number): Promise<{ readonly port: number; readonly url: string }> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) =>
        reject(
          new MatrixError('in-use', `the admin plane cannot listen on ${host}:${port}: ${cause.message}`, { cause }),
        ),
      )
      this.#server.listen(port, host, () => {
        const bound = (this.#server.address() as AddressInfo).port
        resolve({ port: bound, url: `${this.#scheme}://${host.includes(':') ? `[${host}]` : host}:${bound}/_admin/` })
      })
    })
  }

  /** Who watches has nothing to lose: connections are cut. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      this.#server.closeAllConnections()
    })
  }

  async #serve(ctx: Context): Promise<void> {
    ctx.set(this.#headers)
    try {
      await this.#dispatch(ctx)
    } catch (error) {
      this.#fail(ctx, error)
    }
  }

  async #dispatch(ctx: Context): Promise<void> {
    const { path } = ctx
    const found = this.#find(path)
    const route = found.find(({ endpoint }) => (endpoint.method === 'post') === (ctx.method === 'POST')) ?? found[0]
    const allowed = found.map(({ endpoint }) => (endpoint.method === 'post' ? 'POST' : 'GET, HEAD')).join(', ')
    const refusal = refuse(
      ctx.req,
      found.some(({ endpoint }) => endpoint.method === 'post'),
      { isOpen: this.#access.isOpen, scheme: this.#scheme },
    )
    if (refusal) {
      if (refusal.status === 405) ctx.set('Allow', allowed || 'GET, HEAD')
      return sayFailure(ctx, refusal.status, refusal.code, refusal.message)
    }
    if (route) return this.#answer(ctx, route.endpoint, route.params)
    ctx.set('Cache-Control', 'no-cache')
    const asset = path.startsWith('/_admin/') ? this.#assets.find(path.slice('/_admin/'.length)) : undefined
    // the page shows nothing by itself, and asks whoever comes to log in
    if (asset) return sendAsset(ctx, asset)
    if (path === '/' || path === '/_admin') return ctx.redirect('/_admin/')
    if (path === BOARD_PATH) return ctx.redirect(`${BOARD_PATH}/`)
    const asker = await this.#access.askerOf(ctx.req)
    if (!asker) throw this.#access.unknown()
    if (path === '/metrics') {
      return this.#metricsText.send(ctx, this.#metrics.contentType)
    }
    if (path === `${API_PREFIX}/openapi.json`) return sayJson(ctx, this.#description)
    if (path === `${API_PREFIX}/events`) return this.#listen(ctx, asker)
    if (path.startsWith(`${BOARD_PATH}/`)) {
      needOperator(asker)
      return this.#board(ctx)
    }
    sayFailure(ctx, 404, 'not-found', `nothing is at ${path}; the dashboard is at /_admin/`)
  }

  #find(path: string): readonly { readonly endpoint: Endpoint; readonly params: Readonly<Record<string, string>> }[] {
    const known = this.#routes.get(path)
    if (known) return known.map((endpoint) => ({ endpoint, params: {} }))
    return this.#patterns.flatMap(({ endpoint, pattern }) => {
      const match = pattern.exec(path)
      return match ? [{ endpoint, params: decoded(match.groups) }] : []
    })
  }

  async #board(ctx: Context): Promise<void> {
    const { status, type, body } = await this.#desk.jobs.board(
      BOARD_PATH,
      ctx.path.slice(BOARD_PATH.length),
      new URLSearchParams(ctx.querystring),
    )
    // its page finds its files by <base>
    ctx.set('Content-Security-Policy', boardPolicy(this.#headers))
    ctx.status = status
    ctx.type = type
    ctx.body = body
  }

  async #answer(ctx: Context, endpoint: Endpoint, params: Readonly<Record<string, string>>): Promise<void> {
    if (endpoint.method === 'post' && ctx.method !== 'POST') {
      ctx.set('Allow', 'POST')
      return sayFailure(ctx, 405, 'method', `${ctx.method} is not answered here; POST is`)
    }
    ctx.set('Cache-Control', 'no-store')
    const { role } = endpoint
    const asker = await this.#access.askerOf(ctx.req)
    if (!asker && role !== 'anybody') throw this.#access.unknown()
    if (asker && endpoint.method === 'post') this.#access.checkOrigin(ctx.req, asker)
    if (asker && role === 'operator') needOperator(asker)
    if (role === undefined && endpoint.method === 'get' && ctx.querystring === '' && !endpoint.path.includes(':'))
      return this.#text(endpoint).send(ctx, 'application/json')
    const question = endpoint.question ? readQuestion(endpoint.question, await readBody(ctx.req)) : undefined
    const by = asker?.name ?? 'somebody at this machine'
    const run = () =>
      endpoint.run(
        this.#desk,
        new URLSearchParams(ctx.querystring),
        question,
        { ...params, by },
        this.#visit(ctx, asker),
      )
    if (role !== 'operator' || endpoint.method === 'get') return sayJson(ctx, JSON.stringify(await run()))
    const from = ctx.req.socket.remoteAddress ?? ''
    const action = { by, from, what: ctx.path.slice(API_PREFIX.length), about: question }
    sayJson(ctx, JSON.stringify(await this.#desk.host.audit.run(action, async () => run())))
  }

  #visit(ctx: Context, asker: Asker | undefined): Visit {
    return {
      asker,
      signIn: async (name, password) => {
        const { asker: signedIn, cookie } = await this.#access.signIn(ctx.req, name, password)
        ctx.set('Set-Cookie', cookie)
        return signedIn
      },
      signOut: () => ctx.set('Set-Cookie', this.#access.signOut(ctx.req)),
    }
  }

  #text(endpoint: Endpoint): SharedText {
    let text = this.#texts.get(endpoint.path)
    if (!text) {
      const make = async () => JSON.stringify(await endpoint.run(this.#desk, new URLSearchParams(), undefined, {}))
      text = new SharedText(make, () => this.#desk.host.clock.now(), TEXT_FRESH_MS)
      this.#texts.set(endpoint.path, text)
    }
    return text
  }

  #listen(ctx: Context, { name, role }: Asker): void {
    const wanted = new URLSearchParams(ctx.querystring).get('follow')
    if (wanted !== null && wanted !== 'overview')
      throw new MatrixError('query', `follow: found "${wanted}"; allowed is overview`)
    if (ctx.method === 'HEAD') {
      ctx.status = 200
      ctx.type = 'text/event-stream'
      return
    }
    ctx.respond = false
    for (const [name, value] of Object.entries(this.#headers)) ctx.res.setHeader(name, value)
    const { req } = ctx
    const may = async () => {
      const asker = await this.#access.askerOf(req)
      return asker !== undefined && asker.name === name && asker.role === role
    }
    if (this.#events.add(ctx.res, { ...(wanted !== null && { follow: wanted }), may })) return
    ctx.respond = true
    sayFailure(ctx, 503, 'busy', 'too many listen already')
  }

  #fail(ctx: Context, error: unknown): void {
    if (error instanceof LoginRefusal) {
      const { 'WWW-Authenticate': challenge, ...headers } = error.headers
      ctx.set(headers)
      // a browser would ask by a window of its own, where the page does
      if (challenge !== undefined && ctx.get('Sec-Fetch-Site') === '') ctx.set('WWW-Authenticate', challenge)
      sayFailure(ctx, error.status, error.status === 403 ? 'role' : 'login', error.message)
      return
    }
    if (isMatrixError(error)) {
      sayFailure(ctx, statuses[error.code] ?? 503, error.code, error.message)
      return
    }
    this.#log.error({ path: ctx.path, error: error instanceof Error ? error.stack : String(error) }, 'an answer failed')
    sayFailure(ctx, 500, 'bug', 'the node met a bug; its log says more')
    // the node must not go on
    if (error instanceof InvariantError) this.#desk.host.clock.soon(() => raise(error))
  }
}

/** Throws LoginRefusal. */
function needOperator({ name, role }: Asker): void {
  if (role === 'operator') return
  const who = name === null ? 'everybody on this machine may look only (admin.anonymous)' : `${name} may look only`
  throw new LoginRefusal(403, `${who}; this is for operators`)
}

function sendAsset(ctx: Context, asset: Asset): void {
  ctx.set('ETag', asset.etag)
  ctx.status = 200
  if (ctx.fresh) {
    ctx.status = 304
    return
  }
  ctx.vary('Accept-Encoding')
  const gzip = ctx.acceptsEncodings('gzip', 'identity') === 'gzip'
  if (gzip) ctx.set('Content-Encoding', 'gzip')
  ctx.type = asset.type
  ctx.body = gzip ? asset.gzipped : asset.bytes
}

/** Of a whole path. */
function patternOf(path: string): RegExp {
  return new RegExp(`^${API_PREFIX}${path.replace(/:(\w+)/g, '(?<$1>[^/]+)')}$`)
}

/** Throws MatrixError 'query' when a part is not encoded as it should be. */
function decoded(groups: Record<string, string> = {}): Readonly<Record<string, string>> {
  try {
    return Object.fromEntries(Object.entries(groups).map(([name, value]) => [name, decodeURIComponent(value)]))
  } catch {
    throw new MatrixError('query', 'a part of the path is not encoded as in URLs')
  }
}

function raise(error: Error): never {
  throw error
}

function sayJson(ctx: Context, text: string): void {
  ctx.type = 'application/json'
  ctx.body = text
}

function sayFailure(ctx: Context, status: number, code: string, message: string): void {
  ctx.status = status
  sayJson(ctx, JSON.stringify({ error: { code, message } }))
}

/** Throws MatrixError 'query' that says what is wrong. */
function readQuestion(schema: v.GenericSchema, text: string): unknown {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text)
  if (result.success) return result.output
  const [issue] = result.issues
  const where = v.getDotPath(issue)
  throw new MatrixError('query', `${where ? `${where}: ` : 'the body: '}${issue.message}`)
}

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= BODY_MAX) chunks.push(chunk)
    })
    request.once('error', reject)
    request.once('end', () => {
      if (size <= BODY_MAX) resolve(Buffer.concat(chunks).toString('utf8'))
      else reject(new MatrixError('query', `the body has ${size} bytes; allowed are ${BODY_MAX}`))
    })
  })
}
