/**
 * The membership database: what the matrix knows about itself independent of any node (SAN generation, LUN names,
 * filesystems, seals). Kept on the membership partitions in two alternating copies each; written only by the administrator.
 */
import * as v from 'valibot'
import { assert } from '../base/assert.ts'
import type { Incarnation, Lsn, Slot } from '../base/ids.ts'
import { isUuid } from '../base/layout.ts'
import { MAX_LUN_URL, MAX_SLOTS } from '../base/limits.ts'

/** Where a dead incarnation's journal ended. A frame of it at or beyond `lsn` never counts, however valid. */
export type Seal = { readonly slot: Slot; readonly incarnation: Incarnation; readonly lsn: Lsn }

export type FilesystemRecord = {
  readonly name: string
  readonly uuid: string
  /** 32-bit number in file handles, derived from the uuid; never 0. */
  readonly fsid: number
  /**
   * UUIDs of its LUNs; the position is the LUN index in block addresses, so that one that it is not on any more leaves a hole. The first one
   * carries journals and checkpoints.
   */
  readonly luns: readonly (string | null)[]
  /** UUIDs of those that nothing new is written to, since they are being drained. */
  readonly draining?: readonly string[]
  /** Journals and checkpoint areas laid out: slots 0 … slots-1 may mount. */
  readonly slots: number
  /** Bytes of one slot's journal ring. */
  readonly journalBytes: number
  /** Bytes of one of the two halves of a slot's checkpoint area. */
  readonly checkpointBytes: number
  /** Blocks of one allocation group. */
  readonly groupBlocks: number
  /** Which LUN new data goes to: by the share of the free space that each has, or all in turn. Left out: 'free'. */
  readonly spread?: 'free' | 'stripe'
  /** By slot and incarnation, ascending; older ones are dropped once every kept checkpoint covers them. */
  readonly seals: readonly Seal[]
  /** Set when its recovery failed: nobody mounts it until an operator has looked. */
  readonly error?: string
}

/** A LUN of the matrix, by what its label says. */
export type LunRecord = { readonly uuid: string; readonly name: string; readonly size: number }

/** Of a LUN in a filesystem: its index is in the block addresses. */
export type LunPlace = { readonly fsid: number; readonly index: number }

/** What a change does, with a LUN of the list, to the filesystem that `place` names. */
export const placeChanges = ['extend', 'retract', 'drain', 'refill', 'vacate'] as const

/**
 * A change of what LUNs are used for that has begun and is to be finished (docs/decisions/0008-lun-change-crash-points.md):
 *
 *   add      the LUN gets into the list, where it is not yet
 *   remove   it gets out of the list, or was to be added and is taken back
 *   enlarge  it has become larger, and its whole size is to be used; `lun` has the new size
 *   keep     it was to be used whole, and is used as before
 *   extend   it becomes the next of a filesystem's
 *   retract  it was to become that, and is taken back
 *   drain    nothing new is written to it: what is there is going to be moved
 *   refill   it is not to be drained any more
 *   vacate   nothing is left on it: it is none of the filesystem's any more
 */
export type PendingChange = {
  readonly kind: 'add' | 'remove' | 'enlarge' | 'keep' | (typeof placeChanges)[number]
  readonly lun: LunRecord
  /** SAN generation that members are told with it, and of the database that will have the new list: the one after the database's. */
  readonly generation: number
  /** Of an add: where the node that asked for it found the LUN. Others may find it there, too. */
  readonly hint?: string
  /** Of what changes a filesystem. */
  readonly place?: LunPlace
}

export type MembershipDatabase = {
  readonly matrixUuid: string
  readonly matrixName: string
  /** Term of the SAN locks under which it was written; 0 before the first administrator, and by tools. */
  readonly term: number
  /** SAN generation: raised by every write of the database, so that it never stands for two lists of LUNs. */
  readonly generation: number
  readonly luns: readonly LunRecord[]
  readonly filesystems: readonly FilesystemRecord[]
  readonly pending?: PendingChange
}

/** Filesystems and LUNs of one matrix, and seals of one filesystem: bound the database well below its copy's size. */
export const MAX_ENTRIES = 256
const MAX_SEALS = 4096

