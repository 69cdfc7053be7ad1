/** The initiator and the `iscsi:` driver against a real target (tgt). */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { timingsFrom } from '../../../../src/base/timings.ts'
import { realHost } from '../../../../src/platform/real/host.ts'
import { openLun } from '../../../../src/san/index.ts'
import { Cable } from '../../../helpers/cable.ts'
import { failure, readBack } from '../../../helpers/lun-answers.ts'
import { noTgt, Tgt } from '../../../helpers/tgt.ts'

const missing = noTgt()
if (missing) process.stderr.write(`skipped: ${missing}\n`)
const check = missing ? test.skip : test
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-tgt-test-'))
const target = new Tgt({ digests: true })
const guarded = new Tgt({
  luns: 1,
  chap: { user: 'node', secret: 'twelve chars at least', target: { user: 'array', secret: 'the other twelve' } },
})
const data = { purpose: 'data' } as const
/** Generous: the machine may be busy with other tests. */
const timings = timingsFrom(8000)

function pattern(bytes: number, seed: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes)
  for (let at = 0; at < bytes; at += 4) buffer.writeUInt32LE((Math.imul(at + seed, 2654435761) ^ seed) >>> 0, at)
  return buffer
}

function secretFile(name: string, secret: string, mode = 0o600): string {
  const path = join(dir, name)
  writeFileSync(path, `${secret}\n`, { mode })
  return path
}

test.before(async () => {
  if (missing) return
  await Promise.all([target.start(), guarded.start()])
})

for (const options of ['', '?digest=crc32c']) {
  const how = options === '' ? 'without digests' : 'with digests'
  check(`what is written is read, in sizes from a sector to many bursts, ${how}`, async () => {
    const lun = await openLun(target.url(1, options), realHost, { timings })
    assert.is(lun.size, 64 * 2 ** 20)
    assert.match(lun.identity, /VIRTUAL-DISK/)
    for (const bytes of [512, 8192, 65_536 + 512, 5 * 2 ** 20 + 1024]) {
      const written = pattern(bytes, bytes)
      const cut = (bytes / 2) & ~3
      await lun.write(512, [written.subarray(0, cut), written.subarray(cut)], { ...data, durable: true })
      assert.ok((await readBack(lun, 512, bytes)).equals(written), `${bytes} bytes`)
    }
    assert.ok((await readBack(lun, 700, 30)).equals(pattern(5 * 2 ** 20 + 1024, 5 * 2 ** 20 + 1024).subarray(188, 218)))
    await lun.flush()
    await lun.close()
    assert.match(await failure(lun.flush()), /was closed/)
  })
}

check('200 writes at a time, more than the window of the target, each land at their place', async () => {
  const lun = await openLun(target.url(1), realHost, { timings })
  const all = Array.from({ length: 200 }, (_, i) => i)
  await Promise.all(all.map((i) => lun.write(i * 8192, [pattern(8192, i)], data)))
  const found = await Promise.all(all.map((i) => readBack(lun, i * 8192, 8192)))
  for (const i of all) assert.ok(found[i]!.equals(pattern(8192, i)), `write ${i}`)
  await lun.close()
})

check('what is beyond the end is refused, and what is no whole sector is a bug', async () => {
  const lun = await openLun(target.url(1), realHost, { timings })
  assert.match(await failure(lun.write(lun.size, [Buffer.alloc(512)], data)), /lun-io: .*exceeds its 67108864 bytes/)
  assert.match(await failure(lun.read(lun.size - 10, Buffer.alloc(20))), /lun-io: .*exceeds/)
  await lun.write(0, [Buffer.alloc(100)], data).then(
    () => assert.unreachable(),
    (error) => assert.match(error.message, /not in whole sectors/),
  )
  await lun.close()
})

check('what is not there is told, with what is there instead', async () => {
  const wrongTarget = target.url(1).replace(':t1', ':t7')
  assert.match(await failure(openLun(wrongTarget, realHost)), /not-found: .*no target .*:t7.*there are .*:t1/)
  assert.match(await failure(openLun(target.url(0), realHost)), /config: .*no disk.*the target has the LUNs 0, 1, 2/)
  assert.match(await failure(openLun(target.url(5), realHost)), /no such (LUN|logical unit)/)
  assert.match(await failure(openLun('iscsi://127.0.0.1:1/iqn.x:y/1', realHost)), /lun-io: .*cannot connect/)
})

