/** INQUIRY: what a logical unit is (SPC-4, 6.6 and 7.8). Its name is made of the name of the target and its serial number, so it stays the same. */
import { createHash } from 'node:crypto'
import { type Answer, refuse, reply } from './answer.ts'
import { MAX_COMPARE_BLOCKS, MAX_SAME_BYTES, MAX_TRANSFER_BYTES, MAX_UNMAP_DESCRIPTORS } from './block-commands.ts'
import type { ScsiTask } from './scsi-task.ts'
import { conditions } from './sense-data.ts'
import type { Unit, UnitIdentity } from './unit.ts'

const VENDOR = 'MATRIXFS'
const PRODUCT = 'iSCSI target'
const REVISION = '1'
/** SAM-5, iSCSI, SPC-4, SBC-3. */
const STANDARDS = [0x00a0, 0x0960, 0x0460, 0x04c0]

const pages: ReadonlyMap<number, (unit: Unit, port: number) => Buffer> = new Map<
  number,
  (unit: Unit, port: number) => Buffer
>([
  [0x00, () => Buffer.from([...pages.keys()].sort((a, b) => a - b))],
  [0x80, ({ identity }) => Buffer.from(identity.serial, 'latin1')],
  [0x83, ({ identity }, port) => deviceNames(identity, port)],
  [0xb0, blockLimits],
  [0xb1, blockCharacteristics],
  [0xb2, () => Buffer.of(0, 0xe4, 0x02, 0)], // LBPU, LBPWS, LBPWS10, LBPRZ; thin
])

export function inquiry(unit: Unit, { cdb, origin }: ScsiTask): Answer {
  const [isPage, page, length] = [(cdb[1]! & 0x01) !== 0, cdb[2]!, cdb.readUInt16BE(3)]
  if (!isPage) return page === 0 ? reply(standard(0), length) : refuse(conditions.invalidCdb)
  const make = pages.get(page)
  if (!make) return refuse(conditions.invalidCdb)
  const body = make(unit, origin.port)
  const head = Buffer.of(0, page, body.length >> 8, body.length & 0xff)
  return reply(Buffer.concat([head, body]), length)
}

/** `kind`: 0 for a disk, 7Fh where there is none. */
export function standard(kind: number): Buffer {
  const data = Buffer.alloc(96)
  data[0] = kind
  data[2] = 0x06 // SPC-4
  data[3] = 0x12 // HISUP, response data format
  data[4] = data.length - 5
  data[7] = 0x02 // CMDQUE
  data.write(VENDOR.padEnd(8), 8, 'latin1')
  data.write(PRODUCT.padEnd(16), 16, 'latin1')
  data.write(REVISION.padEnd(4), 32, 'latin1')
  for (const [i, standard] of STANDARDS.entries()) data.writeUInt16BE(standard, 58 + 2 * i)
  return data
}

function deviceNames({ targetName, serial }: UnitIdentity, port: number): Buffer {
  const naa = createHash('sha256').update(`${targetName}\0${serial}`).digest().subarray(0, 8)
  naa[0] = 0x30 | (naa[0]! & 0x0f) // assigned locally
  const id = Buffer.alloc(4)
  id.writeUInt16BE(port, 2)
  return Buffer.concat([
    descriptor(0x01, 0x03, naa),
    descriptor(0x02, 0x01, Buffer.from(`${VENDOR}${serial}`, 'latin1')),
    descriptor(0x51, 0x94, id),
    descriptor(0x53, 0x98, scsiName(`${targetName},t,0x${port.toString(16).padStart(4, '0')}`)),
    descriptor(0x53, 0xa8, scsiName(targetName)),
  ])
}

function descriptor(first: number, second: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.of(first, second, 0, name.length), name])
}

/** Ended by a NUL, padded to four bytes. */
function scsiName(name: string): Buffer {
  const bytes = Buffer.alloc((Buffer.byteLength(name) + 4) & ~3)
  bytes.write(name)
  return bytes
}

function blockLimits({ medium }: Unit): Buffer {
  const body = Buffer.alloc(60)
  const transfer = MAX_TRANSFER_BYTES / medium.blockSize
  body[0] = 0x01 // WSNZ
  body[1] = MAX_COMPARE_BLOCKS
  body.writeUInt16BE(1, 2)
  body.writeUInt32BE(transfer, 4)
  body.writeUInt32BE(transfer / 4, 8)
  body.writeUInt32BE(transfer, 12)
  body.writeUInt32BE(MAX_SAME_BYTES / medium.blockSize, 16)
  body.writeUInt32BE(MAX_UNMAP_DESCRIPTORS, 20)
  body.writeUInt32BE(1, 24)
  body.writeBigUInt64BE(BigInt(MAX_SAME_BYTES / medium.blockSize), 32)
  return body
}

/** As one that does not rotate. */
function blockCharacteristics(): Buffer {
  const body = Buffer.alloc(60)
  body.writeUInt16BE(1)
  return body
}