const natural = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1))
const uuid = v.pipe(v.string(), v.check(isUuid, 'is no UUID'))
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(64))

/** A LUN in a message or in the database. */
export const lunRecord = v.strictObject({ uuid, name, size: positive })
/** A change in a message or in the database. */
export const pendingChange = v.strictObject({
  kind: v.picklist(['add', 'remove', 'enlarge', 'keep', ...placeChanges]),
  lun: lunRecord,
  generation: positive,
  hint: v.optional(v.pipe(v.string(), v.maxLength(MAX_LUN_URL))),
  place: v.optional(v.strictObject({ fsid: positive, index: v.pipe(natural, v.maxValue(MAX_ENTRIES - 1)) })),
})

const filesystem = v.strictObject({
  name,
  uuid,
  fsid: v.pipe(positive, v.maxValue(2 ** 32 - 1)),
  luns: v.pipe(v.array(v.nullable(uuid)), v.minLength(1), v.maxLength(MAX_ENTRIES)),
  draining: v.optional(v.array(uuid)),
  slots: v.pipe(positive, v.maxValue(MAX_SLOTS)),
  journalBytes: positive,
  checkpointBytes: positive,
  groupBlocks: positive,
  spread: v.optional(v.picklist(['free', 'stripe'])),
  seals: v.pipe(
    v.array(v.strictObject({ slot: v.pipe(natural, v.maxValue(MAX_SLOTS - 1)), incarnation: positive, lsn: natural })),
    v.maxLength(MAX_SEALS),
  ),
  error: v.optional(v.string()),
})

const database = v.strictObject({
  matrixUuid: uuid,
  matrixName: name,
  term: v.optional(natural, 0),
  generation: positive,
  luns: v.pipe(v.array(lunRecord), v.maxLength(MAX_ENTRIES)),
  filesystems: v.pipe(v.array(filesystem), v.maxLength(MAX_ENTRIES)),
  pending: v.optional(pendingChange),
})

/** `value` as a database; or what is wrong with it, naming the place. */
export function parseDatabase(value: unknown): MembershipDatabase | string {
  const result = v.safeParse(database, value)
  if (!result.success) {
    const issue = result.issues[0]
    return `${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}`
  }
  return contradictionIn(result.output as MembershipDatabase) ?? (result.output as MembershipDatabase)
}

/** What the database says once `pending` is finished. */
export function databaseAfter<T extends Pick<MembershipDatabase, 'luns' | 'filesystems'>>(
  database: T,
  { kind, lun, place }: PendingChange,
): T {
  const { luns, filesystems } = database
  const others = luns.filter(({ uuid }) => uuid !== lun.uuid)
  switch (kind) {
    case 'add':
      return { ...database, luns: [...others, lun] }
    case 'remove':
      return { ...database, luns: others }
    case 'enlarge':
      return { ...database, luns: luns.map((each) => (each.uuid === lun.uuid ? lun : each)) }
    case 'keep':
      return database
    default: {
      const changed = (fs: FilesystemRecord) =>
        place && fs.fsid === place.fsid ? filesystemAfter(fs, { kind, lun, place }) : fs
      return { ...database, filesystems: filesystems.map(changed) }
    }
  }
}

/** A change of what a LUN is to a filesystem. */
export type PlaceChange = {
  readonly kind: (typeof placeChanges)[number]
  readonly lun: Pick<LunRecord, 'uuid'>
  readonly place: LunPlace
}

/** What the record of the filesystem says once the change is finished; done twice it does no more. */
export function filesystemAfter(
  filesystem: FilesystemRecord,
  { kind, lun: { uuid }, place }: PlaceChange,
): FilesystemRecord {
  const { luns, draining = [], ...rest } = filesystem
  const { index } = place
  const others = draining.filter((other) => other !== uuid)
  switch (kind) {
    case 'extend':
      assert(
        index === luns.length || luns[index] === uuid,
        `${rest.name} has ${luns.length} LUNs, another is to be number ${index}`,
      )
      return { ...filesystem, luns: [...luns.slice(0, index), uuid] }
    case 'retract':
      assert(luns[index] !== uuid, `LUN ${uuid} is taken back from ${rest.name}, and is one of its LUNs`)
      return filesystem
    case 'drain':
      return { ...filesystem, draining: [...others, uuid] }
    case 'refill':
      return withDraining({ ...rest, luns }, others)
    case 'vacate':
      return withDraining({ ...rest, luns: luns.map((other) => (other === uuid ? null : other)) }, others)
  }
}

