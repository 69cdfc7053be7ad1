/**
 * Pages of other origins (Fetch standard, CORS): which of them a browser lets use this gateway. By default none: what has an effect here is
 * asked for by methods that browsers send for another origin's page only after a preflight.
 */
import type { Context } from 'koa'

/** Origins (`https://app.example`), or `*` for all; those named may send the user's credentials. */
export type CorsOrigins = readonly string[]

const EXPOSED =
  'Content-Range, DAV, ETag, Location, Lock-Token, Repr-Digest, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, Upload-Offset'
const MAX_AGE_S = 600

/** Sets what the browser has to know. True: the request is a preflight, and answered by that. */
export function answerCors(ctx: Context, origins: CorsOrigins, methods: string): boolean {
  if (origins.length === 0) return false
  ctx.vary('Origin')
  const origin = ctx.get('Origin')
  const isNamed = origins.includes(origin)
  if (origin === '' || !(isNamed || origins.includes('*'))) return false
  ctx.set('Access-Control-Allow-Origin', isNamed ? origin : '*')
  if (isNamed) ctx.set('Access-Control-Allow-Credentials', 'true')
  ctx.set('Access-Control-Expose-Headers', EXPOSED)
  if (ctx.method !== 'OPTIONS' || ctx.get('Access-Control-Request-Method') === '') return false
  ctx.set('Access-Control-Allow-Methods', methods)
  // what a page may send is decided where it is understood
  ctx.set('Access-Control-Allow-Headers', ctx.get('Access-Control-Request-Headers'))
  ctx.set('Access-Control-Max-Age', String(MAX_AGE_S))
  ctx.status = 204
  return true
}
