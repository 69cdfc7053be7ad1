/**
 * Floor 9: the admin plane of a node. It looks, and changes nothing: what a node says of itself (`node-report.ts`), asked of all nodes over
 * the mesh (`reporter.ts`, `collector.ts`), so that any of them answers for the whole matrix; put together for people and programs
 * (`answers/`, with the schemas of `api/`), and served over HTTP (`admin-server.ts`): API, events, metrics, SQL on the image, dashboard (`ui/`).
 */
export * from './admin-host.ts'
export * from './admin-plane.ts'
export type { Services } from './api/answers.ts'
export { LogTail } from './log-tail.ts'
