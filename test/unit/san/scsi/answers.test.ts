/** What devices say, whole and cut off. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../../src/base/errors.ts'
import {
  encodeLun,
  parseBlockLimits,
  parseCacheMode,
  parseCapacity,
  parseDeviceName,
  parseInquiry,
  parseLuns,
  parseProvisioning,
} from '../../../../src/san/scsi/answers.ts'
import {
  compareAndWriteBlocks,
  readBlocks,
  unmapBlocks,
  writeBlocks,
  writeSameBlocks,
} from '../../../../src/san/scsi/command.ts'
import { describeSense, parseSense } from '../../../../src/san/scsi/sense.ts'

const test = suite('san: SCSI')

test('sense in both forms, and what it means', () => {
  const fixed = Buffer.from([0xf0, 0, 0x05, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21, 0x00])
  assert.equal(parseSense(fixed), { key: 5, asc: 0x21, ascq: 0 })
  assert.is(describeSense({ key: 5, asc: 0x21, ascq: 0 }), 'illegal request: beyond its end (sense 05 21 00)')
  assert.equal(parseSense(Buffer.from([0x72, 0x02, 0x04, 0x0b])), { key: 2, asc: 4, ascq: 0x0b })
  assert.match(describeSense({ key: 2, asc: 4, ascq: 0x0b }), /not ready: this path to it is on standby/)
  assert.is(describeSense({ key: 9, asc: 0x99, ascq: 1 }), 'vendor specific (sense 09 99 01)')
  for (const cut of [Buffer.alloc(0), fixed.subarray(0, 12), Buffer.of(0x72, 2), Buffer.alloc(18)])
    assert.is(parseSense(cut), undefined)
})

test('the name of a device: of the logical unit, NAA first, never beyond what is there', () => {
  const descriptor = (set: number, kind: number, text: Buffer) =>
    Buffer.concat([Buffer.of(set, kind, 0, text.length), text])
  const page = (...parts: Buffer[]) => {
    const body = Buffer.concat(parts)
    return Buffer.concat([Buffer.of(0, 0x83, 0, body.length), body])
  }
  const t10 = descriptor(2, 0x01, Buffer.from('VENDOR serial'))
  const naa = descriptor(1, 0x03, Buffer.from('600508b400105e21', 'hex'))
  const port = descriptor(1, 0x13, Buffer.from('500508b400105e21', 'hex'))
  assert.is(parseDeviceName(page(port, t10, naa)), 'naa.600508b400105e21')
  assert.is(parseDeviceName(page(port, t10)), 't10.VENDOR serial')
  assert.is(parseDeviceName(page(port)), undefined)
  assert.is(parseDeviceName(page(naa).subarray(0, 10)), undefined)
})

test('COMPARE AND WRITE, WRITE SAME(16) and UNMAP as the device gets them', () => {
  const both = { expected: Buffer.alloc(1024, 1), wanted: Buffer.alloc(1024, 2) }
  const compare = compareAndWriteBlocks(2 ** 33, 2, both, { fua: true })
  assert.is(compare.cdb.toString('hex'), '89080000000200000000000000020000')
  assert.equal(compare.write, [both.expected, both.wanted])
  const same = writeSameBlocks(7, 65_536, Buffer.alloc(512), { unmap: true })
  assert.is(same.cdb.toString('hex'), '93080000000000000007000100000000')
  assert.is(writeSameBlocks(7, 1, Buffer.alloc(512), { unmap: false }).cdb[1], 0)
  const unmap = unmapBlocks(2 ** 33, 4096)
  assert.is(unmap.cdb.toString('hex'), '42000000000000001800000000000000')
  assert.is((unmap.write![0] as Buffer).toString('hex'), '00160010000000000000000200000000000010' + '0000000000')
})

test('capacity, limits, cache, LUNs', () => {
  const capacity = Buffer.alloc(32)
  capacity.writeBigUInt64BE(2n ** 40n - 1n)
  capacity.writeUInt32BE(512, 8)
  assert.equal(parseCapacity(capacity), { blocks: 2 ** 40, blockSize: 512, isThin: false })
  capacity[14] = 0x80
  assert.ok(parseCapacity(capacity).isThin)
  capacity.writeBigUInt64BE(2n ** 64n - 1n)
  assert.throws(
    () => parseCapacity(capacity),
    (error: unknown) => isMatrixError(error, 'lun-io'),
  )
  for (const parse of [parseCapacity, parseInquiry, parseCacheMode, parseLuns, parseBlockLimits, parseProvisioning])
    assert.throws(
      () => parse(Buffer.alloc(3)),
      (error: unknown) => isMatrixError(error, 'lun-io'),
    )
  const limits = Buffer.alloc(64)
  limits[1] = 0xb0
  limits[3] = 60
  assert.equal(parseBlockLimits(limits), { transfer: undefined, compare: 0, unmap: 0, same: undefined })
  limits[5] = 128
  limits.writeUInt32BE(4096, 8)
  limits.writeUInt32BE(2048, 20)
  assert.is(parseBlockLimits(limits).unmap, 0, 'without a descriptor there is no UNMAP')
  limits.writeUInt32BE(1, 24)
  limits.writeBigUInt64BE(32_768n, 36)
  assert.equal(parseBlockLimits(limits), { transfer: 4096, compare: 128, unmap: 2048, same: 32_768 })
  limits[3] = 12 // as before SBC-3
  assert.equal(parseBlockLimits(limits), { transfer: 4096, compare: 128, unmap: 0, same: undefined })
  assert.equal(parseProvisioning(Buffer.of(0, 0xb2, 0, 4, 0, 0xc0, 0, 0)), { unmap: true, writeSame: true })
  assert.equal(parseProvisioning(Buffer.of(0, 0xb2, 0, 0)), { unmap: false, writeSame: false })
  const mode = Buffer.of(0, 26, 0, 0x10, 0, 0, 0, 0, 0x88, 0x12, 0x04)
  assert.equal(parseCacheMode(mode), { writeCache: true, fua: true, writeProtected: false })
  const luns = Buffer.concat([Buffer.of(0, 0, 0, 24, 0, 0, 0, 0), encodeLun(0), encodeLun(7), encodeLun(300)])
  assert.equal(parseLuns(luns), [0, 7, 300])
})

test('transfers: the block in 64 bits, the count in 32, FUA', () => {
  const { cdb } = readBlocks(2 ** 33 + 5, 8, Buffer.alloc(4096))
  assert.is(cdb.toString('hex'), '88000000000200000005000000080000')
  const write = writeBlocks(1, 1, [Buffer.alloc(512)], { fua: true })
  assert.is(write.cdb.toString('hex'), '8a080000000000000001000000010000')
})

test.run()
