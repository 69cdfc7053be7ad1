/** The ZIP writer, read back by Python's zipfile and Info-ZIP's rules: what other programs make of it is what counts. */
import { spawnSync } from 'node:child_process'
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { memberName } from '../../../src/gateway-http/zip/member-name.ts'
import { endRecords } from '../../../src/gateway-http/zip/records.ts'
import { type Part, ZipWriter } from '../../../src/gateway-http/zip/zip-writer.ts'

const test = suite('zip')
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-zip-'))
test.after(() => rmSync(dir, { recursive: true, force: true }))

const MiB = 2 ** 20
const head = (name: string, mode = 0o100_644, mtimeS = 1_790_000_001) => ({ name: Buffer.from(name), mode, mtimeS })

/** Parts of a stream, none of which is used after it was given back. */
async function* parts(...list: readonly Buffer[]): AsyncGenerator<Part> {
  for (const content of list) {
    const bytes = Buffer.from(content)
    yield { bytes, free: () => void bytes.fill(0xee) }
  }
}

async function archive(fill: (zip: ZipWriter) => Promise<void>): Promise<string> {
  const path = join(dir, `${Math.floor(performance.now() * 1000)}.zip`)
  const fd = openSync(path, 'w')
  const zip = new ZipWriter((chunk, done) => {
    // A sink that takes its time: memory given back too early would show.
    const copy = Buffer.from(chunk)
    return new Promise((resolve) =>
      setImmediate(() => {
        assert.ok(copy.equals(chunk), 'a chunk was changed before it was done')
        writeSync(fd, chunk)
        done?.()
        resolve()
      }),
    )
  })
  await fill(zip)
  await zip.end()
  closeSync(fd)
  return path
}

function python(script: string, ...args: readonly string[]): unknown {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', script, ...args], { encoding: 'utf8' })
  assert.is(status, 0, stderr)
  return JSON.parse(stdout)
}

const listing = `
import json, sys, zipfile, zlib
with zipfile.ZipFile(sys.argv[1]) as archive:
    bad = archive.testzip()
    assert bad is None, bad
    print(json.dumps([dict(name=i.filename, size=i.file_size, packed=i.compress_size, mode=i.external_attr >> 16, utf8=i.flag_bits >> 11 & 1,
        method=i.compress_type, date=i.date_time, crc=zlib.crc32(archive.read(i))) for i in archive.infolist()]))
`
type Listed = { name: string; size: number; packed: number; mode: number; utf8: number; method: number; date: number[] }

test('members of every kind are read back whole', async () => {
  const noise = Buffer.from(Uint8Array.from({ length: 3 * MiB + 17 }, (_, i) => (i * i * 31 + (i >> 3)) & 255))
  const text = Buffer.from('all work and no play '.repeat(100_000))
  const path = await archive(async (zip) => {
    await zip.addWhole(head('dir/', 0o040_755), Buffer.alloc(0), false)
    await zip.addWhole(head('dir/empty'), Buffer.alloc(0), true)
    await zip.addWhole(head('dir/größe 🌊.txt'), text.subarray(0, 5000), true)
    await zip.addWhole(head('dir/short.txt'), Buffer.from('abc'), true)
    await zip.addWhole(head('dir/link', 0o120_777), Buffer.from('short.txt'), false)
    const pieces = [noise.subarray(0, MiB), noise.subarray(MiB, 2 * MiB), noise.subarray(2 * MiB)]
    await zip.addStream(head('dir/noise'), parts(...pieces), noise.length, false)
    await zip.addStream(head('dir/text.log'), parts(text.subarray(0, MiB), text.subarray(MiB)), text.length, true)
    await zip.addWhole(head('dir/later', 0o100_600, 5_000_000_000), Buffer.from('x'), false)
    await zip.addWhole(head('dir/old', 0o100_600, 0), Buffer.from('x'), false)
    assert.is(zip.count, 9)
  })
  const listed = python(listing, path) as Listed[]
  assert.equal(
    listed.map(({ name, size }) => [name, size]),
    [
      ['dir/', 0],
      ['dir/empty', 0],
      ['dir/größe 🌊.txt', 5000],
      ['dir/short.txt', 3],
      ['dir/link', 9],
      ['dir/noise', noise.length],
      ['dir/text.log', text.length],
      ['dir/later', 1],
      ['dir/old', 1],
    ],
  )
  assert.ok(listed.every(({ utf8 }) => utf8 === 1))
  const named = (name: string) => listed.find((entry) => entry.name === `dir/${name}`) as Listed
  assert.ok(named('text.log').packed < text.length / 20)
  assert.ok(named('größe 🌊.txt').packed < 500)
  assert.is(named('short.txt').method, 0)
  assert.is(named('noise').method, 8)
  assert.ok(named('noise').packed < noise.length * 1.001)
  assert.is(named('link').mode, 0o120_777)
  assert.equal(named('short.txt').date, [2026, 9, 21, 14, 13, 20])
  assert.is(named('later').date[0], 2107)
  assert.is(named('old').date[0], 1980)
})

test('a stream that breaks off is no member, and what follows is sound', async () => {
  const path = await archive(async (zip) => {
    async function* broken(): AsyncGenerator<Part> {
      yield* parts(Buffer.alloc(MiB, 1))
      throw new Error('changed')
    }
    for (const compress of [false, true]) {
      let message = ''
      await zip.addStream(head('a'), broken(), 2 * MiB, compress).catch((error: Error) => (message = error.message))
      assert.is(message, 'changed')
    }
    await zip.addStream(head('a'), parts(Buffer.alloc(MiB, 2)), MiB, false)
    await zip.addWhole(head('b'), Buffer.from('b'), false)
  })
  const listed = python(listing, path) as Listed[]
  assert.equal(
    listed.map(({ name, size }) => [name, size]),
    [
      ['a', MiB],
      ['b', 1],
    ],
  )
})

