/** MODE SENSE: the pages on caching and control. Nothing can be changed, so there is no MODE SELECT. */
import { type Answer, refuse, reply } from './answer.ts'
import type { ScsiTask } from './scsi-task.ts'
import { conditions } from './sense-data.ts'
import type { Unit } from './unit.ts'

const ALL_PAGES = 0x3f
const ALL_SUBPAGES = 0xff

const pages = new Map<number, (isReadOnly: boolean) => Buffer>([
  [0x08, () => page(0x08, 18, (body) => void (body[0] = 0x04))], // WCE: writes are cached
  [
    0x0a,
    (isReadOnly) =>
      page(0x0a, 10, (body) => {
        body[1] = 0x10 // commands are reordered as it suits
        body[2] = isReadOnly ? 0x08 : 0 // SWP
        body[3] = 0x40 // TAS: who loses a command to another is told
      }),
  ],
])

function page(code: number, length: number, fill: (body: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(2 + length)
  bytes[0] = code
  bytes[1] = length
  fill(bytes.subarray(2))
  return bytes
}

export function modeSense6(unit: Unit, { cdb }: ScsiTask): Answer {
  const body = sense(unit, cdb, false)
  const head = Buffer.of(3 + body.bytes.length, 0, parameter(unit), body.descriptorLength)
  return reply(Buffer.concat([head, body.bytes]), cdb[4]!)
}

export function modeSense10(unit: Unit, { cdb }: ScsiTask): Answer {
  const isLong = (cdb[1]! & 0x10) !== 0
  const body = sense(unit, cdb, isLong)
  const head = Buffer.alloc(8)
  head.writeUInt16BE(6 + body.bytes.length)
  head[3] = parameter(unit)
  head[4] = isLong && body.descriptorLength > 0 ? 1 : 0
  head.writeUInt16BE(body.descriptorLength, 6)
  return reply(Buffer.concat([head, body.bytes]), cdb.readUInt16BE(7))
}

/** Write-protected; DPO and FUA are heeded. */
function parameter({ identity }: Unit): number {
  return (identity.isReadOnly ? 0x80 : 0) | 0x10
}

function sense(
  { medium, identity }: Unit,
  cdb: Buffer,
  isLong: boolean,
): { readonly descriptorLength: number; readonly bytes: Buffer } {
  const [control, code, subpage] = [cdb[2]! >> 6, cdb[2]! & 0x3f, cdb[3]!]
  if (control === 3) refuse(conditions.savingUnsupported)
  if (subpage !== 0 && subpage !== ALL_SUBPAGES) refuse(conditions.invalidCdb)
  const codes = code === ALL_PAGES ? [...pages.keys()] : [code]
  const bodies = codes.map((each) => {
    const make = pages.get(each)
    const found = make ? make(identity.isReadOnly) : refuse(conditions.invalidCdb)
    // of what could be changed: nothing
    if (control === 1) found.fill(0, 2)
    return found
  })
  const descriptor = (cdb[1]! & 0x08) !== 0 ? Buffer.alloc(0) : blockDescriptor(medium.blocks, medium.blockSize, isLong)
  return { descriptorLength: descriptor.length, bytes: Buffer.concat([descriptor, ...bodies]) }
}

function blockDescriptor(blocks: number, blockSize: number, isLong: boolean): Buffer {
  if (isLong) {
    const bytes = Buffer.alloc(16)
    bytes.writeBigUInt64BE(BigInt(blocks))
    bytes.writeUInt32BE(blockSize, 12)
    return bytes
  }
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(Math.min(blocks, 0xffffffff))
  bytes.writeUIntBE(blockSize, 5, 3)
  return bytes
}
