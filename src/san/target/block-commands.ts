/** Commands that move blocks (SBC-3). Each takes its blocks for itself, or shares them with other readers, while it is at work on them. */
import { scsiStatus } from '../scsi/command.ts'
import { type Answer, check, good, type Plan, refuse, reply, wholeList } from './answer.ts'
import { isZero } from './medium.ts'
import type { ScsiTask } from './scsi-task.ts'
import { conditions, miscompare } from './sense-data.ts'
import type { Unit } from './unit.ts'

/** Longest transfer of one command, bytes. */
export const MAX_TRANSFER_BYTES = 2 * 1024 * 1024
/** Longest WRITE SAME, and most that one UNMAP takes, bytes. */
export const MAX_SAME_BYTES = 16 * 1024 * 1024
export const MAX_COMPARE_BLOCKS = 128
export const MAX_UNMAP_DESCRIPTORS = 64
/** So much is looked at for one answer of GET LBA STATUS, bytes. */
const MAX_STATUS_BYTES = 1024 * 1024

const FUA = 0x08
const PROTECT = 0xe0

type Range = { readonly block: number; readonly count: number }

/** Block and number of blocks of a command, checked against the end of the medium. */
function rangeOf({ medium }: Unit, cdb: Buffer): Range {
  let block: number
  let count: number
  switch (cdb[0]! >> 5) {
    case 0:
      block = ((cdb[1]! & 0x1f) << 16) | cdb.readUInt16BE(2)
      count = cdb[4]! || 256
      break
    case 1:
    case 2:
      block = cdb.readUInt32BE(2)
      count = cdb.readUInt16BE(7)
      break
    case 5:
      block = cdb.readUInt32BE(2)
      count = cdb.readUInt32BE(6)
      break
    default:
      block = cdb.readUInt32BE(2) * 2 ** 32 + cdb.readUInt32BE(6)
      count = cdb.readUInt32BE(10)
  }
  return within({ block, count }, medium.blocks)
}

function within(range: Range, blocks: number): Range {
  if (range.block + range.count > blocks || range.block > blocks) refuse(conditions.lbaOutOfRange)
  return range
}

function transferOf(unit: Unit, cdb: Buffer): Range {
  if (cdb[0]! >= 0x20 && (cdb[1]! & PROTECT) !== 0) refuse(conditions.invalidCdb)
  const range = rangeOf(unit, cdb)
  if (range.count * unit.medium.blockSize > MAX_TRANSFER_BYTES) refuse(conditions.invalidCdb)
  return range
}

function hasFua(cdb: Buffer): boolean {
  return cdb[0]! >= 0x20 && (cdb[1]! & FUA) !== 0
}

export function read(unit: Unit, task: ScsiTask): Answer | Plan {
  const { block, count } = transferOf(unit, task.cdb)
  const { medium } = unit
  if (count === 0) return good
  return {
    wants: 0,
    run: async () => {
      const data = Buffer.allocUnsafe(count * medium.blockSize)
      await unit.access(task, 'read', block, block + count, () => medium.read(block, data))
      return { status: scsiStatus.good, data: [data] }
    },
  }
}

export function write(unit: Unit, task: ScsiTask): Answer | Plan {
  const { block, count } = transferOf(unit, task.cdb)
  if (count === 0) return good
  return {
    wants: count * unit.medium.blockSize,
    run: (data) => put(unit, task, block, data, hasFua(task.cdb)),
  }
}

/** Whole blocks of what has arrived: less than the command named is told by the residual. */
async function put(
  unit: Unit,
  task: ScsiTask,
  block: number,
  data: readonly Uint8Array[],
  fua: boolean,
  verify = false,
): Promise<Answer> {
  const { medium } = unit
  const { blocks, count } = wholeBlocks(data, medium.blockSize)
  if (count === 0) return good
  return unit.access(task, 'write', block, block + count, async () => {
    await medium.write(block, blocks, fua)
    if (!verify) return good
    const found = Buffer.allocUnsafe(count * medium.blockSize)
    await medium.read(block, found)
    return found.equals(Buffer.concat(blocks)) ? good : check(conditions.writeFailed)
  })
}

function wholeBlocks(
  data: readonly Uint8Array[],
  blockSize: number,
): { readonly blocks: readonly Uint8Array[]; readonly count: number } {
  const bytes = data.reduce((sum, { length }) => sum + length, 0)
  const count = Math.floor(bytes / blockSize)
  return { count, blocks: bytes % blockSize === 0 ? data : [Buffer.concat(data).subarray(0, count * blockSize)] }
}

