/**
 * The SCSI commands that a LUN driver sends, as command descriptor blocks of 16 bytes (SPC-4, SBC-3). Numbers are big-endian; shorter
 * blocks are padded with zeroes. Only commands that read and write whole blocks are made here: nothing is ever read, modified and written back.
 */
import { assert } from '../../base/assert.ts'

export type ScsiCommand = {
  /** What it is called in messages. */
  readonly name: string
  /** 16 bytes. */
  readonly cdb: Buffer
  /** Filled by the device. */
  readonly read?: Buffer
  /** The device may send less than `read` holds, or say that it took less (tgt does, of UNMAP): what describes the device or the work, never its content. */
  readonly mayBeShort?: boolean
  /** Sent to the device, one after another. */
  readonly write?: readonly Uint8Array[]
  /** Asked before it is sent once more, because its connection was lost or the device did not execute it: it must not be any more. */
  readonly isSuperseded?: () => boolean
}

/** What a device answered. */
export type ScsiAnswer = {
  readonly status: number
  /** Sense data; empty unless the status is CHECK CONDITION. */
  readonly sense: Buffer
  /** Bytes that were read or written. */
  readonly transferred: number
}

export const scsiStatus = {
  good: 0x00,
  checkCondition: 0x02,
  busy: 0x08,
  reservationConflict: 0x18,
  taskSetFull: 0x28,
  acaActive: 0x30,
  taskAborted: 0x40,
} as const

const FUA = 0x08
/** Of WRITE SAME. */
const UNMAP = 0x08

export function testUnitReady(): ScsiCommand {
  return { name: 'TEST UNIT READY', cdb: Buffer.alloc(16) }
}

/** Standard data without a `page`, otherwise that page of vital product data. */
export function inquiry(page?: number): ScsiCommand {
  const cdb = Buffer.alloc(16)
  const read = Buffer.alloc(page === undefined ? 96 : 1024)
  cdb[0] = 0x12
  if (page !== undefined) {
    cdb[1] = 0x01
    cdb[2] = page
  }
  cdb.writeUInt16BE(read.length, 3)
  const what = page === undefined ? '' : ` of page ${page.toString(16).padStart(2, '0')}h`
  return { name: `INQUIRY${what}`, cdb, read, mayBeShort: true }
}

export function readCapacity(): ScsiCommand {
  const cdb = Buffer.alloc(16)
  const read = Buffer.alloc(32)
  cdb[0] = 0x9e
  cdb[1] = 0x10
  cdb.writeUInt32BE(read.length, 10)
  return { name: 'READ CAPACITY(16)', cdb, read, mayBeShort: true }
}

/** The caching mode page, after the header of 8 bytes. */
export function modeSenseCaching(): ScsiCommand {
  const cdb = Buffer.alloc(16)
  const read = Buffer.alloc(64)
  cdb[0] = 0x5a
  cdb[1] = 0x08 // no block descriptors
  cdb[2] = 0x08
  cdb.writeUInt16BE(read.length, 7)
  return { name: 'MODE SENSE(10)', cdb, read, mayBeShort: true }
}

export function reportLuns(): ScsiCommand {
  const cdb = Buffer.alloc(16)
  const read = Buffer.alloc(8 + 8 * 512)
  cdb[0] = 0xa0
  cdb.writeUInt32BE(read.length, 6)
  return { name: 'REPORT LUNS', cdb, read, mayBeShort: true }
}

export function readBlocks(block: number, count: number, read: Buffer): ScsiCommand {
  return { name: `READ(16) of ${count} blocks at ${block}`, cdb: transfer(0x88, 0, block, count), read }
}

/** `fua`: answered only once the blocks are on the medium. */
export function writeBlocks(
  block: number,
  count: number,
  write: readonly Uint8Array[],
  { fua, isSuperseded }: { readonly fua: boolean; readonly isSuperseded?: () => boolean },
): ScsiCommand {
  const cdb = transfer(0x8a, fua ? FUA : 0, block, count)
  return { name: `WRITE(16) of ${count} blocks at ${block}`, cdb, write, ...(isSuperseded && { isSuperseded }) }
}

/**
 * Writes `wanted` where `expected` is, as one step that no other command comes between (SBC-3, 5.2). Both of `count` blocks, 255 at most. Where
 * something else is: CHECK CONDITION, miscompare.
 */
export function compareAndWriteBlocks(
  block: number,
  count: number,
  { expected, wanted }: { readonly expected: Uint8Array; readonly wanted: Uint8Array },
  { fua, isSuperseded }: { readonly fua: boolean; readonly isSuperseded?: () => boolean },
): ScsiCommand {
  assert(count > 0 && count <= 255 && expected.length === wanted.length, `${count} blocks to compare`)
  const cdb = transfer(0x89, fua ? FUA : 0, block, 0)
  cdb[13] = count
  const name = `COMPARE AND WRITE of ${count} blocks at ${block}`
  return { name, cdb, write: [expected, wanted], ...(isSuperseded && { isSuperseded }) }
}

/** Repeats `one` block. `unmap`: of zeroes, and the device may give their space back instead of keeping them. */
export function writeSameBlocks(
  block: number,
  count: number,
  one: Uint8Array,
  { unmap, isSuperseded }: { readonly unmap: boolean; readonly isSuperseded?: () => boolean },
): ScsiCommand {
  const cdb = transfer(0x93, unmap ? UNMAP : 0, block, count)
  return {
    name: `WRITE SAME(16) of ${count} blocks at ${block}`,
    cdb,
    write: [one],
    mayBeShort: true,
    ...(isSuperseded && { isSuperseded }),
  }
}

/** Gives the space of one range back. What is read there afterwards is for the device to say (READ CAPACITY(16), LBPRZ). */
export function unmapBlocks(
  block: number,
  count: number,
  { isSuperseded }: { readonly isSuperseded?: () => boolean } = {},
): ScsiCommand {
  const list = Buffer.alloc(24)
  list.writeUInt16BE(list.length - 2, 0)
  list.writeUInt16BE(16, 2)
  list.writeBigUInt64BE(BigInt(block), 8)
  list.writeUInt32BE(count, 16)
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x42
  cdb.writeUInt16BE(list.length, 7)
  return {
    name: `UNMAP of ${count} blocks at ${block}`,
    cdb,
    write: [list],
    mayBeShort: true,
    ...(isSuperseded && { isSuperseded }),
  }
}

/** Of the whole device. */
export function synchronizeCache(): ScsiCommand {
  return { name: 'SYNCHRONIZE CACHE(16)', cdb: transfer(0x91, 0, 0, 0) }
}

function transfer(operation: number, flags: number, block: number, count: number): Buffer {
  assert(Number.isSafeInteger(block) && block >= 0, `block ${block}`)
  assert(Number.isSafeInteger(count) && count >= 0 && count < 2 ** 32, `${count} blocks`)
  const cdb = Buffer.allocUnsafe(16).fill(0) // of the pool: this one is made for every read and write
  cdb[0] = operation
  cdb[1] = flags
  cdb.writeUInt32BE(Math.floor(block / 2 ** 32), 2)
  cdb.writeUInt32BE(block >>> 0, 6)
  cdb.writeUInt32BE(count, 10)
  return cdb
}
