/** docs/formats/journal.md and filesystem.md are true: their tables come from the code. */
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { crc32c } from '../../../src/base/crc32c.ts'
import { isMatrixError } from '../../../src/base/errors.ts'
import type { FieldRow } from '../../../src/base/layout.ts'
import { KiB } from '../../../src/base/units.ts'
import {
  chunkLayout,
  decodeManifest,
  encodeManifest,
  manifestLayout,
  sealEntryLayout,
  vectorEntryLayout,
} from '../../../src/metadata/checkpoint/format.ts'
import { mutationTable } from '../../../src/metadata/image/mutation-fields.ts'
import {
  decodeFrame,
  dependencyLayout,
  encodeFrame,
  encodePad,
  type Frame,
  frameHeaderLayout,
  padBefore,
} from '../../../src/metadata/journal/format.ts'

function layoutTable(rows: readonly FieldRow[]): string {
  const lines = rows.map((row) => `| ${row.offset} | ${row.size} | ${row.name} | ${row.type} | ${row.meaning} |`)
  return ['| offset | size | name | type | meaning |', '|---|---|---|---|---|', ...lines].join('\n')
}

const mutationRows = Object.entries(mutationTable).map(
  ([op, { code, fields }]) => `| ${code} | ${op} | ${fields.map(([name, type]) => `${name} (${type})`).join(', ')} |`,
)

const tables: Record<string, string> = {
  frameHeader: layoutTable(frameHeaderLayout.describe()),
  dependency: layoutTable(dependencyLayout.describe()),
  mutations: ['| code | mutation | fields |', '|---|---|---|', ...mutationRows].join('\n'),
  chunk: layoutTable(chunkLayout.describe()),
  manifest: layoutTable(manifestLayout.describe()),
  vectorEntry: layoutTable(vectorEntryLayout.describe()),
  sealEntry: layoutTable(sealEntryLayout.describe()),
}

for (const [name, count] of [
  ['journal.md', 3],
  ['filesystem.md', 4],
] as const)
  test(`docs/formats/${name} shows the tables of the code`, () => {
    const page = new URL(`../../../docs/formats/${name}`, import.meta.url)
    const text = readFileSync(page, 'utf8')
    let shown = 0
    const expected = text.replace(/<!-- table: (\w+) -->\n(\n\|[^\n]*(\n\|[^\n]*)*\n)?/g, (_, table: string) => {
      shown++
      return `<!-- table: ${table} -->\n\n${tables[table]}\n`
    })
    if (process.env['UPDATE_FORMAT_DOCS']) writeFileSync(page, expected)
    else assert.is(text, expected)
    assert.is(shown, count)
  })

const identity = { fsid: 0x12345678, slot: 3, incarnation: 2 ** 40 + 7, lsn: 2 ** 45 }
const deps = new Map([
  [5, 1024],
  [0, 2 ** 41],
])

test('a frame’s header lies where the table says, and comes back', () => {
  const mutations = Buffer.from('0864', 'hex')
  const bytes = encodeFrame(identity, deps, mutations, 1)
  const crc = frameHeaderLayout.offsetOf('crc')
  const header = frameHeaderLayout.decode(bytes)
  const body = 2 * dependencyLayout.size + mutations.length
  assert.equal(
    { ...header, crc: 0 },
    {
      ...identity,
      ...{ magic: Buffer.from('MXJF').readUInt32LE(0), version: 1, type: 1, depCount: 2, mutationCount: 1 },
      ...{ bodyLength: body, length: 512, crc: 0 },
    },
  )
  const used = Buffer.from(bytes.subarray(0, frameHeaderLayout.size + body))
  used.writeUInt32LE(0, crc)
  assert.is(header.crc, crc32c(used))
  assert.equal(dependencyLayout.decode(bytes, frameHeaderLayout.size), { slot: 0, lsn: 2 ** 41 }, 'ascending')
  const frame = decodeFrame(bytes) as Frame
  assert.equal(frame.mutations(), [{ op: 'removeFree', address: 100 }])
  assert.equal([...frame.deps].sort(), [...deps].sort())
  assert.is(frame.lsn, identity.lsn)
})

