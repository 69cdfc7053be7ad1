/**
 * What `matrix` and `matrixd` share towards their users: the configuration (its keys in schema.ts, how a file is read in
 * load.ts, what the program gets in config.ts), the run file, exit codes.
 */
export * from './added-luns.ts'
export * from './config.ts'
export * from './control.ts'
export type { ConfigFiles } from './files.ts'
export { loadConfig } from './load.ts'
export * from './network-cut.ts'
export * from './program.ts'
export {
  type PrunePolicy,
  prunePolicies,
  type ReplicationRule,
  replicasDir,
} from './replicate-schema.ts'
export * from './replication-status.ts'
export * from './run-file.ts'
export { type FenceAgentName, fenceAgents } from './schema.ts'
export { onStopSignal } from './stop-signal.ts'
export * from './target.ts'
export { deliveriesFile, eventsFile, timelineFile } from './timeline.ts'
export { formatAddress, isLoopback, isName, parseAddress } from './values.ts'
