/**
 * Floor 11: the replicator: a tree is copied to another, and from then on what has changed (docs/replicator.md).
 */
export { ReplicaJournal } from './journal.ts'
export { addressForms, checkAddress, openTree, targetForms } from './open-tree.ts'
export { Outcome, type Trouble } from './outcome.ts'
export { type ReplicateOptions, replicate } from './replicate.ts'
export { Replication, type ReplicationOptions } from './replication.ts'
export type { Tree } from './tree.ts'