test('golden bytes of a frame', () => {
  const bytes = encodeFrame(
    { fsid: 1, slot: 2, incarnation: 3, lsn: 512 },
    new Map([[1, 1024]]),
    Buffer.from([8, 5]),
    1,
  )
  assert.is(bytes.length, 512)
  assert.is(
    bytes.subarray(0, 62).toString('hex'),
    '4d584a46' +
      '0100' +
      '01' +
      '01' +
      '01000000' +
      '02000000' +
      '01000000' +
      '0e000000' +
      '00020000' +
      '25bc4039' +
      '0300000000000000' +
      '0002000000000000' +
      '01000000' +
      '0004000000000000' +
      '0805',
  )
})

test('no changed bit of a frame goes unnoticed', () => {
  const bytes = encodeFrame(identity, deps, Buffer.from('0864', 'hex'), 1)
  const used = frameHeaderLayout.size + 2 * dependencyLayout.size + 2
  for (let bit = 0; bit < used * 8; bit++) {
    const changed = Buffer.from(bytes)
    changed[bit >> 3] ^= 1 << (bit & 7)
    const found = decodeFrame(changed)
    assert.ok(found === undefined || 'short' in found, `bit ${bit}`)
  }
})

test('a newer journal is refused, not guessed at', () => {
  const bytes = encodePad(identity, 512)
  bytes.writeUInt16LE(2, frameHeaderLayout.offsetOf('version'))
  const crc = frameHeaderLayout.offsetOf('crc')
  bytes.writeUInt32LE(0, crc)
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, frameHeaderLayout.size)), crc)
  assert.throws(
    () => decodeFrame(bytes),
    (error: unknown) => isMatrixError(error, 'format-version'),
  )
})

test('a pad fills exactly the rest of the ring', () => {
  assert.is(padBefore(64 * KiB - 512, 1024, 64 * KiB), 512)
  assert.is(padBefore(64 * KiB - 1024, 1024, 64 * KiB), 0)
  assert.is(padBefore(128 * KiB, 1024, 64 * KiB), 0)
  const pad = decodeFrame(encodePad(identity, 1024)) as Frame
  assert.is(pad.length, 1024)
  assert.equal(pad.mutations(), [])
})

const manifest = {
  ...{ fsid: 7, slot: 2, half: 1, sequence: 9, storedBytes: 5_000_000, imageBytes: 20_000_000 },
  hash: Buffer.alloc(32, 5),
  vector: deps,
  seals: [{ slot: 1, incarnation: 4, lsn: 4096 }],
}

test('a manifest comes back in its own place and nowhere else', () => {
  const sector = encodeManifest(manifest)
  assert.is(sector.length, 4096)
  const found = decodeManifest(sector, 7, 2, 1)
  assert.equal([...(found?.vector ?? [])].sort(), [...deps].sort())
  assert.equal(found?.seals, manifest.seals)
  assert.is(decodeManifest(sector, 8, 2, 1), undefined, 'another filesystem')
  assert.is(decodeManifest(sector, 7, 1, 1), undefined, 'another slot')
  assert.is(decodeManifest(sector, 7, 2, 0), undefined, 'another half')
  sector[100] ^= 1
  assert.is(decodeManifest(sector, 7, 2, 1), undefined, 'damaged')
})

test('the greatest manifest fits its sector', () => {
  const vector = new Map(Array.from({ length: 64 }, (_, slot) => [slot, 2 ** 52]))
  const seals = Array.from({ length: 64 }, (_, slot) => ({ slot, incarnation: 2 ** 52, lsn: 2 ** 52 }))
  assert.is(encodeManifest({ ...manifest, vector, seals }).length, 4096)
})

test.run()
