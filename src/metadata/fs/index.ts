/**
 * The Matrix Filesystem: POSIX semantics over the journaled image (floor 5). `matrix-fs.ts` is the interface that gateways
 * use, `matrix-filesystem.ts` puts the parts together; every verb has its file, `op.ts` and `run.ts` say how one runs.
 */
export {
  type DavChange,
  type DavFs,
  type DavLock,
  type DavLocked,
  type DavLockRequest,
  type DavPlace,
  LockedError,
  type PropertyPatch,
} from './dav/index.ts'
export type { DrainProgress } from './drain.ts'
export * from './matrix-filesystem.ts'
export * from './matrix-fs.ts'
export { DoneAlready } from './op.ts'
export type { ScrubProgress, Unreadable } from './scrub.ts'
