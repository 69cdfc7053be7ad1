/** The floors of the building: which folder of `src` lies on which. Imports run downwards only. */

export const FLOORS: Record<string, number> = {
  cli: 12,
  node: 12,
  replicator: 11,
  'program-api': 10,
  'gateway-nfs': 9,
  'gateway-http': 9,
  'gateway-fuse': 9,
  'gateway-smb': 9,
  admin: 9,
  services: 8,
  config: 8,
  export: 7,
  recovery: 6,
  metadata: 5,
  locking: 4,
  cluster: 3,
  san: 2,
  platform: 1,
  base: 0,
}

/** The only folder that touches the operating system for the floors below 7. */
export const REAL = 'src/platform/real/'

/** Where everything is wired together: what is here may be handed to all below. */
export const TOP_FLOOR = 12

/** From here up a folder may use clock and files by itself; below, all of it is handed in. */
export const FREE_FLOOR = 7

/** From here up a folder may open sockets by itself. */
export const GATEWAY_FLOOR = 9

/** The folder of `src` that a file belongs to: `san` for `src/san/iscsi/pdu.ts`; '' outside of the folders. */
export function folderOf(file: string): string {
  const parts = file.split('/')
  return parts[0] === 'src' && parts.length > 2 ? parts[1]! : ''
}

export function floorOf(file: string): number | undefined {
  const folder = folderOf(file)
  return Object.hasOwn(FLOORS, folder) ? FLOORS[folder] : undefined
}

export function isReal(file: string): boolean {
  return file.startsWith(REAL)
}

/** The entry of a thread: it has no one who could hand it the real things. */
export function isWorkerEntry(file: string): boolean {
  return /^src\/(?:san|metadata)\/(?:.*\/)?[^/]*-worker\.ts$/.test(file)
}
