/** Byte-range locks of the matrix: `range-service.ts` opens with how they work. */
export type { Lives } from './range-rows.ts'
export { type RangePeers, RangeService } from './range-service.ts'
export { ClientRegistry, type WatchedClient, type WatchedClients } from './watched-clients.ts'
