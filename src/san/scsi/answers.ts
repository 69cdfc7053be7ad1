/** What devices say of themselves, parsed without trusting any length in it. Everything throws MatrixError 'lun-io' for what cannot be. */
import { MatrixError } from '../../base/errors.ts'

function need(data: Buffer, length: number, what: string): void {
  if (data.length < length)
    throw new MatrixError('lun-io', `${what}: the device sent ${data.length} bytes; at least ${length} are needed`)
}

export type InquiryData = {
  /** 0: a device is there. */
  readonly qualifier: number
  /** 0: a disk. */
  readonly deviceType: number
  readonly vendor: string
  readonly product: string
}

export function parseInquiry(data: Buffer): InquiryData {
  need(data, 36, 'INQUIRY')
  const [first] = data
  return {
    qualifier: (first as number) >> 5,
    deviceType: (first as number) & 0x1f,
    vendor: ascii(data.subarray(8, 16)),
    product: ascii(data.subarray(16, 32)),
  }
}

/** Words for a peripheral device type. */
export function describeDeviceType(type: number): string {
  const names: Record<number, string> = { 1: 'a tape', 3: 'a processor', 5: 'a CD drive', 8: 'a media changer' }
  return { ...names, 12: 'the controller of the array', 13: 'an enclosure', 31: 'nothing' }[type] ?? `of type ${type}`
}

/** The body of a page of vital product data. */
function pageBody(data: Buffer, page: number): Buffer {
  need(data, 4, 'INQUIRY')
  if (data[1] !== page)
    throw new MatrixError('lun-io', `INQUIRY: page ${page} was asked for, and the device sent page ${data[1]}`)
  return data.subarray(4, 4 + data.readUInt16BE(2))
}

/** Page 00h: the pages that there are. */
export function parseSupportedPages(data: Buffer): readonly number[] {
  return [...pageBody(data, 0x00)]
}

/** Page 80h. */
export function parseSerialNumber(data: Buffer): string {
  return ascii(pageBody(data, 0x80))
}

/**
 * Page 83h: the name of the logical unit that is unique in the world. NAA before EUI-64 before what a vendor made up (T10); names of ports
 * and of the target do not count. Undefined when it has none.
 */
export function parseDeviceName(data: Buffer): string | undefined {
  const body = pageBody(data, 0x83)
  const names = new Map<number, string>()
  for (let at = 0; at + 4 <= body.length; ) {
    const [codeSet, association, length] = [body[at]! & 0x0f, (body[at + 1]! >> 4) & 0x03, body[at + 3]!]
    const type = body[at + 1]! & 0x0f
    const name = body.subarray(at + 4, at + 4 + length)
    if (name.length < length) break
    const text = codeSet === 1 ? name.toString('hex') : ascii(name)
    if (association === 0 && text !== '' && !names.has(type)) names.set(type, text)
    at += 4 + length
  }
  for (const [type, kind] of [
    [3, 'naa'],
    [2, 'eui'],
    [8, 'name'],
    [1, 't10'],
  ] as const) {
    const name = names.get(type)
    if (name !== undefined) return `${kind}.${name}`
  }
  return undefined
}

/** Most blocks of one command. */
export type BlockLimits = {
  /** Undefined when the device names no limit. */
  readonly transfer: number | undefined
  /** Of COMPARE AND WRITE; 0: there is none. */
  readonly compare: number
  /** Of UNMAP; 0: there is none. */
  readonly unmap: number
  /** Of WRITE SAME; undefined when the device names no limit. */
  readonly same: number | undefined
}

/** Page B0h (SBC-3, 6.6.4). What a short page leaves out counts as zero. */
export function parseBlockLimits(data: Buffer): BlockLimits {
  const page = Buffer.alloc(60)
  pageBody(data, 0xb0).copy(page)
  const same = page.readBigUInt64BE(32)
  return {
    transfer: page.readUInt32BE(4) || undefined,
    compare: page[1]!,
    unmap: page.readUInt32BE(20) > 0 ? page.readUInt32BE(16) : 0,
    same: same === 0n ? undefined : Number(same),
  }
}

/** By which commands a device takes space back. */
export type Provisioning = { readonly unmap: boolean; readonly writeSame: boolean }

/** Page B2h (SBC-3, 6.6.6). */
export function parseProvisioning(data: Buffer): Provisioning {
  const flags = pageBody(data, 0xb2)[1] ?? 0
  return { unmap: (flags & 0x80) !== 0, writeSame: (flags & 0x40) !== 0 }
}

export type Capacity = {
  readonly blocks: number
  readonly blockSize: number
  /** It need not have space for all of them (LBPME). */
  readonly isThin: boolean
}

export function parseCapacity(data: Buffer): Capacity {
  need(data, 12, 'READ CAPACITY(16)')
  const blocks = data.readBigUInt64BE(0) + 1n
  const blockSize = data.readUInt32BE(8)
  if (blockSize === 0 || blocks * BigInt(blockSize) > BigInt(Number.MAX_SAFE_INTEGER))
    throw new MatrixError('lun-io', `READ CAPACITY(16): ${blocks} blocks of ${blockSize} bytes cannot be`)
  return { blocks: Number(blocks), blockSize, isThin: ((data[14] ?? 0) & 0x80) !== 0 }
}

export type CacheMode = {
  /** A write may be answered while it is only in a cache that a power loss empties. */
  readonly writeCache: boolean
  /** FUA is heeded. */
  readonly fua: boolean
  readonly writeProtected: boolean
}

export function parseCacheMode(data: Buffer): CacheMode {
  need(data, 8, 'MODE SENSE(10)')
  const page = data.subarray(8 + data.readUInt16BE(6))
  const isCaching = page.length >= 3 && (page[0]! & 0x3f) === 0x08
  return {
    // what does not say has one
    writeCache: !isCaching || (page[2]! & 0x04) !== 0,
    fua: (data[3]! & 0x10) !== 0,
    writeProtected: (data[3]! & 0x80) !== 0,
  }
}

/** Numbers of the logical units, for messages; those in other forms than a single level are left out. */
export function parseLuns(data: Buffer): readonly number[] {
  need(data, 8, 'REPORT LUNS')
  const list = data.subarray(8, 8 + data.readUInt32BE(0))
  const luns: number[] = []
  for (let at = 0; at + 8 <= list.length; at += 8) {
    const method = list[at]! >> 6
    if (method === 0 || method === 1) luns.push(((list[at]! & 0x3f) << 8) | list[at + 1]!)
  }
  return luns
}

/** The eight bytes by which a logical unit is addressed: peripheral for the first 256, flat beyond (SAM-5). */
export function encodeLun(lun: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt16BE(lun < 256 ? lun : 0x4000 | lun)
  return bytes
}

/** Highest number that `encodeLun` can encode. */
export const MAX_LUN = 0x3fff

function ascii(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '')
    .trim()
}
