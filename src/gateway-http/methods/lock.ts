/**
 * LOCK (RFC 4918 9.10): a new lock, or, without a body, more time for one that is there. The lock is journaled metadata: answered once it is
 * durable, known to all nodes, outliving this one (metadata/fs/dav).
 */
import { randomUUID } from 'node:crypto'
import { isPromise } from '../../base/maybe-promise.ts'
import type { DavLock } from '../../metadata/index.ts'
import { DIR, REG } from '../../metadata/index.ts'
import { durable, type ExportCall, header } from '../call.ts'
import { depthOf } from '../depth.ts'
import { HttpFailure } from '../failure.ts'
import { fileMode } from '../http-export.ts'
import { MAX_XML_BYTES } from '../limits.ts'
import { lockDiscovery, lockTimeoutMs } from '../lock-discovery.ts'
import { hrefOf } from '../paths.ts'
import { readBody } from '../request-body.ts'
import { type Place, retryStale, walk } from '../resolve.ts'
import { parseLockinfo } from '../xml/lockinfo-body.ts'
import { XML_TYPE, xmlDeclaration } from '../xml/multistatus.ts'

export async function lock(call: ExportCall): Promise<void> {
  const body = await readBody(call, MAX_XML_BYTES)
  const timeoutMs = lockTimeoutMs(header(call, 'timeout'))
  if (body.length === 0) return retryStale(() => refresh(call, timeoutMs))
  const { shared, owner } = parseLockinfo(body)
  const depth = depthOf(call, 'infinity')
  if (depth === '1') throw new HttpFailure(400, 'LOCK has Depth 0 or infinity')
  await retryStale(async () => {
    const place = await placeOf(call)
    const { inode } = place
    if (!inode && call.target.trailingSlash) throw new HttpFailure(409, 'there is no such directory')
    const locking = call.fs.dav.lock(call.caller, place, {
      ...{ shared, owner, timeoutMs, infinite: depth === 'infinity', mode: fileMode(call.share) },
      token: `urn:uuid:${randomUUID()}`,
      root: hrefOf([call.share.name, ...call.path], inode?.type === DIR),
    })
    const { lock: given, created } = isPromise(locking) ? await locking : locking
    await durable(call.fs)
    call.ctx.set('Lock-Token', `<${given.token}>`)
    answerLock(call, created ? 201 : 200, given)
  })
}

/** 9.10.2: the If header names the lock, which may be above the resource. */
async function refresh(call: ExportCall, timeoutMs: number): Promise<void> {
  const { fs, caller } = call
  const tokens = caller.guard?.tokens ?? []
  if (tokens.length === 0) throw new HttpFailure(400, 'a body, or an If header with the lock to refresh, was expected')
  const place = await placeOf(call)
  if (!place.inode) throw new HttpFailure(404)
  for (const token of tokens) {
    const longer = await fs.dav.refresh(caller, place, token, timeoutMs)
    if (!longer) continue
    await durable(fs)
    return answerLock(call, 200, longer)
  }
  throw new HttpFailure(412, 'none of these locks covers the resource', { condition: 'lock-token-matches-request-uri' })
}

async function placeOf(call: ExportCall): Promise<Place> {
  const place = await walk(call.fs, call.caller, call.path, { last: 'follow', missingParent: 409 })
  const { inode } = place
  if (inode && inode.type !== DIR && inode.type !== REG)
    throw new HttpFailure(403, 'devices, sockets and pipes are not served')
  if (inode && inode.type !== DIR && call.target.trailingSlash) throw new HttpFailure(404, 'a file, not a directory')
  return place
}

function answerLock(call: ExportCall, status: number, given: DavLock): void {
  const discovery = lockDiscovery([given], call.workshop.clock.wall())
  call.ctx.status = status
  call.ctx.set('Content-Type', XML_TYPE)
  call.ctx.body = `${xmlDeclaration}<D:prop xmlns:D="DAV:"><D:lockdiscovery>${discovery}</D:lockdiscovery></D:prop>\n`
}
