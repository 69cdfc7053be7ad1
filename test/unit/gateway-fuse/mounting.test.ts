/** Where mounts are and may be; the mounting itself is in test/e2e/mount.test.ts. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clearStaleMount, mountEntries, parseMountInfo, prepareDirectory } from '../../../src/gateway-fuse/mounting.ts'

const dir = realpathSync(mkdtempSync(join(tmpdir(), 'matrixfs-mounting-')))
test.after(() => rmSync(dir, { recursive: true }))

async function refusal(directory: string): Promise<string> {
  try {
    await prepareDirectory(directory)
    return 'none'
  } catch (error) {
    return (error as Error).message
  }
}

test('mountinfo: optional fields, and names with spaces and other letters', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue',
    '42 27 0:39 / /srv/a\\040b\\134c\\303\\251 rw - fuse.matrixfs matrixfs:home rw',
    '43 27 0:40 / /none rw shared:1 master:2 - tmpfs none rw',
    'nonsense',
    '',
  ].join('\n')
  assert.equal(parseMountInfo(text), [
    { directory: '/mnt2', type: 'ext3', source: '/dev/root' },
    { directory: '/srv/a b\\cé', type: 'fuse.matrixfs', source: 'matrixfs:home' },
    { directory: '/none', type: 'tmpfs', source: 'none' },
  ])
  assert.ok(mountEntries().some(({ directory }) => directory === '/proc'))
})

test('a directory is prepared: its real path, and how much a mount would hide', async () => {
  const place = join(dir, 'place')
  mkdirSync(place)
  symlinkSync('place', join(dir, 'link'))
  assert.equal(await prepareDirectory(join(dir, 'link')), { path: place, hidden: 0 })
  writeFileSync(join(place, 'file'), '')
  assert.equal(await prepareDirectory(place), { path: place, hidden: 1 })
})

test('bad input: what cannot be mounted on is refused with what to do', async () => {
  writeFileSync(join(dir, 'file'), '')
  assert.match(await refusal('relative'), /absolute path is needed/)
  assert.match(await refusal(join(dir, 'none')), /does not exist; make it with: mkdir -p/)
  assert.match(await refusal(join(dir, 'file')), /not a directory/)
  assert.match(await refusal('/proc'), /mount point already \(proc, type proc\)/)
})

test('only what is ours and mounted there is cleared', async () => {
  assert.is(await clearStaleMount('/proc'), false)
  assert.is(await clearStaleMount(dir), false)
  assert.ok(mountEntries().some(({ directory }) => directory === '/proc'))
})

test.run()
