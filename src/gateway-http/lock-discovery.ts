/** Locks as clients see them: lockdiscovery and supportedlock (RFC 4918 15.8, 15.10), time-outs (10.7). */
import type { DavLock } from '../metadata/index.ts'
import { DEFAULT_LOCK_S, MAX_LOCK_S } from './limits.ts'
import { escapeXml } from './xml/names.ts'

const entry = (scope: string) =>
  `<D:lockentry><D:lockscope><D:${scope}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>`
export const SUPPORTED_LOCK = entry('exclusive') + entry('shared')

/** The content of lockdiscovery at `wallMs`. Tokens are no secret: only their owner can use them (6.4). */
export function lockDiscovery(locks: readonly DavLock[], wallMs: number): string {
  return locks.map((lock) => activeLock(lock, wallMs)).join('')
}

function activeLock({ token, shared, infinite, owner, root, expires }: DavLock, wallMs: number): string {
  const left = Math.max(0, Math.ceil((expires - wallMs) / 1000))
  return (
    `<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:${shared ? 'shared' : 'exclusive'}/></D:lockscope>` +
    `<D:depth>${infinite ? 'infinity' : '0'}</D:depth>${owner === '' ? '' : `<D:owner>${owner}</D:owner>`}` +
    `<D:timeout>Second-${left}</D:timeout><D:locktoken><D:href>${escapeXml(token)}</D:href></D:locktoken>` +
    `<D:lockroot><D:href>${escapeXml(root)}</D:href></D:lockroot></D:activelock>`
  )
}

/** How long a lock is given for, ms: the first wish of the Timeout header that is understood, up to the longest there is. */
export function lockTimeoutMs(header: string | undefined): number {
  for (const wish of (header ?? '').split(',')) {
    const [, seconds] = /^\s*(?:infinite|second-(\d{1,15}))\s*$/i.exec(wish) ?? []
    if (seconds !== undefined) return Math.min(MAX_LOCK_S, Math.max(1, Number(seconds))) * 1000
    if (/^\s*infinite\s*$/i.test(wish)) return MAX_LOCK_S * 1000
  }
  return DEFAULT_LOCK_S * 1000
}
