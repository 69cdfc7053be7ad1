/**
 * Floor 3: the nodes as a group. Who is in (`ClusterNode` gives agreed, numbered views) and how they talk (`Mesh`).
 *
 * From below: `links.ts` keeps one link per peer: a `session.ts` that goes on over another connection when one is
 * lost, whose beginnings are `peer-paths.ts`, `hello.ts` and `greeting.ts`; `membership.ts` agrees on views, deciding by `coordination.ts` and
 * `membership-rules.ts`; `message-service.ts` carries messages stamped with the view; `cluster-node.ts` wires them. `election.ts` finds the administrator of a view.
 */
export * from './cluster-node.ts'
export * from './election.ts'
export type { Administrator, Seat } from './election-messages.ts'
export type { LinkStatus } from './links.ts'
export { parseBody } from './membership-messages.ts'
export * from './mesh.ts'
export type { KnownPeer } from './peer-paths.ts'
export * from './view.ts'
