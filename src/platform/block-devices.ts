/**
 * Block devices of the host, handed in: disks and LUNs that it reaches through a driver of its own (Fibre Channel, SAS, iSCSI by the kernel,
 * NVMe). I/O goes past the page cache, so that every host sees what is on the device, and nothing that a host would keep for itself.
 */

/** A device that is open. Offsets and lengths in bytes; what is no whole sector is made one (see `DeviceWrite`). */
export interface BlockDevice {
  /** Of the device itself: the same at every host that reaches it, whatever its path there; for messages. Empty when it has none. */
  readonly identity: string
  readonly size: number
  /** What it reads and writes as a whole. */
  readonly sectorSize: number
  read(offset: number, buffer: Buffer): Promise<void>
  write(offset: number, buffers: readonly Uint8Array[], options: DeviceWrite): Promise<void>
  /** Everything whose writing had ended is on stable storage when this resolves. */
  flush(): Promise<void>
  close(): Promise<void>
}

export type DeviceWrite = {
  /**
   * A write that has not been issued this long after it was asked for is given up, ms: whoever asked has reckoned with when it may land. (The rest
   * of a sector that is written in part is read first, and others may be under way.)
   */
  readonly issuedWithinMs: number
}

export interface BlockDevices {
  /**
   * Rejects with MatrixError 'not-found', 'config' (it is no block device, or one that cannot be used), 'in-use' (mounted, or part of something
   * else) or 'lun-io'. What it rejects with later: 'lun-reserved' (a reservation conflict at the device) or 'lun-io'.
   */
  openDevice(path: string): Promise<BlockDevice>
}
