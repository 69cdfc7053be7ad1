/**
 * The records of a ZIP file (PKWARE APPNOTE 6.3; numbers are its sections). All integers are little-endian.
 *
 *     local header (4.3.7) · name · extra · data · [data descriptor (4.3.9)]     for each member
 *     central header (4.3.12) · name · extra                                     for each member
 *     [ZIP64 end (4.3.14) · its locator (4.3.15)] · end (4.3.16)
 *
 * Names are UTF-8 and say so (bit 11). Times are UTC, to two seconds in the header and to one in the extended timestamp (Info-ZIP, 0x5455).
 * What does not fit into 32 bits (16 for the count) is all ones, and stands in the ZIP64 field instead (4.5.3).
 */

/** How a member's bytes are kept (4.4.5). */
export const STORED = 0
export const DEFLATED = 8

const LOCAL_HEADER = 0x0403_4b50
const DATA_DESCRIPTOR = 0x0807_4b50
const CENTRAL_HEADER = 0x0201_4b50
const ZIP64_END = 0x0606_4b50
const ZIP64_LOCATOR = 0x0706_4b50
const END = 0x0605_4b50

/** 4.4.4: names are UTF-8. */
const UTF8 = 0x0800
/** 4.4.4: CRC and sizes follow the data. */
const DESCRIPTOR_FOLLOWS = 0x0008
/** 4.4.3: 2.0 for deflate and directories, 4.5 for ZIP64. */
const VERSION = 20
const VERSION_ZIP64 = 45
/** 4.4.2: attributes are those of Unix. */
const MADE_BY_UNIX = 3 << 8
const EXTENDED_TIMESTAMP = 0x5455
const ZIP64_FIELD = 0x0001
/** MS-DOS attribute of a directory, for readers that know no Unix (4.4.15). */
const DOS_DIRECTORY = 0x10

const ALL_32 = 0xffff_ffff
const ALL_16 = 0xffff
/** Longest name, bytes (4.4.10). */
export const MAX_NAME_BYTES = ALL_16

export type MemberHead = {
  /** UTF-8, with slashes; a directory's ends in one. */
  readonly name: Buffer
  /** As in st_mode, type included. */
  readonly mode: number
  readonly mtimeS: number
}

export type MemberSizes = { readonly crc: number; readonly compressed: number; readonly size: number }

/** `sizes` is 'later' when they follow the data, in 64 bits if `zip64`. */
export function localHeader(head: MemberHead, method: number, sizes: MemberSizes | 'later', zip64: boolean): Buffer {
  const later = sizes === 'later'
  const { crc, compressed, size } = later ? { crc: 0, compressed: 0, size: 0 } : sizes
  const extra = extraOf(head.mtimeS, zip64 ? [size, compressed] : [])
  const header = Buffer.alloc(30)
  header.writeUInt32LE(LOCAL_HEADER, 0)
  header.writeUInt16LE(zip64 ? VERSION_ZIP64 : VERSION, 4)
  header.writeUInt16LE(UTF8 | (later ? DESCRIPTOR_FOLLOWS : 0), 6)
  header.writeUInt16LE(method, 8)
  writeDosTime(header, 10, head.mtimeS)
  header.writeUInt32LE(crc, 14)
  header.writeUInt32LE(zip64 ? ALL_32 : compressed, 18)
  header.writeUInt32LE(zip64 ? ALL_32 : size, 22)
  header.writeUInt16LE(head.name.length, 26)
  header.writeUInt16LE(extra.length, 28)
  return Buffer.concat([header, head.name, extra])
}

export function dataDescriptor({ crc, compressed, size }: MemberSizes, zip64: boolean): Buffer {
  const descriptor = Buffer.alloc(zip64 ? 24 : 16)
  descriptor.writeUInt32LE(DATA_DESCRIPTOR, 0)
  descriptor.writeUInt32LE(crc, 4)
  if (zip64) {
    descriptor.writeBigUInt64LE(BigInt(compressed), 8)
    descriptor.writeBigUInt64LE(BigInt(size), 16)
  } else {
    descriptor.writeUInt32LE(compressed, 8)
    descriptor.writeUInt32LE(size, 12)
  }
  return descriptor
}

