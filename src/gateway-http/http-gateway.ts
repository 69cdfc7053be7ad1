/**
 * The HTTP server of a node: takes connections, finds the export and the method, and turns failures into answers.
 *
 * Connections begin in the express lane (express/lane.ts), which answers what is plain, and hands over the rest. Here a request ends in one of four ways: the method answers; it fails with HttpFailure, FsError or MatrixError, which becomes
 * a status here and nowhere else; the client goes away, which is nothing to answer; or there is a bug, which is answered
 * with 500 and, when an invariant is broken, handed to the process as an uncaught exception: the node must not go on.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import Koa, { type Context } from 'koa'
import { InvariantError } from '../base/assert.ts'
import { MatrixError } from '../base/errors.ts'
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts'
import { type Authenticator, readTls, renewCertificate, type TlsFiles, type User } from '../export/index.ts'
import { LockedError } from '../metadata/index.ts'
import type { Clock } from '../platform/clock.ts'
import { type Log, silentLog } from '../platform/log.ts'
import { type Call, header, type Workshop } from './call.ts'
import { answerCors, type CorsOrigins } from './cors.ts'
import { Doors } from './doors.ts'
import type { Answer } from './express/answer.ts'
import { ExpressLane } from './express/lane.ts'
import { type PlainPut, type PlainRequest, plainGetOf } from './express/plain-request.ts'
import { quickGet } from './express/quick-get.ts'
import { quickPut } from './express/quick-put.ts'
import { HttpFailure, toHttpFailure } from './failure.ts'
import { Gate } from './gate.ts'
import type { HttpExport } from './http-export.ts'
import { checkIf, ifLists, submittedTokens } from './if-header.ts'
import {
  CLOSE_PATIENCE_MS,
  HEADERS_TIMEOUT_MS,
  IDLE_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  LINGER_MS,
  MAX_CONNECTIONS,
  MAX_WALKS,
} from './limits.ts'
import { answerLockedBelow } from './methods/failures.ts'
import { ALLOWED, methods } from './methods/table.ts'
import { Disconnected } from './outlet.ts'
import { ASSETS_SEGMENT, Assets } from './page/assets.ts'
import { replyFailure, wantsPage } from './page/failure-page.ts'
import { SIGN_IN, signedIn } from './page/sign-in.ts'
import { parseTarget } from './paths.ts'
import { PiecePool } from './piece-pool.ts'
import { RenderedListings } from './rendered-entries.ts'
import { neverInvited, noteExpectation } from './request-body.ts'
import { Turns } from './turns.ts'
import { errorDocument, XML_TYPE } from './xml/multistatus.ts'

export type HttpGatewayOptions = {
  /** Asked anew for every request: exports come and go. */
  readonly exports: () => readonly HttpExport[]
  /** Who may: without it everybody is anonymous. */
  readonly authenticator?: Authenticator
  /** Whose pages may use it (default: none but its own). */
  readonly corsOrigins?: CorsOrigins
  /** HTTPS instead of HTTP. */
  readonly tls?: TlsFiles
  readonly clock: Clock
  readonly log?: Log
}

export type HttpStatistics = { readonly requests: number; readonly failures: number; readonly underWay: number }

export class HttpGateway {
  readonly #workshop: Workshop
  readonly #server: Server | TlsServer
  readonly #lane: ExpressLane
  readonly #authenticator: Authenticator | undefined
  readonly #corsOrigins: CorsOrigins
  readonly #scheme: 'http' | 'https'
  #requests = 0
  #failures = 0
  #underWay = 0
  #closing = false
  readonly #doors: Doors
  #listening: { readonly host: string; readonly port: number } | undefined

