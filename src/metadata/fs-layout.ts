/**
 * Where a filesystem lies on its LUNs (docs/formats/filesystem.md). Bytes; everything from the record and the LUNs' sizes.
 *
 *   first LUN   FS_AREA_OFFSET  journal ring of slot 0 │ … │ slot n-1
 *                               manifests: slot 0 sector 0, sector 1 │ … │ slot n-1 sector 0, sector 1
 *                               (up to the next MiB)
 *                               checkpoint halves: slot 0 half 0, half 1 │ … │ slot n-1 half 0, half 1
 *                               data: allocation groups                                      … fsAreaEnd
 *   other LUNs  FS_AREA_OFFSET  data: allocation groups                                      … fsAreaEnd
 *
 * Every journal, manifest and half has one writer, its slot (single-writer rule). Group k of LUN i covers `groupBlocks`
 * blocks from the start of the data; the last group of a LUN may be shorter.
 */
import { assert } from '../base/assert.ts'
import { MatrixError } from '../base/errors.ts'
import { type BlockAddress, blockAddress, blockOf, lunIndexOf, type Slot } from '../base/ids.ts'
import { BLOCK_SIZE, JOURNAL_ALIGN, MAX_FRAME_BYTES, MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import { formatSize, MiB, roundUp } from '../base/units.ts'
import type { FilesystemRecord } from '../san/index.ts'
import { FS_AREA_OFFSET, fsAreaEnd } from '../san/index.ts'

/** Groups of one LUN: a group number is LUN index × this + k. */
export const GROUPS_PER_LUN = 65_536
/** A checkpoint is written in pieces of this size, bytes: header and payload. */
export const CHUNK_BYTES = MiB

const MIN_JOURNAL_BYTES = MiB
const MAX_JOURNAL_BYTES = 256 * MiB
const MAX_CHECKPOINT_BYTES = 4096 * MiB
const DEFAULT_SLOTS = 8
const DEFAULT_GROUP_BLOCKS = 16_384
/** Journals and checkpoints may take this part of the first LUN at most. */
const METADATA_SHARE = 0.5
/** Compressed bytes that a file takes in a checkpoint, its name and extents included; generous (measured: 30–45). */
const CHECKPOINT_BYTES_PER_FILE = 64

/** Half-open range of block addresses. */
export type BlockRange = { readonly from: BlockAddress; readonly to: BlockAddress }

export type FilesystemPlan = Pick<FilesystemRecord, 'slots' | 'journalBytes' | 'checkpointBytes' | 'groupBlocks'>

export class FsLayout {
  /** Of its LUNs only the first counts here: others come (`resize`). */
  readonly record: FilesystemRecord
  #lunBlocks!: readonly number[]

  /** `lunSizes` in bytes, in the order of `record.luns`. Throws MatrixError 'lun-too-small'. */
  constructor(record: FilesystemRecord, lunSizes: readonly (number | undefined)[]) {
    assert(lunSizes.length === record.luns.length, 'one size per LUN of the filesystem')
    this.record = record
    this.resize(lunSizes)
  }

  /** The filesystem has LUNs of these sizes now; undefined where it has none any more. Throws MatrixError 'lun-too-small'. */
  resize(lunSizes: readonly (number | undefined)[]): void {
    this.#lunBlocks = lunSizes.map((size, index) =>
      size === undefined ? this.firstDataBlock(index) : Math.floor(fsAreaEnd(size) / BLOCK_SIZE),
    )
    lunSizes.forEach((size, index) => {
      if (size !== undefined && this.groupCount(index) < 1)
        throw new MatrixError(
          'lun-too-small',
          `LUN ${index} of filesystem ${this.record.name} has ${formatSize(size)}: nothing is left for data after ${formatSize(dataStart(this.record, index))} of metadata`,
        )
    })
  }

  get lunCount(): number {
    return this.#lunBlocks.length
  }

  journalStart(slot: Slot): number {
    this.#checkSlot(slot)
    return FS_AREA_OFFSET + slot * this.record.journalBytes
  }

  /** Sector `half` (0 or 1) of the slot's manifests, bytes. */
  manifestStart(slot: Slot, half: number): number {
    this.#checkSlot(slot)
    return manifestsStart(this.record) + (2 * slot + half) * SECTOR_SIZE
  }

  checkpointStart(slot: Slot, half: number): number {
    this.#checkSlot(slot)
    return checkpointsStart(this.record) + (2 * slot + half) * this.record.checkpointBytes
  }

  /** Number of allocation groups on a LUN. */
  groupCount(lunIndex: number): number {
    return Math.max(0, Math.ceil(this.dataBlocksOf(lunIndex) / this.record.groupBlocks))
  }

  /** Number of the first data block of a LUN, on the LUN. */
  firstDataBlock(lunIndex: number): number {
    return dataStart(this.record, lunIndex) / BLOCK_SIZE
  }

  /** Data blocks of a LUN. */
  dataBlocksOf(lunIndex: number): number {
    return (this.#lunBlocks[lunIndex] as number) - this.firstDataBlock(lunIndex)
  }

  /** Every allocation group of the filesystem, ascending. */
  groups(): number[] {
    const out: number[] = []
    for (let lun = 0; lun < this.lunCount; lun++) out.push(...this.groupsOf(lun))
    return out
  }

  /** Every allocation group of a LUN, ascending. */
  groupsOf(lunIndex: number): number[] {
    return Array.from({ length: this.groupCount(lunIndex) }, (_, k) => lunIndex * GROUPS_PER_LUN + k)
  }

  /** The group that a data block belongs to; asserts that it is one. */
  groupOf(address: BlockAddress): number {
    const lun = lunIndexOf(address)
    assert(this.isDataRange(address, 1), `${address} is no data block`)
    const k = Math.floor((blockOf(address) - this.firstDataBlock(lun)) / this.record.groupBlocks)
    return lun * GROUPS_PER_LUN + k
  }

  /** The block addresses of a group. */
  groupRange(group: number): BlockRange {
    const lun = lunOfGroup(group)
    const k = group % GROUPS_PER_LUN
    assert(lun < this.lunCount && k < this.groupCount(lun), `no group ${group}`)
    const first = this.firstDataBlock(lun) + k * this.record.groupBlocks
    const end = Math.min(first + this.record.groupBlocks, this.#lunBlocks[lun] as number)
    return { from: blockAddress(lun, first), to: blockAddress(lun, end) }
  }

  /** Data blocks of the whole filesystem. */
  get dataBlocks(): number {
    let blocks = 0
    for (let lun = 0; lun < this.lunCount; lun++) blocks += this.dataBlocksOf(lun)
    return blocks
  }

  /** True when `count` blocks from `address` are data blocks of one LUN. */
  isDataRange(address: BlockAddress, count: number): boolean {
    const lun = lunIndexOf(address)
    if (lun >= this.lunCount) return false
    const from = blockOf(address) - this.firstDataBlock(lun)
    return from >= 0 && blockOf(address) + count <= (this.#lunBlocks[lun] as number)
  }

  /** Byte offset of a block on its LUN. */
  byteOffset(address: BlockAddress): number {
    return blockOf(address) * BLOCK_SIZE
  }

  #checkSlot(slot: Slot): void {
    assert(slot >= 0 && slot < this.record.slots, `slot ${slot} has no place in filesystem ${this.record.name}`)
  }
}

function manifestsStart(record: FilesystemPlan): number {
  return FS_AREA_OFFSET + record.slots * record.journalBytes
}

function checkpointsStart(record: FilesystemPlan): number {
  return roundUp(manifestsStart(record) + record.slots * 2 * SECTOR_SIZE, MiB)
}

/** First byte of the data on a LUN; a multiple of BLOCK_SIZE. */
export function dataStart(record: FilesystemPlan, lunIndex: number): number {
  return lunIndex === 0 ? checkpointsStart(record) + record.slots * 2 * record.checkpointBytes : FS_AREA_OFFSET
}

export function lunOfGroup(group: number): number {
  return Math.floor(group / GROUPS_PER_LUN)
}

/** Every block address that a LUN can have. */
export function lunRange(lunIndex: number): BlockRange {
  return { from: blockAddress(lunIndex, 0), to: blockAddress(lunIndex + 1, 0) }
}

/** Allocation groups of a LUN of `size` bytes. */
export function groupsOf(record: FilesystemPlan, lunIndex: number, size: number): number {
  return Math.ceil((fsAreaEnd(size) - dataStart(record, lunIndex)) / BLOCK_SIZE / record.groupBlocks)
}

/** Longest frame of a filesystem's journals, bytes: a small ring has short frames, so that many fit. */
export function maxFrameBytes(record: FilesystemPlan): number {
  return Math.min(MAX_FRAME_BYTES, record.journalBytes / 8)
}

/** Inodes that a checkpoint of this filesystem surely holds; nobody creates more. */
export function maxFiles(record: FilesystemPlan): number {
  return Math.floor(record.checkpointBytes / CHECKPOINT_BYTES_PER_FILE)
}

export type PlanOptions = Partial<FilesystemPlan>

/**
 * Chooses what is not given, by the sizes of the LUNs (bytes; the first one carries journals and checkpoints).
 * Throws MatrixError 'config' for values out of range, 'lun-too-small' when too little is left for data.
 */
export function planFilesystem(lunSizes: readonly number[], options: PlanOptions = {}): FilesystemPlan {
  const first = lunSizes[0]
  if (first === undefined) throw new MatrixError('config', 'a filesystem needs at least one LUN')
  const total = lunSizes.reduce((sum, size) => sum + size, 0)
  const plan: FilesystemPlan = {
    slots: options.slots ?? DEFAULT_SLOTS,
    journalBytes: options.journalBytes ?? scaled(first, MIN_JOURNAL_BYTES, MAX_JOURNAL_BYTES),
    checkpointBytes: options.checkpointBytes ?? scaled(Math.min(total, 4 * first), CHUNK_BYTES, MAX_CHECKPOINT_BYTES),
    groupBlocks: options.groupBlocks ?? DEFAULT_GROUP_BLOCKS,
  }
  checkRange('slots', plan.slots, 1, MAX_SLOTS, 1)
  checkRange('journalBytes', plan.journalBytes, 16 * 1024, 16 * 1024 * MiB, 8 * JOURNAL_ALIGN)
  checkRange('checkpointBytes', plan.checkpointBytes, CHUNK_BYTES, 64 * 1024 * MiB, CHUNK_BYTES)
  checkRange('groupBlocks', plan.groupBlocks, 16, 2 ** 26, 1)
  const metadata = dataStart(plan, 0)
  if (metadata > fsAreaEnd(first) * METADATA_SHARE)
    throw new MatrixError(
      'lun-too-small',
      `the first LUN has ${formatSize(first)}, but journals and checkpoints of ${plan.slots} slots take ${formatSize(metadata)} of it: use a larger LUN or fewer slots`,
    )
  lunSizes.forEach((size, index) => {
    const groups = groupsOf(plan, index, size)
    if (groups < 1) throw new MatrixError('lun-too-small', `LUN ${index} has only ${formatSize(size)}`)
    if (groups > GROUPS_PER_LUN)
      throw new MatrixError(
        'config',
        `LUN ${index} (${formatSize(size)}) would have ${groups} allocation groups, more than ${GROUPS_PER_LUN}: raise groupBlocks`,
      )
  })
  return plan
}

/** 1/256 of the LUN, in whole MiB: 32 MiB for 8 GiB. */
function scaled(lunSize: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, Math.floor(lunSize / 256 / MiB) * MiB))
}

function checkRange(name: string, value: number, min: number, max: number, unit: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max || value % unit !== 0)
    throw new MatrixError(
      'config',
      `${name} is ${value}; it must be ${min} … ${max}${unit > 1 ? ` and a multiple of ${unit}` : ''}`,
    )
}
