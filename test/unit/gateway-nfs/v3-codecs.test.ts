/** The hand-written codecs of NFS version 3 say exactly what the tables of the protocol say. */
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { INO_MAX } from '../../../src/base/limits.ts'
import { decodeHandle, encodeHandle, HANDLE_BYTES, type Handle, makeExport } from '../../../src/export/index.ts'
import { putAttributes, putChange } from '../../../src/gateway-nfs/v3/attributes.ts'
import type { Call, Targets } from '../../../src/gateway-nfs/v3/operation.ts'
import { operations } from '../../../src/gateway-nfs/v3/operations.ts'
import { type ArgsOf, attributes, change, type ProcedureName, procedures } from '../../../src/gateway-nfs/v3/tables.ts'
import { XdrError, XdrReader } from '../../../src/gateway-nfs/xdr/reader.ts'
import type { Xdr } from '../../../src/gateway-nfs/xdr/types.ts'
import { XdrWriter } from '../../../src/gateway-nfs/xdr/writer.ts'
import type { Inode, MatrixFs } from '../../../src/metadata/index.ts'
import { encodeWith } from '../../helpers/nfs-client.ts'

const operationOf = (name: ProcedureName) => operations.find((each) => each?.name === name)!

/** Plain objects, as decoders make them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true })
const word = fc.nat(2 ** 32 - 1)
const long = fc.maxSafeNat()
const nanoseconds = fc.nat(999_999_999)
const time = record({ s: word, ns: nanoseconds })
const handle = fc
  .tuple(fc.integer({ min: 1, max: 2 ** 32 - 1 }), word, fc.integer({ min: 1, max: INO_MAX }), word)
  .map((parts) => {
    const bytes = Buffer.alloc(HANDLE_BYTES)
    encodeHandle(new DataView(bytes.buffer, bytes.byteOffset), 0, ...parts)
    return bytes
  })
/** A byte string, of lengths that need every padding. */
const name = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
const bytes8 = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes))
const data = fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes))
const nothing = fc.constant(undefined)
const timeToSet = fc.oneof(
  record({ kind: fc.constant(0 as const), value: nothing }),
  record({ kind: fc.constant(1 as const), value: nothing }),
  record({ kind: fc.constant(2 as const), value: time }),
)
const maybe = <T>(type: fc.Arbitrary<T>) => fc.option(type, { nil: undefined })
const toSet = record({
  mode: maybe(fc.nat(0o7777)),
  uid: maybe(word),
  gid: maybe(word),
  size: maybe(long),
  atime: timeToSet,
  mtime: timeToSet,
})

type TimeToSet = { kind: number; value?: unknown }
const timeOf = ({ kind, value }: TimeToSet) => (kind === 0 ? undefined : kind === 1 ? 'now' : value)
const changesOf = (each: { atime: TimeToSet; mtime: TimeToSet }) => ({
  ...each,
  atime: timeOf(each.atime),
  mtime: timeOf(each.mtime),
})
const handleOf = (bytes: Buffer): Handle => decodeHandle(new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length)!
const verifierOf = (bytes: Buffer) => ({ high: bytes.readUInt32BE(0), low: bytes.readUInt32BE(4) })

/** Encodes arguments by the table, reads them by hand, and compares with what they should have become. */
function same<N extends ProcedureName>(
  procedure: N,
  args: fc.Arbitrary<ArgsOf<N>>,
  expected: (args: ArgsOf<N>) => unknown,
) {
  test(`arguments of ${procedure}`, () => {
    const type = procedures[procedure].args as unknown as Xdr<ArgsOf<N>>
    fc.assert(
      fc.property(args, (value) => {
        const encoded = Buffer.from(encodeWith(type, value))
        const from = new XdrReader().reset(encoded, 0, encoded.length)
        assert.equal(operationOf(procedure).decode(from), expected(value))
        assert.is(from.remaining, 0)
        // nothing shorter is taken for the whole
        for (let end = 0; end < encoded.length; end += 4) {
          assert.throws(
            () => operationOf(procedure).decode(new XdrReader().reset(encoded, 0, end)),
            (error: Error) => error instanceof XdrError,
          )
        }
      }),
      { numRuns: 60 },
    )
  })
}

