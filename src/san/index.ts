/**
 * Floor 2: the storage that nodes share. LUN drivers and labels, the fence gate before every device (psd.ts), and the membership
 * partition: disk leases, fence requests and the membership database. Everything above reaches a LUN through this face.
 */
export {
  databaseAfter,
  type FilesystemRecord,
  filesystemAfter,
  type LunPlace,
  type LunRecord,
  lunRecord,
  MAX_ENTRIES,
  type MembershipDatabase,
  type PendingChange,
  type PlaceChange,
  pendingChange,
  placeChanges,
  type Seal,
} from './database.ts'
export { databaseFormat } from './database-copies.ts'
export * from './disk-lease.ts'
export * from './disk-probe.ts'
export * from './drivers/block-lun.ts'
export * from './drivers/file-lun.ts'
export * from './fence.ts'
export { ISCSI_FORM, isIscsiUrl, parseIscsiUrl, resolveIscsiUrl } from './iscsi/url.ts'
export * from './label.ts'
export * from './labelled-part.ts'
export * from './lease-sector.ts'
export * from './lease-thread.ts'
export * from './lease-watch.ts'
export * from './lun.ts'
export * from './lun-health.ts'
export * from './lun-layout.ts'
export * from './lun-table.ts'
export * from './membership-luns.ts'
export * from './membership-store.ts'
export * from './open-lun.ts'
export * from './orphan-io.ts'
export type { LeaseOwner } from './own-sectors.ts'
export * from './partitions.ts'
export { probeFormat, probeLayout } from './probe-sector.ts'
export * from './psd.ts'
export * from './registration.ts'
export * from './reservations.ts'
export * from './san-lock.ts'
export { sanLockFormat, sanLockLayout } from './san-lock-sector.ts'
export * from './script-agent.ts'
export * from './scsi-pr-agent.ts'
export * from './target/index.ts'
