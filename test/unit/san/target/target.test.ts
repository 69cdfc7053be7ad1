/** The target before our own initiator, and before initiators that do not behave. */
// time limit: 240 s
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../../../src/base/prng.ts'
import { timingsFrom } from '../../../../src/base/timings.ts'
import { realHost } from '../../../../src/platform/real/host.ts'
import { type Lun, openLun } from '../../../../src/san/index.ts'
import { discoverTargets } from '../../../../src/san/iscsi/discovery.ts'
import { failure, readBack } from '../../../helpers/lun-answers.ts'
import { OwnTarget } from '../../../helpers/own-target.ts'
import { RawInitiator, RawPdus, transferCdb } from '../../../helpers/raw-initiator.ts'

const test = suite('san: the target')
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-target-test-'))
const own = new OwnTarget({ portals: 2, luns: [{}, { cache: 'volatile' }, { isReadOnly: true }] })
const guarded = new OwnTarget({
  chap: { user: 'node', secret: 'twelve chars at least', target: { user: 'array', secret: 'the other twelve' } },
})
const data = { purpose: 'data' } as const
const durable = { purpose: 'data', durable: true } as const
/** Generous: the machine may be busy with other tests. */
const timings = timingsFrom(8000)
const opened: { close(): Promise<void> }[] = []

test.before(async () => {
  await Promise.all([own.start(), guarded.start()])
})
test.after.each(async () => {
  own.target.removeFaults()
  own.target.heal({})
  for (const each of opened.splice(0)) await each.close()
})
test.after(async () => {
  await Promise.all([own.dispose(), guarded.dispose()])
  rmSync(dir, { recursive: true, force: true })
})

async function open(url: string): Promise<Lun> {
  const lun = await openLun(url, realHost, { timings })
  opened.push(lun)
  return lun
}

function pattern(bytes: number, seed: number): Buffer {
  return new Prng(seed).bytes(bytes)
}

for (const [lun, cache] of [
  [1, 'the cache of the system'],
  [2, 'a cache of its own'],
] as const)
  for (const options of ['', '?digest=crc32c'])
    test(`what is written is read, from a sector to many bursts: ${cache}${options && ', with digests'}`, async () => {
      const disk = await open(own.url(lun, options))
      assert.is(disk.size, 64 * 2 ** 20)
      for (const bytes of [512, 8192, 65_536 + 512, 262_144, 5 * 2 ** 20 + 1024]) {
        const written = pattern(bytes, bytes)
        const cut = (bytes / 2) & ~3
        await disk.write(512, [written.subarray(0, cut), written.subarray(cut)], bytes % 1024 ? data : durable)
        assert.ok((await readBack(disk, 512, bytes)).equals(written), `${bytes} bytes`)
      }
      await disk.flush()
    })

test('300 writes at a time, more than the window lets through, each land at their place', async () => {
  const disk = await open(own.url(1))
  const all = Array.from({ length: 300 }, (_, i) => i)
  await Promise.all(all.map((i) => disk.write(i * 8192, [pattern(8192, i + 1)], data)))
  const found = await Promise.all(all.map((i) => readBack(disk, i * 8192, 8192)))
  for (const i of all) assert.ok(found[i]!.equals(pattern(8192, i + 1)), `write ${i}`)
})