for (const procedure of ['GETATTR', 'READLINK', 'FSSTAT', 'FSINFO', 'PATHCONF'] as const) {
  same(procedure, record({ object: handle }), ({ object }) => ({ object: handleOf(object) }))
}
same(
  'SETATTR',
  record({ object: handle, attributes: toSet, guardCtime: maybe(time) }) as fc.Arbitrary<ArgsOf<'SETATTR'>>,
  (args) => ({ object: handleOf(args.object), attributes: changesOf(args.attributes), guardCtime: args.guardCtime }),
)
for (const procedure of ['LOOKUP', 'REMOVE', 'RMDIR'] as const) {
  same(procedure, record({ dir: handle, name }), (args) => ({ object: handleOf(args.dir), name: args.name }))
}
same('ACCESS', record({ object: handle, access: word }), (args) => ({ ...args, object: handleOf(args.object) }))
same('READ', record({ object: handle, offset: long, count: word }), (args) => ({
  ...args,
  object: handleOf(args.object),
}))
same('WRITE', record({ object: handle, offset: long, count: word, stable: fc.nat(2), data }), (args) => ({
  ...args,
  object: handleOf(args.object),
}))
same(
  'CREATE',
  record({
    dir: handle,
    name,
    how: fc.oneof(
      record({ kind: fc.constantFrom(0, 1), value: toSet }),
      record({ kind: fc.constant(2), value: bytes8 }),
    ),
  }) as fc.Arbitrary<ArgsOf<'CREATE'>>,
  ({ dir, name, how }) =>
    how.kind === 2
      ? { object: handleOf(dir), name, how: { verifier: how.value }, attributes: {} }
      : {
          object: handleOf(dir),
          name,
          how: how.kind === 1 ? 'guarded' : 'unchecked',
          attributes: changesOf(how.value),
        },
)
same(
  'MKDIR',
  record({ dir: handle, name, attributes: toSet }) as fc.Arbitrary<ArgsOf<'MKDIR'>>,
  ({ dir, name, attributes }) => ({ object: handleOf(dir), name, attributes: changesOf(attributes) }),
)
same(
  'SYMLINK',
  record({ dir: handle, name, attributes: toSet, target: name }) as fc.Arbitrary<ArgsOf<'SYMLINK'>>,
  ({ dir, name, attributes, target }) => ({ object: handleOf(dir), name, attributes: changesOf(attributes), target }),
)
same(
  'MKNOD',
  record({
    dir: handle,
    name,
    what: fc.oneof(
      record({ kind: fc.constantFrom(3, 4), value: record({ attributes: toSet, major: word, minor: word }) }),
      record({ kind: fc.constantFrom(6, 7), value: record({ attributes: toSet }) }),
      record({ kind: fc.constantFrom(1, 2, 5), value: nothing }),
    ),
  }) as fc.Arbitrary<ArgsOf<'MKNOD'>>,
  ({ dir, name, what }) => {
    const {
      attributes,
      major = 0,
      minor = 0,
    } = (what.value ?? {}) as { attributes?: never; major?: number; minor?: number }
    return {
      object: handleOf(dir),
      name,
      type: what.kind,
      attributes: attributes && changesOf(attributes),
      major,
      minor,
    }
  },
)
same('RENAME', record({ fromDir: handle, fromName: name, toDir: handle, toName: name }), (args) => ({
  object: handleOf(args.fromDir),
  fromName: args.fromName,
  other: handleOf(args.toDir),
  toName: args.toName,
}))
same('LINK', record({ object: handle, dir: handle, name }), (args) => ({
  object: handleOf(args.object),
  other: handleOf(args.dir),
  name: args.name,
}))
same(
  'READDIR',
  record({ dir: handle, cookie: long, verifier: bytes8, count: fc.nat(2 ** 20) }),
  ({ dir, cookie, verifier, count }) => ({ object: handleOf(dir), cookie, verifier: verifierOf(verifier), count }),
)
same(
  'READDIRPLUS',
  record({ dir: handle, cookie: long, verifier: bytes8, nameBytes: word, replyBytes: fc.nat(2 ** 20) }),
  ({ dir, cookie, verifier, nameBytes, replyBytes }) => ({
    object: handleOf(dir),
    cookie,
    verifier: verifierOf(verifier),
    nameBytes,
    replyBytes,
  }),
)
same('COMMIT', record({ object: handle, offset: long, count: word }), ({ object }) => ({ object: handleOf(object) }))

