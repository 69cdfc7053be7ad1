import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readDeviceFacts, usersOf } from '../../../src/platform/real/device-facts.ts'

const test = suite('platform: what Linux tells of a device')

const root = mkdtempSync(join(tmpdir(), 'matrixfs-sys-'))
const folders = { sys: join(root, 'sys'), proc: join(root, 'proc') }
test.after(() => rmSync(root, { recursive: true }))

function put(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
}

/** 8:16 is /dev/sdb of an array, with a partition that is mounted and one that is in a volume group. */
put({
  'sys/block/sdb/dev': '8:16\n',
  'sys/block/sdb/size': '2097152\n',
  'sys/block/sdb/ro': '0\n',
  'sys/block/sdb/queue/logical_block_size': '4096\n',
  'sys/block/sdb/device/wwid': 'naa.600140512345\n',
  'sys/block/sdb/sdb1/dev': '8:17\n',
  'sys/block/sdb/sdb1/size': '2048\n',
  'sys/block/sdb/sdb1/ro': '1\n',
  'sys/block/sdb/sdb1/partition': '1\n',
  'sys/block/sdb/sdb2/dev': '8:18\n',
  'sys/block/sdb/sdb2/partition': '2\n',
  'sys/block/sdb/sdb2/holders/dm-3/x': '',
  'sys/block/dm-3/dm/name': 'vg-home\n',
  'sys/block/dm-5/size': '16\n',
  'sys/block/dm-5/queue/logical_block_size': '512\n',
  'sys/block/dm-5/dm/uuid': 'mpath-3600140512345\n',
  'proc/self/mountinfo': '25 1 254:0 / / rw - ext4 /dev/vda rw\n26 25 8:17 / /boot rw - ext4 /dev/sdb1 rw\n',
  'proc/swaps': 'Filename\tType\n/dev/dm-5 partition 1 0 -2\n',
})
mkdirSync(join(root, 'sys/dev/block'), { recursive: true })
symlinkSync('../../block/sdb', join(root, 'sys/dev/block/8:16'))
symlinkSync('../../block/sdb/sdb1', join(root, 'sys/dev/block/8:17'))
symlinkSync('../../block/dm-5', join(root, 'sys/dev/block/253:300'))

const device = (major: number, minor: number) => (minor & 0xff) + (major << 8) + (minor >> 8) * 2 ** 20

test('size, sectors and identity of a disk', () => {
  assert.equal(readDeviceFacts(device(8, 16), folders), {
    ...{ size: 2 ** 30, sectorSize: 4096, readOnly: false },
    identity: 'naa.600140512345',
  })
})

test('a partition has a size of its own, the sectors of its disk, and says which it is', () => {
  assert.equal(readDeviceFacts(device(8, 17), folders), {
    ...{ size: 2 ** 20, sectorSize: 4096, readOnly: true },
    identity: 'naa.600140512345 partition 1',
  })
})

test('a device of multipath is known by what is behind it; minor numbers beyond a byte', () => {
  assert.equal(readDeviceFacts(device(253, 300), folders), {
    ...{ size: 8192, sectorSize: 512, readOnly: false },
    identity: 'mpath-3600140512345',
  })
})

test('a device that the system does not tell of', () => {
  assert.is(readDeviceFacts(device(8, 99), folders), undefined)
  assert.equal(usersOf(device(8, 99), folders), [])
})

test('who uses it: mounts, holders, swap, of the disk and of its partitions', () => {
  assert.equal(usersOf(device(8, 16), folders), [
    'its partition sdb1 is mounted on /boot',
    'its partition sdb2 is part of /dev/mapper/vg-home',
  ])
  assert.equal(usersOf(device(8, 17), folders), ['is mounted on /boot'])
  assert.equal(usersOf(device(253, 300), folders), ['is a swap area'])
})

test.run()
