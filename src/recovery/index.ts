/**
 * Floor 6: what happens when membership changes. `recovery.ts` is the sequence, `members.ts` its other end on every node,
 * `lun-change.ts` and `lun-members.ts` the two ends of adding and removing a LUN, `mount.ts` one filesystem on one node, `fsck.ts` the
 * checks of an image.
 */
export * from './check-filesystem.ts'
export * from './fencing.ts'
export * from './fsck.ts'
export * from './isolation.ts'
export * from './lun-change.ts'
export * from './lun-members.ts'
export type { LunSight, LunWish } from './lun-protocol.ts'
export * from './members.ts'
export * from './mount.ts'
export * from './mount-luns.ts'
export * from './recovery.ts'
export * from './san-seat.ts'
export * from './timeline.ts'