const inode: fc.Arbitrary<Inode> = fc
  .record({
    ino: fc.integer({ min: 1, max: INO_MAX }),
    generation: word,
    type: fc.integer({ min: 1, max: 7 }),
    mode: fc.nat(0o7777),
    nlink: word,
    uid: word,
    gid: word,
    size: long,
    allocated: long,
    rdevMajor: word,
    rdevMinor: word,
    atimeS: word,
    atimeNs: nanoseconds,
    mtimeS: word,
    mtimeNs: nanoseconds,
    ctimeS: word,
    ctimeNs: nanoseconds,
  })
  .map(
    (each) =>
      ({ ...each, btimeS: 0, btimeNs: 0, change: 0, parent: 0, nextCookie: 0, target: '', wire: undefined }) as Inode,
  )

const fs = { fsid: 0xfeedbeef, writeVerifier: Buffer.from('verifier') } as MatrixFs
const exported = makeExport({ path: '/home', fs, clients: ['*'] })
const call: Call = { exported, fs, caller: { uid: 0, gid: 0, gids: [] }, ino: 0, other: 0, transferMax: 1024 * 1024 }

const seconds = (each: Inode, which: 'atime' | 'mtime' | 'ctime') => ({ s: each[`${which}S`], ns: each[`${which}Ns`] })
const attributesOf = (each: Inode) => ({
  type: each.type,
  mode: each.mode,
  nlink: each.nlink,
  uid: each.uid,
  gid: each.gid,
  size: each.size,
  used: each.allocated,
  rdevMajor: each.rdevMajor,
  rdevMinor: each.rdevMinor,
  fsid: fs.fsid,
  fileid: each.ino,
  atime: seconds(each, 'atime'),
  mtime: seconds(each, 'mtime'),
  ctime: seconds(each, 'ctime'),
})

function decodeAll<T>(type: Xdr<T>, put: (out: XdrWriter) => void): T {
  const out = new XdrWriter(Buffer.alloc(1 << 16, 0xee))
  put(out)
  const from = new XdrReader().reset(out.bytes, 0, out.at)
  const value = type.decode(from)
  assert.is(from.remaining, 0)
  return value
}

test('attributes, encoded once and kept with the inode', () => {
  fc.assert(
    fc.property(inode, (each) => {
      for (const _ of [1, 2]) {
        assert.equal(
          decodeAll(attributes, (out) => putAttributes(out, fs, each)),
          attributesOf(each),
        )
      }
      assert.ok(each.wire)
      // another gateway's encoding is not mistaken for ours
      each.wire = { etag: 'x' }
      assert.equal(
        decodeAll(attributes, (out) => putAttributes(out, fs, each)),
        attributesOf(each),
      )
    }),
  )
})

test('weak cache consistency data, with and without either part', () => {
  fc.assert(
    fc.property(inode, inode, fc.boolean(), fc.boolean(), (was, is, hasBefore, hasAfter) => {
      const decoded = decodeAll(change, (out) =>
        putChange(out, hasBefore ? was : undefined, fs, hasAfter ? is : undefined),
      )
      const before = { size: was.size, mtime: seconds(was, 'mtime'), ctime: seconds(was, 'ctime') }
      assert.equal(decoded, { before: hasBefore ? before : undefined, after: hasAfter ? attributesOf(is) : undefined })
    }),
  )
})

/** Encodes a verb's result by hand, as the reply's body with status OK, and reads it by the table. */
function resultOf(procedure: ProcedureName, result: unknown, args: Targets & Record<string, unknown>) {
  const operation = operationOf(procedure)
  const out = new XdrWriter(Buffer.alloc(1 << 20))
  out.uint32(0)
  operation.encode(out, call, result, args)
  const room = operation.resultBytes?.(result, args) ?? 512
  assert.ok(out.at <= room, `${procedure} says ${room} bytes and takes ${out.at}`)
  const from = new XdrReader().reset(out.bytes, 0, out.at)
  const decoded = procedures[procedure].result.decode(from) as { ok: Record<string, unknown> }
  assert.is(from.remaining, 0)
  return decoded.ok
}
const targetOf = (each: Inode): Targets => ({
  object: { fsid: fs.fsid, exportId: 1, ino: each.ino, generation: each.generation },
})
const handleBytes = (each: Inode) => {
  const bytes = Buffer.alloc(HANDLE_BYTES)
  encodeHandle(new DataView(bytes.buffer, bytes.byteOffset), 0, fs.fsid, exported.id, each.ino, each.generation)
  return bytes
}
const beforeOf = (each: Inode) => ({ size: each.size, mtime: seconds(each, 'mtime'), ctime: seconds(each, 'ctime') })

