/**
 * A verb's answer as it was in the turn in which the verb ran. Inodes in memory go on changing; who gets the answer in a later turn would see,
 * beside what the verb did, what others have done since. A client takes the attributes before and after its change (RFC 1813 2.6,
 * wcc_data) for proof that nobody else changed anything in between: with a later "after" it would keep what others have made stale.
 */
import type { Inode } from '../fs/matrix-fs.ts'
import { CachedInode } from './inode.ts'

/** With its size as verbs see it, which the row in the image may not have yet. */
function snapshotOf(inode: CachedInode): Inode {
  const { size, allocated, wire } = inode
  return { ...inode.record(), size, allocated, wire }
}

/** The same answer, with snapshots of its inodes; file content in it stays what it is. */
export function asOfNow<T>(answer: T): T {
  return taken(answer, new Map()) as T
}

/** One that stands at two places of the answer stays one. */
function taken(value: unknown, seen: Map<CachedInode, Inode>): unknown {
  if (value instanceof CachedInode) {
    const known = seen.get(value)
    if (known) return known
    const snapshot = snapshotOf(value)
    seen.set(value, snapshot)
    return snapshot
  }
  if (Array.isArray(value)) return value.some(hasInode) ? value.map((each) => taken(each, seen)) : value
  if (!isRecord(value)) return value
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value)) copy[key] = taken(value[key], seen)
  return copy
}

function hasInode(value: unknown): boolean {
  return isRecord(value) && value.inode instanceof CachedInode
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}
