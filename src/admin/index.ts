/**
 * Floor 9: the admin plane of a node. It looks; what it changes it does by jobs (`jobs/`), which drive the engines that the node hands in, or
 * by the orders of the control socket, for operators (`access/`). What a
 * node says of itself (`node-report.ts`), asked of all nodes over the mesh (`reporter.ts`, `collector.ts`), so that any of them answers for the
 * whole matrix; put together for people and programs (`answers/`, with the schemas of `api/`), and served over HTTP (`admin-server.ts`): API,
 * events, metrics, SQL on the image, dashboard (`ui/`).
 */
export * from './admin-host.ts'
export * from './admin-plane.ts'
export type { Services } from './api/answers.ts'
export type { Job, Jobs, JobWithLog } from './api/jobs.ts'
export { AuditLog } from './audit-log.ts'
export type { JobMeans } from './jobs/job-means.ts'
export { LogTail } from './log-tail.ts'
