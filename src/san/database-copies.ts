/**
 * The two copies of the membership database on one partition: each a sealed block whose body is the database in msgpack.
 *
 * Writing goes to the copy that is not the newest one here, durably. A crash leaves either the old state (the new copy is torn, fails
 * its checksum, and is reported) or the new one; never neither.
 */

import { pack, unpack } from 'msgpackr'
import { brokenRules } from '../base/broken-rules.ts'
import { type SealFormat, seal, unseal } from '../base/layout.ts'
import { SECTOR_SIZE } from '../base/limits.ts'
import { type MembershipDatabase, parseDatabase } from './database.ts'
import type { Lun } from './lun.ts'
import { DATABASE_A_OFFSET, DATABASE_B_OFFSET, DATABASE_COPY_BYTES } from './lun-layout.ts'

export const databaseFormat: SealFormat = { magic: 'MxfsMemb', version: 1 }

const places = [
  { name: 'A', offset: DATABASE_A_OFFSET },
  { name: 'B', offset: DATABASE_B_OFFSET },
] as const
type Place = (typeof places)[number]

type CopyRead =
  | { readonly kind: 'ok'; readonly database: MembershipDatabase }
  | { readonly kind: 'blank' }
  | { readonly kind: 'damaged'; readonly why: string }
  | { readonly kind: 'newer'; readonly version: number }

/** What one partition holds. */
export type PartitionRead = {
  readonly lun: Lun
  /** The newest intact copy. */
  readonly database: MembershipDatabase | undefined
  /** Damaged copies, for people. */
  readonly problems: readonly string[]
  /** Format version of a copy that a newer matrixfs has written. */
  readonly newer: number | undefined
  /** Where the next write goes. */
  readonly next: Place
}

/** Order of databases: a later administrator's counts, whatever an earlier one left behind; of one administrator the later one. */
export function isNewer(a: MembershipDatabase, b: MembershipDatabase): boolean {
  return a.term > b.term || (a.term === b.term && a.generation > b.generation)
}

/** Rejects with 'lun-io'. */
export async function readPartition(lun: Lun): Promise<PartitionRead> {
  let best: { readonly database: MembershipDatabase; readonly place: Place } | undefined
  let newer: number | undefined
  const problems: string[] = []
  for (const place of places) {
    const block = Buffer.alloc(DATABASE_COPY_BYTES)
    await lun.read(place.offset, block)
    const found = decode(block)
    if (found.kind === 'newer') newer = found.version
    if (found.kind === 'damaged') problems.push(`copy ${place.name}: ${found.why}`)
    if (found.kind === 'ok' && (!best || isNewer(found.database, best.database)))
      best = { database: found.database, place }
  }
  const next = (best?.place === places[0]) !== brokenRules.copiesInTurn ? places[1] : places[0]
  return { lun, database: best?.database, problems, newer, next }
}

export function encodeDatabase(database: MembershipDatabase): Buffer {
  return seal(databaseFormat, pack(database), SECTOR_SIZE)
}

/** Durable when it resolves. Rejects with 'lun-io' or 'fenced'. */
export async function writePartition(lun: Lun, block: Buffer): Promise<void> {
  const { next } = await readPartition(lun)
  await lun.write(next.offset, [block], { purpose: 'membership', durable: true })
}

function decode(block: Buffer): CopyRead {
  const found = unseal(databaseFormat, block)
  if (found.kind === 'newer' || found.kind === 'damaged') return found
  if (found.kind !== 'ok')
    return found.kind === 'blank' ? { kind: 'blank' } : { kind: 'damaged', why: 'something else is there' }
  let value: unknown
  try {
    value = unpack(found.body)
  } catch (error) {
    return { kind: 'damaged', why: `not msgpack (${error instanceof Error ? error.message : error})` }
  }
  const parsed = parseDatabase(value)
  return typeof parsed === 'string' ? { kind: 'damaged', why: parsed } : { kind: 'ok', database: parsed }
}