test('a failing sink ends it', async () => {
  const zip = new ZipWriter(() => Promise.reject(new Error('gone')))
  let message = ''
  await zip.addStream(head('a'), parts(Buffer.alloc(9)), 9, false).catch((error: Error) => (message = error.message))
  assert.is(message, 'gone')
})

/** Writes only what is not zero: 4 GiB of zeroes take the disk space of their block headers. */
test('ZIP64: a member over 4 GiB, and one that begins beyond', async () => {
  const path = join(dir, 'large.zip')
  const fd = openSync(path, 'w')
  const zeroes = Buffer.alloc(MiB)
  let offset = 0
  const zip = new ZipWriter((chunk, done) => {
    if (chunk.length < 60_000) writeSync(fd, chunk, 0, chunk.length, offset)
    offset += chunk.length
    done?.()
    return undefined
  })
  async function* large(): AsyncGenerator<Part> {
    for (let i = 0; i < 4097; i++) yield { bytes: zeroes, free: () => undefined }
  }
  await zip.addWhole(head('first'), Buffer.from('first'), false)
  await zip.addStream(head('large'), large(), 4097 * MiB, false)
  await zip.addStream(head('last.txt'), parts(Buffer.from('last '.repeat(100))), 500, true)
  await zip.addWhole(head('whole'), Buffer.from('whole'), false)
  await zip.end()
  ftruncateSync(fd, offset)
  closeSync(fd)
  // The large one is read at its start only: its sum was made of the same bytes a moment ago.
  const read = python(
    `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    infos = {i.filename: [i.file_size, i.header_offset > 2**32, i.extract_version] for i in archive.infolist()}
    with archive.open('large') as large: start = large.read(200000)
    print(json.dumps([infos, start == bytes(200000), *(archive.read(name).decode() for name in ('first', 'last.txt', 'whole'))]))
`,
    path,
  )
  assert.equal(read, [
    { first: [5, false, 20], large: [4097 * MiB, false, 45], 'last.txt': [500, true, 45], whole: [5, true, 45] },
    true,
    'first',
    'last '.repeat(100),
    'whole',
  ])
  // Sequential readers find the end of the large one by its descriptor, whose sizes have 64 bits.
  const listed = spawnSync('python3', ['-c', descriptor, path], { encoding: 'utf8' })
  assert.is(listed.stdout.trim(), `${4097 * MiB} True`, listed.stderr)
})

const descriptor = `
import struct, sys
with open(sys.argv[1], 'rb') as f:
    f.seek(30 + 5 + 9 + 5)
    signature, version, flags, method = struct.unpack('<IHHH', f.read(10))
    f.seek(16, 1)
    name, extra = struct.unpack('<HH', f.read(4))
    f.seek(name + extra, 1)
    start, total = f.tell(), 0
    while True:
        kind, length, inverse = struct.unpack('<BHH', f.read(5))
        if kind == 3: f.seek(-3, 1); break
        assert kind == 0 and length == inverse ^ 0xffff
        f.seek(length, 1)
        total += length
    end = f.tell()
    signature, crc, packed, size = struct.unpack('<IIQQ', f.read(24))
    print(size, signature == 0x08074b50 and packed == end - start and total == size)
`

test('ZIP64: more than 65,535 members', async () => {
  const path = await archive(async (zip) => {
    for (let i = 0; i < 66_000; i++) await zip.addWhole(head(`f${i}`), Buffer.alloc(0), false)
  })
  const count = python(
    'import json, sys, zipfile; print(json.dumps(len(zipfile.ZipFile(sys.argv[1]).infolist())))',
    path,
  )
  assert.is(count, 66_000)
})

test('the end records say all ones where they do not fit', () => {
  assert.is(endRecords(3, 100, 50).length, 22)
  for (const [count, offset, length] of [
    [65_535, 1, 1],
    [1, 2 ** 32, 1],
    [1, 1, 2 ** 32],
  ] as const) {
    assert.is(endRecords(count, offset, length).length, 56 + 20 + 22)
  }
})

test('member names are UTF-8, hold nothing that readers stumble over, and stay apart', () => {
  assert.is(memberName('plain name.txt'), 'plain name.txt')
  const utf8 = Buffer.from('größe 🌊 100%.txt').toString('latin1')
  assert.is(memberName(utf8), utf8)
  assert.is(memberName('a\xff%.txt'), 'a%FF%25.txt')
  assert.is(memberName('a\\b\n%'), 'a%5Cb%0A%25')
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 12 }).map((array) => Buffer.from(array).toString('latin1'))
  fc.assert(
    fc.property(bytes, (name) => {
      const made = memberName(name)
      assert.is(Buffer.from(Buffer.from(made, 'latin1').toString('utf8')).toString('latin1'), made)
      assert.not.match(made, /[\x00-\x1f\x7f\\]/)
    }),
  )
  // Of those that are encoded no two become the same.
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      const [x, y] = [memberName(a), memberName(b)]
      if (a !== b && x !== a && y !== b) assert.is.not(x, y)
    }),
  )
})

test.run()
