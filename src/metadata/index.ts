/**
 * Floor 5: metadata and the Matrix Filesystem. Metadata is a deterministic image (image/) rebuilt from per-slot journals
 * (journal/) and checkpoints (checkpoint/) on the shared LUN; `Volume` holds them together; `fs/` is the filesystem on top,
 * with its space (alloc/) and caches (cache/).
 */
export { blocksKnown, spaceMark } from './alloc/new-space.ts'
export { asOfNow } from './cache/inode-snapshot.ts'
export { CheckpointStore, type Published } from './checkpoint/store.ts'
export * from './format-filesystem.ts'
export * from './fs/index.ts'
export * from './fs-layout.ts'
export type { RequestId } from './image/done-requests.ts'
export { Image, type ImageTotals } from './image/image.ts'
export * from './image/mutation.ts'
export type { DirentRecord, ExtentRecord, SpaceRecord } from './image/rows.ts'
export * from './ranges/index.ts'
export { Volume, type VolumeOptions } from './volume.ts'
export type { VolumeApi } from './volume-api.ts'