/** `later` and `zip64` as they were in the local header at `offset`. */
export function centralHeader(
  head: MemberHead,
  method: number,
  { crc, compressed, size }: MemberSizes,
  offset: number,
  { later, zip64 }: { later: boolean; zip64: boolean },
): Buffer {
  const isFar = offset >= ALL_32
  const extra = extraOf(head.mtimeS, [...(zip64 ? [size, compressed] : []), ...(isFar ? [offset] : [])])
  const header = Buffer.alloc(46)
  header.writeUInt32LE(CENTRAL_HEADER, 0)
  header.writeUInt16LE(MADE_BY_UNIX | VERSION_ZIP64, 4)
  header.writeUInt16LE(zip64 || isFar ? VERSION_ZIP64 : VERSION, 6)
  header.writeUInt16LE(UTF8 | (later ? DESCRIPTOR_FOLLOWS : 0), 8)
  header.writeUInt16LE(method, 10)
  writeDosTime(header, 12, head.mtimeS)
  header.writeUInt32LE(crc, 16)
  header.writeUInt32LE(zip64 ? ALL_32 : compressed, 20)
  header.writeUInt32LE(zip64 ? ALL_32 : size, 24)
  header.writeUInt16LE(head.name.length, 28)
  header.writeUInt16LE(extra.length, 30)
  const isDirectory = head.name.at(-1) === 0x2f
  header.writeUInt32LE((((head.mode & ALL_16) << 16) | (isDirectory ? DOS_DIRECTORY : 0)) >>> 0, 38)
  header.writeUInt32LE(isFar ? ALL_32 : offset, 42)
  return Buffer.concat([header, head.name, extra])
}

/** All that follows the central headers, which begin at `offset` and take `length` bytes. */
export function endRecords(count: number, offset: number, length: number): Buffer {
  const zip64 = count >= ALL_16 || offset >= ALL_32 || length >= ALL_32
  const end = Buffer.alloc(22)
  end.writeUInt32LE(END, 0)
  end.writeUInt16LE(Math.min(count, ALL_16), 8)
  end.writeUInt16LE(Math.min(count, ALL_16), 10)
  end.writeUInt32LE(Math.min(length, ALL_32), 12)
  end.writeUInt32LE(Math.min(offset, ALL_32), 16)
  if (!zip64) return end
  const large = Buffer.alloc(56 + 20)
  large.writeUInt32LE(ZIP64_END, 0)
  large.writeBigUInt64LE(44n, 4)
  large.writeUInt16LE(MADE_BY_UNIX | VERSION_ZIP64, 12)
  large.writeUInt16LE(VERSION_ZIP64, 14)
  large.writeBigUInt64LE(BigInt(count), 24)
  large.writeBigUInt64LE(BigInt(count), 32)
  large.writeBigUInt64LE(BigInt(length), 40)
  large.writeBigUInt64LE(BigInt(offset), 48)
  large.writeUInt32LE(ZIP64_LOCATOR, 56)
  large.writeBigUInt64LE(BigInt(offset + length), 64)
  large.writeUInt32LE(1, 72)
  return Buffer.concat([large, end])
}

/** True when sizes up to `bytes` need the ZIP64 field. */
export function needsZip64(bytes: number): boolean {
  return bytes >= ALL_32
}

function extraOf(mtimeS: number, large: readonly number[]): Buffer {
  const parts: Buffer[] = []
  if (mtimeS >= -0x8000_0000 && mtimeS <= 0x7fff_ffff) {
    const timestamp = Buffer.alloc(9)
    timestamp.writeUInt16LE(EXTENDED_TIMESTAMP, 0)
    timestamp.writeUInt16LE(5, 2)
    timestamp.writeUInt8(1, 4)
    timestamp.writeInt32LE(Math.trunc(mtimeS), 5)
    parts.push(timestamp)
  }
  if (large.length > 0) {
    const field = Buffer.alloc(4 + 8 * large.length)
    field.writeUInt16LE(ZIP64_FIELD, 0)
    field.writeUInt16LE(8 * large.length, 2)
    large.forEach((value, i) => field.writeBigUInt64LE(BigInt(value), 4 + 8 * i))
    parts.push(field)
  }
  return Buffer.concat(parts)
}

const DOS_FIRST_S = Date.UTC(1980, 0, 1) / 1000
const DOS_LAST_S = Date.UTC(2107, 11, 31, 23, 59, 58) / 1000

/** Time and date as MS-DOS keeps them (4.4.6), the nearest there is. */
function writeDosTime(header: Buffer, at: number, mtimeS: number): void {
  const date = new Date(Math.min(Math.max(mtimeS, DOS_FIRST_S), DOS_LAST_S) * 1000)
  const time = (date.getUTCHours() << 11) | (date.getUTCMinutes() << 5) | (date.getUTCSeconds() >> 1)
  const day = ((date.getUTCFullYear() - 1980) << 9) | ((date.getUTCMonth() + 1) << 5) | date.getUTCDate()
  header.writeUInt16LE(time, at)
  header.writeUInt16LE(day, at + 2)
}