  /** Throws MatrixError 'config' when certificate and key cannot be used. */
  constructor({ exports, authenticator, corsOrigins = [], tls, clock, log = silentLog }: HttpGatewayOptions) {
    this.#authenticator = authenticator
    this.#corsOrigins = corsOrigins
    this.#scheme = tls ? 'https' : 'http'
    this.#workshop = {
      exports,
      clock,
      log,
      pieces: new PiecePool(),
      listings: new RenderedListings(),
      assets: Assets.load(),
      walks: new Gate(MAX_WALKS),
    }
    const app = new Koa()
    app.silent = true
    // Failures after the answer began (a socket that breaks) end here; everything else is caught in #serve.
    app.on('error', (error: Error) => log.debug({ error }, 'a response could not be finished'))
    app.use((ctx) => this.#serve(ctx))
    const whole = app.callback()
    const turns = new Turns()
    const handle = (req: IncomingMessage, res: ServerResponse) =>
      turns.take(req, res, () => {
        if (!this.#serveQuickly(req, res)) void whole(req, res)
      })
    const options = {
      ...{ headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: 0, keepAliveTimeout: KEEP_ALIVE_MS, noDelay: true },
    }
    if (tls) {
      const server = createTlsServer({ ...options, ...readTls(tls), handshakeTimeout: HEADERS_TIMEOUT_MS }, handle)
      renewCertificate(server, tls, clock, log)
      this.#server = server
    } else this.#server = createServer(options, handle)
    // Uploads may take hours as long as something moves: only silence is limited.
    this.#server.timeout = IDLE_TIMEOUT_MS
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#doors = new Doors((socket) => this.#server.emit('connection', socket))
    this.#server.prependListener('connection', (socket: Socket) => this.#doors.admit(socket))
    this.#lane = this.#openLane(clock, tls ? 'secureConnection' : 'connection')
    this.#server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      noteExpectation(req)
      turns.take(req, res, () => void whole(req, res))
    })
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuseGarbage(error, socket))
  }

  /** Rejects with MatrixError 'in-use' when somebody else has the port. Port 0 takes a free one. */
  listen(host: string, port: number): Promise<{ readonly port: number; readonly url: string }> {
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException) =>
        reject(
          error.code === 'EADDRINUSE' || error.code === 'EACCES'
            ? new MatrixError('in-use', `HTTP cannot listen on ${host}:${port}: ${error.message}`, { cause: error })
            : error,
        )
      this.#server.once('error', onError)
      this.#server.listen(port, host, () => {
        this.#server.off('error', onError)
        const bound = (this.#server.address() as AddressInfo).port
        this.#listening = { host, port: bound }
        const shown = host.includes(':') ? `[${host}]` : host
        resolve({ port: bound, url: `${this.#scheme}://${shown}:${bound}/` })
      })
    })
  }

  /** Serves at an address of this machine that has just come, too, on the same port. Rejects as `listen`. */
  async open(address: string): Promise<void> {
    const own = this.#listening
    if (!own || this.#closing) throw new MatrixError('withdrawn', 'HTTP is not served yet, or no more')
    await this.#doors.open(address, own)
  }

  /** Resolves once nothing is under way at an address; a connection ends with the answer to what comes from now on. */
  drain(address: string): Promise<void> {
    return this.#doors.drain(address)
  }

  /** Nothing is served at an address any more: its connections are reset. */
  closeAt(address: string): void {
    this.#doors.close(address)
  }

  /** Takes no new connections, lets requests under way finish for CLOSE_PATIENCE_MS, then cuts the rest. */
  close(): Promise<void> {
    this.#closing = true
    this.#doors.closeFurther()
    return new Promise((resolve) => {
      const timer = this.#workshop.clock.after(CLOSE_PATIENCE_MS, () => this.#cutAll())
      this.#server.close(() => {
        timer.cancel()
        resolve()
      })
      this.#server.closeIdleConnections()
      this.#lane.end()
    })
  }

  #cutAll(): void {
    this.#server.closeAllConnections()
    this.#lane.cut()
  }

  /** Nothing is answered from now on: connections end without a word. */
  abandon(): void {
    this.#closing = true
    this.#doors.closeFurther()
    this.#server.close()
    this.#cutAll()
  }

  stats(): HttpStatistics {
    return { requests: this.#requests, failures: this.#failures, underWay: this.#underWay }
  }

  /** Connections come to the express lane first. `ready`: the event with which the HTTP server gets one that may be read. */
  #openLane(clock: Clock, ready: 'connection' | 'secureConnection'): ExpressLane {
    const server = this.#server
    const serve = server.listeners(ready).at(-1) as (socket: Socket) => void
    const lane = new ExpressLane({
      clock,
      answer: (request, socket) => this.#quickly(request, socket),
      slow: (socket, done) => this.#keepBusy(socket, done),
      handOver: (socket) => serve.call(server, socket),
    })
    server.off(ready, serve)
    server.on(ready, (socket: Socket) => {
      if (!socket.destroyed) lane.take(socket)
    })
    return lane
  }

  /** The short cuts, for what is nobody's in particular. */
  #quickly(request: PlainRequest, socket: Socket): MaybePromise<Answer | undefined> {
    if (this.#closing || this.#corsOrigins.length > 0 || this.#doors.stateAt(socket) !== 'served') return undefined
    if (request.method === 'PUT') return this.#putQuickly(request, socket)
    const answer = quickGet(request, this.#shown(undefined))
    if (answer) this.#requests++
    return answer
  }

  #putQuickly(request: PlainPut, socket: Socket): Promise<Answer | undefined> | undefined {
    const mayChange = ({ readOnly, anonymous = 'rw' }: HttpExport) =>
      !readOnly && (!this.#authenticator || anonymous === 'rw')
    const answering = quickPut(request, this.#workshop.exports().filter(mayChange))
    if (!answering) return undefined
    const underWay = this.#doors.begin(socket)
    this.#underWay++
    return answering
      .then((answer) => {
        if (answer) this.#requests++
        return answer
      })
      .finally(() => {
        this.#underWay--
        underWay.ended()
      })
  }

  /** The same on a connection that has been handed over. True: that was it. */
  #serveQuickly(req: IncomingMessage, res: ServerResponse): boolean {
    const get = plainGetOf(req)
    const answer = get && this.#quickly(get, req.socket)
    if (!answer || isPromise(answer)) return false
    // as one string with its header it is one write
    res.writeHead(200, answer.headers).end(Buffer.concat(answer.body).toString('latin1'), 'latin1')
    if (req.socket.writableLength > 0)
      this.#keepBusy(req.socket, new Promise<void>((resolve) => res.once('close', resolve)))
    return true
  }

  /** An answer has been given, and its client has not taken all of it yet. */
  #keepBusy(socket: Socket, done: Promise<void>): void {
    const underWay = this.#doors.begin(socket)
    void done.then(() => underWay.ended())
  }

  async #serve(ctx: Context): Promise<void> {
    const { req, res } = ctx
    this.#requests++
    this.#underWay++
    const underWay = this.#doors.begin(req.socket)
    // until its answer has left, not only until it is made
    res.once('close', () => underWay.ended())
    if (this.#closing || this.#doors.stateAt(req.socket) === 'draining') ctx.set('Connection', 'close')
    try {
      if (answerCors(ctx, this.#corsOrigins, ALLOWED)) return
      await this.#dispatch(ctx)
    } catch (error) {
      this.#fail(ctx, error)
    } finally {
      this.#underWay--
      this.#leaveBody(req, res)
    }
  }

  async #dispatch(ctx: Context): Promise<void> {
    const method = Object.hasOwn(methods, ctx.method) ? methods[ctx.method] : undefined
    if (!method) throw new HttpFailure(405, undefined, { headers: { Allow: ALLOWED } })
    // `OPTIONS *` asks about the server as a whole (RFC 9110 9.3.7).
    const target = parseTarget(ctx.method === 'OPTIONS' && ctx.req.url === '*' ? '/' : (ctx.req.url ?? '/'))
    const user = await this.#authenticator?.userOf(ctx.req)
    const workshop = this.#authenticator ? { ...this.#workshop, exports: () => this.#shown(user) } : this.#workshop
    const visitor = { name: user?.name, maySignIn: this.#authenticator !== undefined && !user }
    const call: Call = { ctx, req: ctx.req, res: ctx.res, target, workshop, visitor }
    const [name, ...path] = target.segments
    if (name === undefined) {
      if (this.#authenticator && !user && workshop.exports().length === 0) throw this.#authenticator.unauthorized()
      if (!method.serveRoot) throw new HttpFailure(403, 'above the exports nothing can be changed')
      return method.serveRoot(call)
    }
    if (name === ASSETS_SEGMENT) {
      if (path[0] === SIGN_IN && this.#authenticator) {
        if (!user) throw this.#authenticator.unauthorized()
        return signedIn(call)
      }
      return this.#workshop.assets.serve(ctx, path)
    }
    const share = this.#workshop.exports().find((candidate) => candidate.name === name)
    if (!share) throw new HttpFailure(404)
    const { anonymous = 'rw' } = share
    const mayChange = !share.readOnly && (!visitor.maySignIn || anonymous === 'rw')
    const isForUsers = anonymous === 'off' || (anonymous === 'ro' && method.changes)
    if (this.#authenticator && visitor.maySignIn && isForUsers) throw this.#authenticator.unauthorized()
    if (share.readOnly && method.changes) throw new HttpFailure(403, 'the export is read-only')
    const lists = ifLists(header(call, 'if'))
    const guard = { tokens: submittedTokens(lists), principal: user?.name ?? '' }
    const { fs } = share
    const unbound = user?.caller ?? share.caller
    const exportCall = { ...call, share, fs, caller: { ...unbound, guard }, unbound, path, mayChange }
    if (lists.length > 0) await checkIf(exportCall, lists)
    try {
      await method.serve(exportCall)
    } catch (error) {
      if (!(error instanceof LockedError && error.below)) throw error
      answerLockedBelow(exportCall, error)
    }
  }

  /** The exports that this user, or nobody in particular, gets to see. */
  #shown(user: User | undefined): readonly HttpExport[] {
    const all = this.#workshop.exports()
    return this.#authenticator && !user ? all.filter(({ anonymous = 'rw' }) => anonymous !== 'off') : all
  }

  #fail(ctx: Context, error: unknown): void {
    const { log } = this.#workshop
    if (error instanceof Disconnected || ctx.req.socket.destroyed) {
      log.debug({ method: ctx.method, url: ctx.req.url }, 'the client went away')
      ctx.respond = false
      ctx.res.destroy()
      return
    }
    this.#failures++
    const failure = toHttpFailure(error)
    if (!failure || failure.status >= 500)
      log.error({ method: ctx.method, url: ctx.req.url, error }, 'a request failed')
    if (error instanceof InvariantError) this.#workshop.clock.soon(() => raise(error))
    if (ctx.res.headersSent) {
      // Too late for a status: an answer cut short is the only honest one.
      ctx.respond = false
      ctx.res.destroy()
      return
    }
    const answered = failure ?? new HttpFailure(500, 'internal error')
    const { status, headers, condition, message } = answered
    ctx.respond = true
    ctx.status = status
    ctx.set({ ...headers })
    if (wantsPage(ctx)) {
      replyFailure(ctx, this.#workshop.assets, status, message)
      return
    }
    ctx.set('Content-Type', condition === undefined ? 'text/plain; charset=utf-8' : XML_TYPE)
    ctx.body = condition === undefined ? `${message}\n` : errorDocument(answered)
  }

  /**
   * What is left of a body that nobody read is dropped while the client still sends it, so that it gets to read the answer;
   * for so long, and then the connection is cut.
   */
  #leaveBody(req: IncomingMessage, res: ServerResponse): void {
    if (req.complete || req.destroyed) return
    if (neverInvited(req)) {
      // It may come or not: nobody can tell the body from the next request.
      if (!res.headersSent) res.setHeader('Connection', 'close')
      return
    }
    req.on('error', () => undefined)
    req.resume()
    const timer = this.#workshop.clock.after(LINGER_MS, () => {
      if (!req.complete) req.socket.destroy()
    })
    req.once('close', () => timer.cancel())
  }
}

function raise(error: Error): never {
  throw error
}

/** What is no HTTP gets a status when there still is somebody to read it. */
function refuseGarbage(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy())
}