test('what is not there is told, with what is there instead', async () => {
  const wrong = own.url(1).replace(':own', ':other')
  assert.match(await failure(open(wrong)), /not-found: .*no target .*:other.*there are .*:own/)
  assert.match(await failure(open(own.url(9))), /not-found: .*no such LUN; the target has the LUNs 1, 2, 3/)
  assert.match(await failure(open(own.url(3))), /config: .*write-protected/)
  const port = Number(/:(\d+)\//.exec(own.url(1))![1])
  const names = await discoverTargets(
    realHost,
    { address: { host: '127.0.0.1', port }, limitMs: 8000 },
    { initiatorName: 'iqn.x:a', isid: Buffer.alloc(6, 1), digests: false, random: realHost.random },
  )
  assert.equal(names, [OwnTarget.iqn])
})

test('CHAP: the right secret, a wrong one, none, and the proof of the target', async () => {
  const secretFile = (name: string, secret: string): string => {
    writeFileSync(join(dir, name), `${secret}\n`, { mode: 0o600 })
    return join(dir, name)
  }
  const [right, other] = [secretFile('right', 'twelve chars at least'), secretFile('other', 'the other twelve')]
  const wrong = secretFile('wrong', 'twelve chars at last!')
  const one = `?user=node&secret_file=${right}`
  const disk = await open(guarded.url(1, one))
  await disk.write(0, [pattern(512, 1)], data)
  await open(guarded.url(1, `${one}&target_secret_file=${other}`))
  await open(guarded.url(1, `${one}&digest=crc32c`))
  const opening = (options: string): Promise<string> => failure(open(guarded.url(1, options)))
  assert.match(await opening(`${one}&target_secret_file=${wrong}`), /has not proved that it knows its secret/)
  assert.match(await opening(`?user=node&secret_file=${wrong}`), /does not accept user "node"/)
  assert.match(await opening(`?user=nobody&secret_file=${right}`), /does not accept user "nobody"/)
  assert.match(await opening(''), /demands a secret/)
  assert.match(await failure(open(own.url(1, one))), /asks nobody for a secret|does not accept/)
})

test('a power loss: what was durable is there, what was in the cache is not, and the initiator comes back', async () => {
  const disk = await open(own.url(2))
  const raw = await (await RawInitiator.open(own.url(2))).settle()
  assert.is(await raw.write(20_000, Buffer.alloc(1024, 1), { fua: true }), '00')
  assert.is(await raw.write(20_001, Buffer.alloc(1024, 2)), '00')
  await disk.write(4096, [Buffer.alloc(512, 4)], durable)
  await own.target.powerLoss({ downMs: 200, survive: 0 })
  const found = await readBack(disk, 20_000 * 512, 1536)
  assert.equal([found[0], found[512], found[1024]], [1, 1, 0])
  assert.is((await readBack(disk, 4096, 512))[0], 4)
})

test('with a power loss under load nothing that was answered is lost, again and again', async () => {
  const disk = await open(own.url(2))
  let isOver = false
  const versions = new Map<number, number>()
  const work = async (place: number): Promise<void> => {
    for (let version = 1; !isOver; version++) {
      await disk.write(place * 65_536, [pattern(65_536, place * 1000 + version)], durable)
      versions.set(place, version)
    }
  }
  const all = Promise.all(Array.from({ length: 8 }, (_, place) => work(place)))
  for (let loss = 0; loss < 4; loss++) {
    await sleep(150)
    await own.target.powerLoss({ downMs: 50, survive: 0.5 })
  }
  isOver = true
  await all
  for (const [place, version] of versions)
    assert.ok((await readBack(disk, place * 65_536, 65_536)).equals(pattern(65_536, place * 1000 + version)))
})

test('COMPARE AND WRITE is atomic: of 16 at a time that add one, none is lost', async () => {
  const raws = await Promise.all(
    Array.from({ length: 16 }, async (_, i) => (await RawInitiator.open(own.url(1), { isid: 10 + i })).settle()),
  )
  assert.is(await raws[0]!.write(100, Buffer.alloc(512)), '00')
  const cdb = Buffer.alloc(16)
  cdb[0] = 0x89
  cdb.writeUInt32BE(100, 6)
  cdb[13] = 1
  const ROUNDS = 20
  await Promise.all(
    raws.map(async (raw) => {
      for (let done = 0; done < ROUNDS; ) {
        const before = await raw.read(100)
        const after = Buffer.from(before)
        after.writeUInt32BE(before.readUInt32BE() + 1)
        const outcome = await raw.outcome(cdb, { write: Buffer.concat([before, after]) })
        if (outcome === '00') done++
        else assert.is(outcome, '02 e 1d00')
      }
    }),
  )
  assert.is((await raws[0]!.read(100)).readUInt32BE(), 16 * ROUNDS)
  for (const raw of raws) raw.end()
})

test('faults on request: an error, a connection that ends, a target that is busy, before the command and after it', async () => {
  const raw = await (await RawInitiator.open(own.url(1))).settle()
  const block = (value: number): Buffer => Buffer.alloc(512, value)
  assert.is(await raw.write(20, block(1)), '00')
  const id = own.target.addFault({ operation: 'write', sense: { key: 3, asc: 0x0c, ascq: 0 }, count: 1 })
  assert.is(id, 1)
  assert.is(await raw.write(20, block(2)), '02 3 0c00')
  assert.equal(await raw.read(20), block(1))
  own.target.addFault({ operation: 'write', sense: { key: 3, asc: 0x0c, ascq: 0 }, count: 1, after: true })
  assert.is(await raw.write(20, block(2)), '02 3 0c00')
  assert.equal(await raw.read(20), block(2), 'it was carried out all the same')
  own.target.addFault({ operation: 'read', status: 8, count: 2 })
  const disk = await open(own.url(1))
  assert.is((await readBack(disk, 20 * 512, 1))[0], 2, 'busy is asked again')
  own.target.addFault({ operation: 'write', drop: true, count: 1, initiator: 'iqn.x:a' })
  await raw.write(20, block(3)).then(
    () => assert.unreachable(),
    (error) => assert.is(error.name, 'ConnectionLost'),
  )
  assert.equal(own.target.removeFaults(), 0)
  assert.match(
    await failure(Promise.resolve().then(() => own.target.addFault({ lun: 7 }))),
    /no LUN 7; there are 1, 2, 3/,
  )
})

test('a LUN that has grown is told of, and can be used to its new end', async () => {
  const raw = await (await RawInitiator.open(own.url(1))).settle()
  assert.is(await raw.write(65 * 2048, Buffer.alloc(512, 5)), '02 5 2100')
  truncateSync(own.image(1), 66 * 2 ** 20)
  assert.equal(await own.target.resize(1), { bytes: 66 * 2 ** 20 })
  assert.is(await raw.outcome(Buffer.alloc(6)), '02 6 2a09')
  assert.is(await raw.write(65 * 2048, Buffer.alloc(512, 5)), '00')
  raw.end()
})

test('initiators are asked to log out, and are cut off when they do not', async () => {
  const raw = await RawPdus.open(own.url(1))
  const over = own.target.requestLogout({ seconds: 0 })
  const message = await raw.next()
  assert.equal([message.bhs[0], message.bhs[36]], [0x32, 1])
  await over
  await raw.next().then(
    () => assert.unreachable(),
    (error) => assert.match(error.message, /ended/),
  )
})

test('unexpected data, unknown PDUs and gaps end the session or are rejected, and write nothing', async () => {
  const fresh = async (isid: number): Promise<RawPdus> => {
    const raw = await RawPdus.open(own.url(1), { isid })
    raw.command(1, Buffer.alloc(16), 0, 0x80)
    await raw.next()
    return raw
  }
  const clean = await (await RawInitiator.open(own.url(1), { isid: 50 })).settle()
  assert.is(await clean.write(30, Buffer.alloc(512, 1)), '00')
  // a wrong number, and a wrong offset: some data is lost
  for (const [isid, change] of [
    [51, (bhs: Buffer) => void bhs.writeUInt32BE(1, 36)],
    [52, (bhs: Buffer) => void bhs.writeUInt32BE(512, 40)],
    [53, (bhs: Buffer) => void (bhs[1] = 0)],
  ] as const) {
    const raw = await fresh(isid)
    raw.command(2, transferCdb(0x2a, 30, 1), 512, 0xa0)
    raw.answerR2t(await raw.next(), Buffer.alloc(512, 2), change)
    const answer = await raw.next()
    assert.equal([answer.bhs[0], answer.bhs[3]], [0x21, 2])
    raw.end()
  }
  // SNACK
  const raw = await fresh(54)
  const snack = Buffer.alloc(48)
  snack[0] = 0x50
  snack[1] = 0x80
  raw.pdus.send(snack)
  const rejected = await raw.next()
  assert.equal([rejected.bhs[0], rejected.bhs[2]], [0x3f, 5])
  // one tag twice
  raw.command(3, transferCdb(0x2a, 30, 1), 512, 0xa0)
  await raw.next()
  raw.command(3, transferCdb(0x2a, 30, 1), 512, 0xa0)
  await raw.next().then(
    () => assert.unreachable(),
    (error) => assert.match(error.message, /ended/),
  )
  assert.equal(await clean.read(30), Buffer.alloc(512, 1))
  clean.end()
})

test('garbage, PDUs that are cut off or endless, and logins that are none: the connection ends, the target lives', async () => {
  const port = Number(/:(\d+)\//.exec(own.url(1))![1])
  const prng = new Prng(7)
  const endless = Buffer.alloc(48)
  endless[0] = 0x43
  endless.writeUIntBE(0xffffff, 5, 3)
  const additional = Buffer.alloc(48)
  additional[0] = 0x43
  additional[4] = 3
  const stranger = Buffer.alloc(48)
  stranger[0] = 0x01
  const nobody = Buffer.alloc(48)
  nobody[0] = 0x43
  nobody[1] = 0x87
  for (const bytes of [endless, additional, stranger, nobody, ...Array.from({ length: 40 }, () => prng.bytes(200))]) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.resume()
    socket.write(bytes)
    const closed = new Promise((resolve) => socket.once('close', resolve))
    setTimeout(() => socket.destroy(), 300)
    await closed
  }
  const disk = await open(own.url(1))
  await disk.write(0, [pattern(512, 3)], data)
  assert.ok((await readBack(disk, 0, 512)).equals(pattern(512, 3)))
})

test('what it is doing is told: sessions, reservations, cuts and faults', async () => {
  const raw = await (await RawInitiator.open(own.url(1))).settle()
  await raw.reserveOut('register', 0n, { second: 0xabcn })
  await own.target.cut({ initiator: 'iqn.x:z', mode: 'silent' })
  own.target.addFault({ lun: 2, delayMs: 5 })
  const status = JSON.parse(JSON.stringify(own.target.status()))
  assert.is(status.name, OwnTarget.iqn)
  assert.is(status.luns[0].reservations.registrations[0].key, '0xabc')
  assert.is(status.sessions[0].initiator, 'iqn.x:a')
  assert.equal(status.cuts, [{ initiator: 'iqn.x:z', mode: 'silent' }])
  assert.equal(status.faults, [{ id: status.faults[0].id, lun: 2, delayMs: 5, met: 0 }])
  assert.is(await raw.reserveOut('clear', 0xabcn), '00')
  raw.end()
})

test.run()
