/**
 * The control socket of a running matrixd: what `matrix mount` and `matrix umount` ask is done here and now. Requests and answers
 * are in config/control.ts. A request that is none is told so, and its connection ends.
 */
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import * as v from 'valibot'
import {
  CONTROL_LINE_MAX,
  type ControlAnswer,
  type ControlRequest,
  controlRequest,
  controlSocket,
} from '../../config/index.ts'
import { InvariantError } from '../base/assert.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Log } from '../platform/index.ts'

/** Connections at once: it is for people and their scripts. */
const MAX_CONNECTIONS = 16
/** Longest path of a Unix socket, bytes (sun_path of Linux less its NUL). */
const PATH_MAX = 107
/** The socket is its owner's alone. */
const UMASK = 0o177

/** Rejects with what is told to whoever asked. */
export type ControlHandler = (request: ControlRequest) => Promise<Omit<Extract<ControlAnswer, { ok: true }>, 'ok'>>

export class ControlServer {
  readonly #handler: ControlHandler
  readonly #log: Log
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  constructor(handler: ControlHandler, log: Log) {
    this.#handler = handler
    this.#log = log
  }

  /** The node's lease is taken: whatever lies there was left by a dead process. */
  async listen(stateDir: string): Promise<void> {
    const path = controlSocket(stateDir)
    if (Buffer.byteLength(path) > PATH_MAX) {
      this.#log.warn({ path, longest: PATH_MAX }, 'no control socket: its path is too long; choose a shorter state_dir')
      return
    }
    rmSync(path, { force: true })
    const server = createServer((socket) => this.#accept(socket))
    server.maxConnections = MAX_CONNECTIONS
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) =>
        reject(new MatrixError('config', `the control socket ${path} cannot be made: ${cause.message}`, { cause })),
      )
      // bound within the call, so nobody else's file gets this mask
      const mask = process.umask(UMASK)
      server.listen(path, resolve)
      process.umask(mask)
    })
    server.on('error', (error) => this.#log.error({ error: error.message }, 'the control socket failed'))
    this.#server = server
  }

  async close(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.setEncoding('utf8')
    let text = ''
    let last: Promise<void> = Promise.resolve()
    socket.on('data', (chunk: string) => {
      text += chunk
      const lines = text.split('\n')
      text = lines.pop() as string
      for (const line of lines) last = last.then(() => this.#serve(socket, line))
      if (text.length <= CONTROL_LINE_MAX) return
      text = ''
      last = last.then(() => refuse(socket, `a line is longer than ${CONTROL_LINE_MAX} characters`))
    })
  }

  async #serve(socket: Socket, line: string): Promise<void> {
    const request = v.safeParse(v.pipe(v.string(), v.parseJson(), controlRequest), line)
    if (!request.success) return refuse(socket, `no request: ${request.issues[0].message}`)
    try {
      say(socket, { ok: true, ...(await this.#handler(request.output)) })
    } catch (error) {
      if (error instanceof InvariantError) throw error
      const message = error instanceof Error ? error.message : String(error)
      say(socket, { ok: false, code: isMatrixError(error) ? error.code : 'config', message })
    }
  }
}

function say(socket: Socket, answer: ControlAnswer): void {
  if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`)
}

function refuse(socket: Socket, message: string): void {
  say(socket, { ok: false, code: 'protocol', message })
  socket.destroySoon()
}