test('results of LOOKUP, READ, WRITE, CREATE, RENAME, LINK and COMMIT', () => {
  fc.assert(
    fc.property(inode, inode, data, fc.boolean(), (a, b, bytes, eof) => {
      assert.equal(resultOf('LOOKUP', { dir: a, inode: b }, targetOf(a)), {
        object: handleBytes(b),
        attributes: attributesOf(b),
        dir: attributesOf(a),
      })
      const pieces = [bytes.subarray(0, 3), bytes.subarray(3), Buffer.from('more than the length')]
      assert.equal(resultOf('READ', { inode: a, pieces, length: bytes.length, eof }, targetOf(a)), {
        object: attributesOf(a),
        count: bytes.length,
        eof,
        data: bytes,
      })
      const changed = { before: beforeOf(a), after: attributesOf(b) }
      const flat = { before: a, inode: b, dir: b }
      for (const [stable, committed] of [
        [0, 0],
        [1, 2],
        [2, 2],
      ]) {
        assert.equal(resultOf('WRITE', flat, { ...targetOf(a), count: 5, stable }), {
          object: changed,
          count: 5,
          committed,
          verifier: fs.writeVerifier,
        })
      }
      assert.equal(resultOf('COMMIT', flat, targetOf(a)), { object: changed, verifier: fs.writeVerifier })
      assert.equal(resultOf('CREATE', { ...flat, inode: a }, targetOf(a)), {
        object: handleBytes(a),
        attributes: attributesOf(a),
        dir: changed,
      })
      assert.equal(resultOf('RENAME', { from: flat, to: { before: b, dir: a } }, targetOf(a)), {
        fromDir: changed,
        toDir: { before: beforeOf(b), after: attributesOf(a) },
      })
      assert.equal(resultOf('LINK', { ...flat, inode: a }, targetOf(a)), { object: attributesOf(a), dir: changed })
    }),
  )
})

const entries = fc.array(
  record({
    name: fc.uint8Array({ minLength: 1, maxLength: 40 }).map((each) => Buffer.from(each).toString('latin1')),
    cookie: long,
    inode: maybe(inode),
    ino: fc.integer({ min: 1, max: INO_MAX }),
  }),
  { minLength: 1, maxLength: 30 },
)

test('READDIR and READDIRPLUS never exceed what the client allows, and leave out nothing before the last entry sent', () => {
  fc.assert(
    fc.property(
      inode,
      entries,
      fc.integer({ min: 500, max: 6000 }),
      fc.integer({ min: 0, max: 2000 }),
      (dir, all, limit, names) => {
        const verifier = { high: 0, low: 0 }
        const listing = { dir, entries: all, eof: true }
        const plain = resultOf('READDIR', listing, { ...targetOf(dir), cookie: 0, verifier, count: limit }) as {
          entries: { name: string }[]
          eof: boolean
        }
        const plus = resultOf('READDIRPLUS', listing, {
          ...targetOf(dir),
          cookie: 0,
          verifier,
          nameBytes: names,
          replyBytes: limit,
        })
        const type = procedures.READDIR.result as Xdr<unknown>
        assert.ok(encodeWith(type, { status: 0, ok: plain }).length - 4 <= limit)
        assert.ok(
          encodeWith(procedures.READDIRPLUS.result as Xdr<unknown>, { status: 0, ok: plus }).length - 4 <= limit,
        )
        for (const page of [plain, plus as typeof plain]) {
          assert.ok(page.entries.length > 0, 'there is always progress')
          assert.equal(
            page.entries.map((each) => each.name),
            all.slice(0, page.entries.length).map((each) => each.name),
          )
          assert.is(page.eof, page.entries.length === all.length)
        }
        for (const [index, each] of (plus as { entries: Record<string, unknown>[] }).entries.entries()) {
          const of = all[index]!.inode
          assert.equal(each['attributes'], of && attributesOf(of))
          assert.equal(each['object'], of && handleBytes(of))
        }
      },
    ),
  )
})

test.run()