check('CHAP: the right secret, a wrong one, none, and a target that has to prove itself', async () => {
  const right = secretFile('right', 'twelve chars at least')
  const other = secretFile('other', 'the other twelve')
  const wrong = secretFile('wrong', 'twelve chars at last!')
  const lun = await openLun(guarded.url(1, `?user=node&secret_file=${right}`), realHost, { timings })
  await lun.write(0, [pattern(512, 1)], data)
  await lun.close()
  const both = `?user=node&secret_file=${right}&target_secret_file=`
  await (await openLun(guarded.url(1, both + other), realHost, { timings })).close()
  const opening = (options: string) => failure(openLun(guarded.url(1, options), realHost, { timings }))
  assert.match(await opening(both + wrong), /config: .*has not proved that it knows its secret/)
  assert.match(await opening(both + right), /config: .*both ends have the same secret/)
  assert.match(await opening(`?user=node&secret_file=${wrong}`), /config: .*does not accept user "node"/)
  assert.match(await opening(''), /config: .*demands a secret/)
  const open = secretFile('open', 'twelve chars at least', 0o644)
  assert.match(await opening(`?user=node&secret_file=${open}`), /config: .*has mode 644; allowed is 600/)
  assert.match(await opening(`?user=node&secret_file=${secretFile('short', 'short')}`), /config: .*found 5 characters/)
})

check('a connection that is cut under load comes back, and nothing is lost or rejected', async () => {
  const cable = new Cable()
  await cable.plug(target.port)
  const lun = await openLun(target.url(2).replace(`:${target.port}/`, `:${cable.port}/`), realHost, { timings })
  let over = false
  const versions = new Map<number, number>()
  const work = async (place: number): Promise<void> => {
    for (let version = 1; !over; version++) {
      await lun.write(place * 65_536, [pattern(65_536, place * 1000 + version)], data)
      versions.set(place, version)
      const found = await readBack(lun, place * 65_536, 65_536)
      assert.ok(found.equals(pattern(65_536, place * 1000 + version)), `place ${place}, version ${version}`)
    }
  }
  const all = Promise.all(Array.from({ length: 16 }, (_, place) => work(place)))
  all.catch(() => {})
  for (let cut = 0; cut < 5; cut++) {
    await sleep(100)
    cable.cut()
    await sleep(30)
    cable.mend()
  }
  await sleep(300)
  over = true
  await all
  for (const [place, version] of versions)
    assert.ok((await readBack(lun, place * 65_536, 65_536)).equals(pattern(65_536, place * 1000 + version)))
  await lun.close()
  cable.close()
})

check(
  'a target that is killed and started again is found again; while it is away, I/O fails at its deadline',
  async () => {
    const lun = await openLun(target.url(2), realHost, { timings: timingsFrom(2000) })
    await lun.write(0, [pattern(4096, 1)], data)
    await target.kill()
    assert.match(await failure(lun.write(0, [pattern(4096, 2)], data)), /lun-io: .*(no connection|was lost|closed)/)
    const waiting = readBack(lun, 0, 4096)
    await target.start()
    assert.ok((await waiting).equals(pattern(4096, 1)))
    await lun.write(0, [pattern(4096, 3)], data)
    assert.ok((await readBack(lun, 0, 4096)).equals(pattern(4096, 3)))
    await lun.close()
  },
)

check('a path that hangs: I/O fails at its deadline, and goes on over a new connection', async () => {
  const cable = new Cable()
  await cable.plug(target.port)
  const url = target.url(2).replace(`:${target.port}/`, `:${cable.port}/`)
  const lun = await openLun(url, realHost, { timings: timingsFrom(1000) })
  await lun.write(8192, [pattern(4096, 1)], data)
  cable.hang()
  assert.match(await failure(lun.write(8192, [pattern(4096, 2)], data)), /lun-io: .*WRITE/)
  await lun.write(8192, [pattern(4096, 3)], data)
  assert.ok((await readBack(lun, 8192, 4096)).equals(pattern(4096, 3)))
  await lun.close()
  cable.close()
})

check('a device with blocks of 4096 bytes is refused', async () => {
  const large = new Tgt({ luns: 1, blockSize: 4096 })
  await large.start()
  try {
    assert.match(
      await failure(openLun(large.url(1), realHost)),
      /config: .*logical blocks have 4096 bytes; allowed is 512/,
    )
  } finally {
    await large.dispose()
  }
})

test.after(async () => {
  await Promise.all([target.dispose(), guarded.dispose()])
  rmSync(dir, { recursive: true, force: true })
})

test.run()
