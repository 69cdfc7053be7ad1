import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MAX_SLOTS } from '../../../src/base/limits.ts'
import { MiB } from '../../../src/base/units.ts'
import { checkFilesystem } from '../../../src/cli/check-filesystem.ts'
import { OfflineMatrix } from '../../../src/cli/offline-matrix.ts'
import { createFilesystem, formatMatrix } from '../../../src/cli/provision.ts'
import { type InodeRecord, type Mutation, Volume } from '../../../src/metadata/index.ts'
import { silentLog } from '../../../src/platform/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { realHost } from '../../../src/platform/real/host.ts'
import { realProcesses } from '../../../src/platform/real/processes.ts'
import { encodeLease, type LeaseState, leaseOffset, openLun } from '../../../src/san/index.ts'

const test = suite<{ dir: string; url: string }>('check-filesystem')

test.before.each(async (context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'matrixfs-check-'))
  const path = join(context.dir, 'lun1.img')
  writeFileSync(path, '')
  truncateSync(path, 128 * MiB)
  context.url = `file:${path}`
  await formatMatrix({ matrixName: 'm', luns: [{ name: 'lun1', url: context.url }] })
  await createFilesystem({ name: 'home', urls: [context.url], plan: { slots: 2 } })
})
test.after.each(({ dir }) => rmSync(dir, { recursive: true, force: true }))

/** What a node of slot 0 leaves that journals `changes`, each as a transaction, and is then in `state`. */
async function leaveBehind(url: string, changes: readonly (readonly Mutation[])[], state: LeaseState): Promise<void> {
  const matrix = await OfflineMatrix.open([url])
  const record = (await matrix.readDatabase()).filesystems[0]!
  await matrix.close()
  const lun = await openLun(url, realHost)
  const volume = await Volume.open({
    luns: [lun],
    record,
    slot: 0,
    incarnation: 1,
    newImageFile: () => ':memory:',
    clock: realClock,
    log: silentLog,
    incarnations: () => undefined,
    onFatal() {},
    requestCheckpoint() {},
  })
  volume.startWriting(0)
  for (const mutations of changes) {
    volume.commit(mutations)
    await volume.flush()
  }
  await volume.close({ clean: true })
  const lease = {
    slot: 0,
    incarnation: 1,
    nodeName: 'n1',
    state,
    counter: 1,
    ioTimeoutMs: 20,
    process: realProcesses.self(),
    address: { host: '127.0.0.1', port: 1 },
    hostName: 'here',
    nonce: '00000000-0000-4000-8000-000000000000',
  }
  await lun.write(leaseOffset(0), [encodeLease(lease)], { purpose: 'lease', durable: true })
  await lun.close()
}

async function check(url: string) {
  const matrix = await OfflineMatrix.open([url])
  try {
    return await checkFilesystem(matrix, 'home')
  } finally {
    await matrix.close()
  }
}

/** A file that no directory names. */
function lostFile(number: number): Mutation[] {
  const inode: InodeRecord = {
    ino: number * MAX_SLOTS,
    generation: 1,
    type: 1,
    mode: 0o644,
    nlink: 1,
    uid: 0,
    gid: 0,
    size: 0,
    rdevMajor: 0,
    rdevMinor: 0,
    atimeS: 0,
    atimeNs: 0,
    mtimeS: 0,
    mtimeNs: 0,
    ctimeS: 0,
    ctimeNs: 0,
    btimeS: 0,
    btimeNs: 0,
    change: 1,
    parent: 0,
    nextCookie: 0,
    target: '',
  }
  return [{ op: 'putInode', inode }]
}

test('a new filesystem is sound', async ({ url }) => {
  const { findings, inodes } = await check(url)
  assert.equal(findings, [])
  assert.is(inodes, 1)
})

test('what a node that is down has journaled is checked to its end, and what is wrong is found', async ({ url }) => {
  await leaveBehind(url, [lostFile(1)], 'clean')
  const { findings, inodes } = await check(url)
  assert.is(inodes, 2)
  const names = findings.map((finding) => finding.check)
  assert.ok(names.includes('unreachable'), names.join(' '))
  assert.ok(names.includes('link-count'), names.join(' '))
})

test('of a node that runs as much is checked as is known durable: all but its last frame', async ({ url }) => {
  await leaveBehind(url, [lostFile(1), lostFile(2), lostFile(3)], 'active')
  assert.is((await check(url)).inodes, 1 + 2)
})

test.run()
