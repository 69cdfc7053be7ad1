/**
 * Floor 6: what happens when membership changes. `coordinator.ts` is the sequence, `members.ts` its other end on every node,
 * `mount.ts` one filesystem on one node, `fsck.ts` the checks of an image.
 */
export * from './check-filesystem.ts'
export * from './coordinator.ts'
export * from './fsck.ts'
export * from './members.ts'
export * from './mount.ts'
export * from './timeline.ts'