export function writeAndVerify(unit: Unit, task: ScsiTask): Answer | Plan {
  const { block, count } = transferOf(unit, task.cdb)
  if (count === 0) return good
  return {
    wants: count * unit.medium.blockSize,
    run: (data) => put(unit, task, block, data, true, true),
  }
}

/** BYTCHK 0: can it be read? 1: is it this? 3: is each block this one? */
export function verify(unit: Unit, task: ScsiTask): Answer | Plan {
  const { medium } = unit
  const how = (task.cdb[1]! >> 1) & 3
  if (how === 2) refuse(conditions.invalidCdb)
  const { block, count } = transferOf(unit, task.cdb)
  if (count === 0) return good
  return {
    wants: how === 0 ? 0 : how === 1 ? count * medium.blockSize : medium.blockSize,
    run: async (data) => {
      const found = Buffer.allocUnsafe(count * medium.blockSize)
      await unit.access(task, 'read', block, block + count, () => medium.read(block, found))
      if (how === 0) return good
      const given = Buffer.concat(data)
      for (let at = 0; at < found.length; at += given.length || found.length) {
        const differs = firstDifference(found.subarray(at, at + given.length), given)
        if (differs >= 0) return check(miscompare(at + differs))
      }
      return good
    },
  }
}

function firstDifference(one: Buffer, other: Buffer): number {
  if (one.equals(other)) return -1
  let at = 0
  while (at < one.length && one[at] === other[at]) at++
  return at
}

/** What is read is in the cache of the operating system afterwards. */
export function prefetch(unit: Unit, task: ScsiTask): Answer | Plan {
  const { block, count } = rangeOf(unit, task.cdb)
  const { medium } = unit
  const bytes = Math.min(count * medium.blockSize, MAX_TRANSFER_BYTES)
  if (bytes === 0) return good
  const read = () => medium.read(block, Buffer.allocUnsafe(bytes))
  return {
    wants: 0,
    run: async () => {
      await unit.access(task, 'read', block, block + bytes / medium.blockSize, read)
      return good
    },
  }
}

/** Of the whole medium, whatever the range: less would not be done any sooner. */
export function synchronizeCache(unit: Unit, task: ScsiTask): Answer | Plan {
  rangeOf(unit, task.cdb)
  return {
    wants: 0,
    run: async () => {
      // what was answered is in the cache already: it need not be waited for
      await unit.access(task, 'write', 0, 0, () => unit.medium.flush())
      return good
    },
  }
}

/** Compares, and writes if it is the same, as one: nobody sees or changes these blocks in between. */
export function compareAndWrite(unit: Unit, task: ScsiTask): Answer | Plan {
  const { cdb } = task
  const { medium } = unit
  if ((cdb[1]! & PROTECT) !== 0) refuse(conditions.invalidCdb)
  const [block, count] = [cdb.readUInt32BE(2) * 2 ** 32 + cdb.readUInt32BE(6), cdb[13]!]
  if (count > MAX_COMPARE_BLOCKS) refuse(conditions.invalidCdb)
  within({ block, count }, medium.blocks)
  // data for no block was meant for more blocks than fit in the field
  if (count === 0) return task.expectedBytes === 0 ? good : refuse(conditions.invalidCdb)
  const bytes = count * medium.blockSize
  return {
    wants: 2 * bytes,
    run: async (data) => {
      const list = wholeList(data, 2 * bytes)
      const found = Buffer.allocUnsafe(bytes)
      return unit.access(task, 'write', block, block + count, async () => {
        await medium.read(block, found)
        const differs = firstDifference(found, list.subarray(0, bytes))
        if (differs >= 0) return check(miscompare(differs))
        await medium.write(block, [list.subarray(bytes)], hasFua(cdb))
        return good
      })
    },
  }
}

export function orWrite(unit: Unit, task: ScsiTask): Answer | Plan {
  const { block, count } = transferOf(unit, task.cdb)
  const { medium } = unit
  if (count === 0) return good
  const bytes = count * medium.blockSize
  return {
    wants: bytes,
    run: async (data) => {
      const given = wholeList(data, bytes)
      const found = Buffer.allocUnsafe(bytes)
      return unit.access(task, 'write', block, block + count, async () => {
        await medium.read(block, found)
        for (let i = 0; i < bytes; i++) found[i]! |= given[i]!
        await medium.write(block, [found], hasFua(task.cdb))
        return good
      })
    },
  }
}

