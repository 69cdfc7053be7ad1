import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { MiB } from '../../../src/base/units.ts'
import { OfflineMatrix } from '../../../src/cli/offline-matrix.ts'
import {
  addLuns,
  createFilesystem,
  formatMatrix,
  isolateFilesystem,
  type NamedLun,
} from '../../../src/cli/provision.ts'
import { realHost } from '../../../src/platform/real/host.ts'
import { realProcesses } from '../../../src/platform/real/processes.ts'
import { encodeLease, type LeaseSector, leaseOffset, openLun } from '../../../src/san/index.ts'
import { OwnTarget } from '../../helpers/own-target.ts'

const test = suite<{ dir: string }>('provision')

test.before.each((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'matrixfs-provision-'))
})
test.after.each(({ dir }) => rmSync(dir, { recursive: true, force: true }))

function lun(dir: string, name: string, bytes = 128 * MiB): NamedLun {
  const path = join(dir, `${name}.img`)
  writeFileSync(path, '')
  truncateSync(path, bytes)
  return { name, url: `file:${path}` }
}

async function fails(work: Promise<unknown>, code: MatrixErrorCode, says: RegExp): Promise<void> {
  try {
    await work
  } catch (error) {
    assert.ok(isMatrixError(error, code), String(error))
    assert.match((error as Error).message, says)
    return
  }
  assert.unreachable(`expected ${code}`)
}

/** A lease of slot 0 as a node would have written it. */
async function writeLease({ url }: NamedLun, lease: Partial<LeaseSector>): Promise<void> {
  const opened = await openLun(url, realHost)
  const sector: LeaseSector = {
    slot: 0,
    incarnation: 1,
    nodeName: 'n1',
    state: 'active',
    counter: 1,
    ioTimeoutMs: 20,
    process: realProcesses.self(),
    address: { host: '127.0.0.1', port: 1 },
    hostName: 'here',
    nonce: '00000000-0000-4000-8000-000000000000',
    ...lease,
  }
  await opened.write(leaseOffset(0), [encodeLease(sector)], { purpose: 'lease', durable: true })
  await opened.close()
}

test('a matrix of two LUNs, a filesystem on both, a third LUN for another filesystem', async ({ dir }) => {
  const luns = [lun(dir, 'lun1'), lun(dir, 'lun2')]
  const urls = luns.map(({ url }) => url)
  const labels = await formatMatrix({ matrixName: 'm', luns })
  assert.equal(
    labels.map(({ lunName, partitions }) => [lunName, partitions]),
    [
      ['lun1', 1],
      ['lun2', 0],
    ],
  )
  const home = await createFilesystem({ name: 'home', urls, plan: { slots: 3 } })
  assert.equal(
    home.luns,
    labels.map(({ lunUuid }) => lunUuid),
  )
  assert.is(home.slots, 3)
  assert.ok(home.fsid > 0)

  const third = lun(dir, 'lun3')
  await addLuns({ into: [urls[0]!], luns: [third] })
  const more = await createFilesystem({ name: 'more', urls: [...urls, third.url] })
  assert.is(more.luns.length, 1)

  // In any order: LUNs are known by their labels.
  const matrix = await OfflineMatrix.open([third.url, urls[1]!, urls[0]!])
  const database = await matrix.readDatabase()
  await matrix.close()
  assert.equal(
    database.luns.map(({ name }) => name),
    ['lun1', 'lun2', 'lun3'],
  )
  assert.equal(
    database.filesystems.map(({ name }) => name),
    ['home', 'more'],
  )
})

test('what is there is not overwritten without force, and nothing is written when one LUN may not be', async ({
  dir,
}) => {
  const [first, second] = [lun(dir, 'lun1'), lun(dir, 'lun2')]
  const fd = openSync(second.url.slice('file:'.length), 'r+')
  writeSync(fd, 'precious', 5 * MiB)
  closeSync(fd)
  await fails(formatMatrix({ matrixName: 'm', luns: [first, second] }), 'lun-foreign', /--force/)
  await fails(OfflineMatrix.open([first.url]), 'lun-unlabelled', /matrix lun format/)
  await formatMatrix({ matrixName: 'm', luns: [first, second], force: true })
  await fails(formatMatrix({ matrixName: 'm2', luns: [first] }), 'lun-foreign', /already is LUN "lun1" of matrix "m"/)
  await formatMatrix({ matrixName: 'm2', luns: [first], force: true })
  await fails(OfflineMatrix.open([first.url, second.url]), 'lun-foreign', /belongs to matrix "m"/)
})

test('bad input: too small, twice, unknown, named twice, no free LUN', async ({ dir }) => {
  const [first, second] = [lun(dir, 'lun1'), lun(dir, 'lun2')]
  const small = lun(dir, 'small', 32 * MiB)
  await fails(formatMatrix({ matrixName: 'm', luns: [first, small] }), 'lun-too-small', /at least 64 MiB/)
  await fails(formatMatrix({ matrixName: 'm', luns: [first, first] }), 'config', /lun1 is given twice/)
  await fails(formatMatrix({ matrixName: 'Mixed Case', luns: [first] }), 'config', /no name/)
  await fails(formatMatrix({ matrixName: 'm', luns: [{ name: 'x', url: 'nbd:/dev/sdx' }] }), 'config', /not supported/)
  await fails(
    formatMatrix({ matrixName: 'm', luns: [{ name: 'x', url: `${first.url}.gone` }] }),
    'not-found',
    /no such file/,
  )
  await formatMatrix({ matrixName: 'm', luns: [first, second] })
  const urls = [first.url, second.url]
  await fails(createFilesystem({ name: 'home', urls, lunNames: ['lun9'] }), 'not-found', /lun9/)
  await fails(createFilesystem({ name: 'home', urls: [second.url] }), 'config', /membership partition/)
  await createFilesystem({ name: 'home', urls })
  await fails(createFilesystem({ name: 'home', urls }), 'exists', /a filesystem home already/)
  await fails(createFilesystem({ name: 'more', urls }), 'no-space', /bears a filesystem/)
  await fails(createFilesystem({ name: 'more', urls, lunNames: ['lun2'] }), 'in-use', /another filesystem/)
  await fails(addLuns({ into: [first.url], luns: [{ ...lun(dir, 'lun3'), name: 'lun2' }] }), 'exists', /has a LUN lun2/)
})

