/**
 * Floor 4: locks. A symmetric distributed lock manager (modes.ts, lock-master.ts, dlm.ts) and the lock-caching layer on top
 * of it (lcl.ts), which is all that the filesystem sees (lock-cache.ts). A lock knows nothing of inodes: what has to happen
 * when one comes or goes is a table of callouts that the floor above registers.
 */
export type { DlmCounters } from './dlm.ts'
export type { HandoverStep, HandoverSteps } from './handover-steps.ts'
export type { LclCounters } from './lcl.ts'
export type { UsableObserver } from './local-lock.ts'
export { CACHED_LOCKS_MAX } from './lock-ageing.ts'
export * from './lock-cache.ts'
export * from './lock-space.ts'
export type { ResourceStatus } from './mastered.ts'
export * from './mastering.ts'
export * from './modes.ts'
export * from './range-deadlock.ts'
export * from './range-locks.ts'
export * from './range-requests.ts'
export * from './range-table.ts'
export * from './resource.ts'