/** One block, again and again; with UNMAP, or without data (NDOB), zeroes. A length of 0 (to the end) is not taken (WSNZ). */
export function writeSame(unit: Unit, task: ScsiTask): Answer | Plan {
  const { cdb } = task
  const { medium } = unit
  if ((cdb[1]! & PROTECT) !== 0) refuse(conditions.invalidCdb)
  const isUnmap = (cdb[1]! & 0x08) !== 0
  const hasNoData = cdb[0] === 0x93 && (cdb[1]! & 0x01) !== 0
  // anchored blocks there are none
  if ((cdb[1]! & 0x10) !== 0) refuse(conditions.invalidCdb)
  const { block, count } = rangeOf(unit, cdb)
  if (count === 0 || count * medium.blockSize > MAX_SAME_BYTES) refuse(conditions.invalidCdb)
  return {
    wants: hasNoData ? 0 : medium.blockSize,
    run: (data) => {
      const one = hasNoData ? Buffer.alloc(medium.blockSize) : wholeList(data, medium.blockSize)
      return unit.access(task, 'write', block, block + count, async () => {
        if (isUnmap && isZero(one)) await medium.unmap(block, count)
        else await repeat(unit, block, count, one)
        return good
      })
    },
  }
}

async function repeat({ medium }: Unit, block: number, count: number, one: Buffer): Promise<void> {
  const most = Math.floor(MAX_TRANSFER_BYTES / medium.blockSize)
  const piece = Buffer.alloc(Math.min(count, most) * medium.blockSize, one)
  for (let done = 0; done < count; done += most)
    await medium.write(block + done, [piece.subarray(0, Math.min(most, count - done) * medium.blockSize)], false)
}

/** The range of blocks that all descriptors of one command lie in is taken, not each for itself: they are few. */
export function unmap(unit: Unit, task: ScsiTask): Answer | Plan {
  const length = task.cdb.readUInt16BE(7)
  const { medium } = unit
  if (length === 0) return good
  if (length < 8) refuse(conditions.parameterListLength)
  return {
    wants: length,
    run: async (data) => {
      const list = wholeList(data, length)
      const ranges = unmapRanges(list, unit)
      const first = Math.min(...ranges.map(({ block }) => block))
      const end = Math.max(...ranges.map(({ block, count }) => block + count))
      if (ranges.length === 0) return good
      return unit.access(task, 'write', first, end, async () => {
        for (const { block, count } of ranges) await medium.unmap(block, count)
        return good
      })
    },
  }
}

function unmapRanges(list: Buffer, { medium }: Unit): Range[] {
  const bytes = Math.min(list.readUInt16BE(2), list.length - 8)
  const ranges: Range[] = []
  let total = 0
  for (let at = 8; at + 16 <= 8 + bytes; at += 16) {
    const block = list.readUInt32BE(at) * 2 ** 32 + list.readUInt32BE(at + 4)
    const count = list.readUInt32BE(at + 8)
    within({ block, count }, medium.blocks)
    total += count * medium.blockSize
    if (count > 0) ranges.push({ block, count })
  }
  if (ranges.length > MAX_UNMAP_DESCRIPTORS || total > MAX_SAME_BYTES) refuse(conditions.invalidParameter)
  return ranges
}

/** Blocks of zeroes count as unmapped: they cannot be told apart. */
export function getLbaStatus(unit: Unit, task: ScsiTask): Answer | Plan {
  const { cdb } = task
  const { medium } = unit
  const block = cdb.readUInt32BE(2) * 2 ** 32 + cdb.readUInt32BE(6)
  if (block >= medium.blocks) refuse(conditions.lbaOutOfRange)
  const count = Math.min(medium.blocks - block, MAX_STATUS_BYTES / medium.blockSize)
  return {
    wants: 0,
    run: async () => {
      const data = Buffer.allocUnsafe(count * medium.blockSize)
      await unit.access(task, 'read', block, block + count, () => medium.read(block, data))
      const isUnmapped = (i: number): boolean => isZero(data.subarray(i * medium.blockSize, (i + 1) * medium.blockSize))
      const descriptors: Buffer[] = []
      for (let from = 0; from < count; ) {
        const unmapped = isUnmapped(from)
        let to = from + 1
        while (to < count && isUnmapped(to) === unmapped) to++
        const descriptor = Buffer.alloc(16)
        descriptor.writeBigUInt64BE(BigInt(block + from))
        descriptor.writeUInt32BE(to - from, 8)
        descriptor[12] = unmapped ? 1 : 0
        descriptors.push(descriptor)
        from = to
      }
      const head = Buffer.alloc(8)
      head.writeUInt32BE(4 + 16 * descriptors.length)
      return reply(Buffer.concat([head, ...descriptors]), cdb.readUInt32BE(10))
    },
  }
}
