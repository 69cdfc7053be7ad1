/**
 * Names of lockable resources. A resource is a type and a number, packed into one integer so that it is a cheap Map key:
 * `number × 8 + type`. All eight types are taken. Which rows of the image each covers: docs/architecture.md.
 */
declare const brand: unique symbol
export type ResourceId = number & { readonly [brand]?: 'ResourceId' }

/** I inode (and its directory entries) · G allocation group · N slot's own state · S settings · R directory renames · O open-file marker · C checkpointer · L byte-range locks of an inode. */
export const lockTypes = ['I', 'G', 'N', 'S', 'R', 'O', 'C', 'L'] as const
export type LockType = (typeof lockTypes)[number]

export const INODE_LOCK = 0
export const GROUP_LOCK = 1
export const SLOT_LOCK = 2
export const SETTINGS_LOCK = 3
export const RENAME_LOCK = 4
export const OPEN_LOCK = 5
export const CHECKPOINT_LOCK = 6
export const RANGE_LOCK = 7

export function resourceId(type: number, id: number): ResourceId {
  return id * 8 + type
}
export function inodeLock(ino: number): ResourceId {
  return ino * 8
}
export function resourceType(rid: ResourceId): number {
  return rid % 8
}
export function resourceNumber(rid: ResourceId): number {
  return Math.floor(rid / 8)
}
/** `I:4711`, as logs and people say it. */
export function resourceName(rid: ResourceId): string {
  return `${lockTypes[resourceType(rid)]}:${resourceNumber(rid)}`
}
