/** Byte-range locks of the matrix: `range-service.ts` opens with how they work. */
export type { RangePeers } from './range-parts.ts'
export type { Lives } from './range-rows.ts'
export { RangeService, type RangeStatus } from './range-service.ts'
export { ClientRegistry, type WatchedClient, type WatchedClients } from './watched-clients.ts'
