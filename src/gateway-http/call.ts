/** One request under way: what a method gets to work with. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from 'koa'
import type { Caller, MatrixFs } from '../metadata/index.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Gate } from './gate.ts'
import type { HttpExport } from './http-export.ts'
import type { Assets } from './page/assets.ts'
import type { Target } from './paths.ts'
import type { PiecePool } from './piece-pool.ts'
import type { RenderedListings } from './rendered-entries.ts'

/** What all requests of a gateway share. */
export type Workshop = {
  readonly clock: Clock
  readonly log: Log
  readonly pieces: PiecePool
  readonly listings: RenderedListings
  readonly exports: () => readonly HttpExport[]
  readonly assets: Assets
  /** Searches and archives: they walk through whole trees. */
  readonly walks: Gate
}

/** Who asks, as far as the page shows it. */
export type Visitor = {
  readonly name: string | undefined
  /** There are users, and this request is of none. */
  readonly maySignIn: boolean
}

export type Call = {
  readonly ctx: Context
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly target: Target
  readonly workshop: Workshop
  readonly visitor: Visitor
}

/** A call whose path lies in an export. */
export type ExportCall = Call & {
  readonly share: HttpExport
  readonly fs: MatrixFs
  /** WebDAV locks bind it, except those whose tokens the request submits. */
  readonly caller: Caller
  /** The same user, for what is hidden from clients: locks do not bind it. */
  readonly unbound: Caller
  /** Segments below the export's root. */
  readonly path: readonly string[]
  /** Methods that change something are answered, not refused for the export's or the visitor's sake. */
  readonly mayChange: boolean
}

/** Answers without a body; 201 gets one word, which old WebDAV clients wait for. */
export function answer(call: Call, status: number, headers: Readonly<Record<string, string>> = {}): void {
  call.ctx.set({ ...headers })
  call.ctx.status = status
  call.ctx.body = status === 201 ? 'Created\n' : ''
}

/** The value of a header that may come once; several are joined as RFC 9110 5.3 says. */
export function header(call: Call, name: string): string | undefined {
  const value = call.req.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** Resolves once every change answered so far is durable. */
export function durable(fs: MatrixFs): Promise<void> {
  return new Promise((resolve, reject) => fs.afterDurable((error) => (error ? reject(error) : resolve())))
}

/** Seconds since 1970 by the host's clock. */
export function nowSeconds(call: Call): number {
  return call.workshop.clock.wall() / 1000
}