function withDraining(filesystem: FilesystemRecord, draining: readonly string[]): FilesystemRecord {
  return draining.length > 0 ? { ...filesystem, draining } : filesystem
}

function contradictionIn({ luns, filesystems, pending, generation }: MembershipDatabase): string | undefined {
  const known = new Set(luns.map((lun) => lun.uuid))
  if (known.size < luns.length) return 'luns: a UUID twice'
  if (new Set(luns.map((lun) => lun.name)).size < luns.length) return 'luns: a name twice'
  if (new Set(filesystems.map((fs) => fs.name)).size < filesystems.length) return 'filesystems: a name twice'
  if (new Set(filesystems.map((fs) => fs.fsid)).size < filesystems.length) return 'filesystems: an fsid twice'
  for (const fs of filesystems) {
    const stranger = fs.luns.find((lun) => lun !== null && !known.has(lun))
    if (stranger) return `filesystems.${fs.name}: unknown LUN ${stranger}`
    if (fs.luns[0] === null) return `filesystems.${fs.name}: its first LUN is missing`
    const drained = fs.draining?.find((lun) => fs.luns.indexOf(lun) < 1)
    if (drained !== undefined) return `filesystems.${fs.name}: LUN ${drained} cannot be drained`
  }
  return pending && contradictionOf(pending, { luns, filesystems, generation })
}

function contradictionOf(
  { kind, lun, generation, hint, place }: PendingChange,
  database: Pick<MembershipDatabase, 'luns' | 'filesystems' | 'generation'>,
): string | undefined {
  if (generation !== database.generation + 1)
    return `pending: generation ${generation} does not follow ${database.generation}`
  if (kind !== 'add' && hint !== undefined) return 'pending: only an add has a hint'
  const changesFilesystem = (placeChanges as readonly string[]).includes(kind)
  if (changesFilesystem !== (place !== undefined))
    return `pending: ${place ? 'a' : 'no'} place in a filesystem for ${kind}`
  const same = database.luns.find(({ uuid, name }) => uuid === lun.uuid || name === lun.name)
  if (kind === 'add') return same && `pending: LUN ${same.name} is in the list already`
  const fits = same && (kind === 'enlarge' ? same.size < lun.size : same.size === lun.size)
  if (same && (same.uuid !== lun.uuid || same.name !== lun.name || !fits))
    return `pending: ${kind} of LUN ${lun.name} does not fit LUN ${same.name} in the list`
  const user = database.filesystems.find((fs) => fs.luns.includes(lun.uuid))
  if (kind === 'remove')
    return user && `pending: LUN ${lun.name} is to be removed, and filesystem ${user.name} is on it`
  if (kind === 'enlarge' || kind === 'keep')
    return same ? undefined : `pending: ${kind} of LUN ${lun.name}, which is not in the list`
  const filesystem = database.filesystems.find(({ fsid }) => fsid === place?.fsid)
  if (!same || !filesystem) return `pending: ${kind} of LUN ${lun.name} names what is not there`
  if (kind !== 'extend' && kind !== 'retract')
    return place && place.index > 0 && filesystem.luns[place.index] === lun.uuid
      ? undefined
      : `pending: ${kind} of LUN ${lun.name}, which is not number ${place?.index} of filesystem ${filesystem.name}`
  if (user) return `pending: LUN ${lun.name} is to become part of a filesystem, and ${user.name} is on it`
  return place?.index === filesystem.luns.length
    ? undefined
    : `pending: LUN ${lun.name} is to be number ${place?.index} of filesystem ${filesystem.name}, which has ${filesystem.luns.length}`
}