test('nothing is changed, not even by force, while a node lives; a dead one is no hindrance', async ({ dir }) => {
  const first = lun(dir, 'lun1')
  await formatMatrix({ matrixName: 'm', luns: [first] })
  await writeLease(first, {})
  await fails(createFilesystem({ name: 'home', urls: [first.url] }), 'in-use', /n1 \(pid \d+ on here\) is running/)
  await fails(formatMatrix({ matrixName: 'm', luns: [first], force: true }), 'in-use', /stop every node/)
  await writeLease(first, { process: { ...realProcesses.self(), startTime: 1 } })
  await createFilesystem({ name: 'home', urls: [first.url] })
})

test('a node of another host is watched: its lease moves, or stands still until it is surely dead', async ({ dir }) => {
  const first = lun(dir, 'lun1')
  await formatMatrix({ matrixName: 'm', luns: [first] })
  const elsewhere = { bootId: 'another boot', pid: 1, startTime: 1 }
  let counter = 1
  await writeLease(first, { process: elsewhere, counter })
  let renewing = true
  const renewals = (async () => {
    while (renewing) {
      await writeLease(first, { process: elsewhere, counter: ++counter })
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  await fails(createFilesystem({ name: 'home', urls: [first.url] }), 'in-use', /n1 \(pid 1 on here\)/)
  renewing = false
  await renewals
  const matrix = await OfflineMatrix.open([first.url])
  assert.equal(
    (await matrix.nodes()).map(({ seen }) => seen),
    ['silent'],
  )
  await matrix.close()
  await createFilesystem({ name: 'home', urls: [first.url] })
  await writeLease(first, { process: elsewhere, state: 'clean' })
  const again = await OfflineMatrix.open([first.url])
  assert.equal(
    (await again.nodes()).map(({ seen }) => seen),
    ['down'],
  )
  await again.close()
})

test('the space of thin LUNs is given back before a filesystem is made; labels and database stay', async ({ dir }) => {
  const files = [lun(dir, 'lun1')]
  await formatMatrix({ matrixName: 'one', luns: files })
  const inFiles = createFilesystem({ name: 'home', urls: files.map(({ url }) => url), discard: true })
  await fails(inFiles, 'config', /LUN lun1 .*lun1\.img\) does not take space back: leave --discard out/)

  const target = new OwnTarget({ lunBytes: 64 * MiB })
  await target.start()
  try {
    const thin = { name: 'lun1', url: target.url(1) }
    // generous: the machine may be busy with other tests
    const before = await openLun(thin.url, realHost, { timings: timingsFrom(8000) })
    await before.write(40 * MiB, [Buffer.alloc(8 * MiB, 1)], { purpose: 'data' }).finally(() => before.close())
    await formatMatrix({ matrixName: 'two', luns: [thin] })
    await createFilesystem({ name: 'home', urls: [thin.url], discard: true })
    const matrix = await OfflineMatrix.open([thin.url])
    assert.equal(
      (await matrix.readDatabase()).filesystems.map(({ name }) => name),
      ['home'],
    )
    const found = Buffer.alloc(8 * MiB)
    await matrix.luns[0]!.lun.read(40 * MiB, found)
    assert.ok(found.equals(Buffer.alloc(8 * MiB)))
    await matrix.close()
  } finally {
    await target.dispose()
  }
})

test('a filesystem whose LUN is gone is marked in error while no node runs, and only then', async ({ dir }) => {
  const luns = [lun(dir, 'lun1'), lun(dir, 'lun2')]
  const urls = luns.map(({ url }) => url)
  await formatMatrix({ matrixName: 'one', luns })
  await createFilesystem({ name: 'home', urls, lunNames: ['lun1'] })
  await createFilesystem({ name: 'other', urls, lunNames: ['lun2'] })
  rmSync(join(dir, 'lun2.img'))
  await fails(isolateFilesystem('more', urls), 'not-found', /has no filesystem more; it has home, other/)
  await writeLease(luns[0]!, {})
  await fails(isolateFilesystem('other', urls), 'in-use', /n1 .* is running/)
  await writeLease(luns[0]!, { state: 'clean' })
  await isolateFilesystem('other', urls)
  const matrix = await OfflineMatrix.open(urls, { mayMiss: true })
  const { filesystems } = await matrix.readDatabase()
  assert.equal(
    filesystems.map(({ name, error }) => [name, error]),
    [
      ['home', undefined],
      ['other', 'isolated by matrix fs isolate'],
    ],
  )
  await matrix.close()
  await fails(OfflineMatrix.open(urls), 'not-found', /lun2\.img/)
})

test.run()
