/** Handles, client lists and squash rules. */
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { INO_MAX } from '../../../src/base/limits.ts'
import {
  admits,
  type ClientFacts,
  callerOf,
  decodeHandle,
  encodeHandle,
  HANDLE_BYTES,
  inRange,
  isSealedBy,
  makeExport,
  match,
  parseAddress,
  parseRange,
  SEALED_HANDLE_BYTES,
} from '../../../src/export/index.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'

const fs = { name: 'home', fsid: 7 } as MatrixFs
const address = (text: string) => parseAddress(text) as Uint8Array
const client = (from: string, port = 700, names: readonly string[] = []): ClientFacts => ({
  ...{ bytes: address(from), port },
  isNamed: (pattern) => names.includes(pattern),
})

test('a handle names the same object everywhere: golden bytes, and round trips', () => {
  const view = new DataView(new ArrayBuffer(HANDLE_BYTES))
  encodeHandle(view, 0, 7, 0xdeadbeef, 2 ** 40 + 5, 3)
  assert.is(Buffer.from(view.buffer).toString('hex'), '0100000000000007deadbeef000001000000000500000003')
  const word = fc.nat(2 ** 32 - 1)
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      word,
      fc.integer({ min: 1, max: INO_MAX }),
      word,
      (fsid, exportId, ino, generation) => {
        encodeHandle(view, 0, fsid, exportId, ino, generation)
        const handle = decodeHandle(view, 0, HANDLE_BYTES)
        assert.is(handle?.fsid, fsid)
        assert.is(handle?.exportId, exportId)
        assert.is(handle?.ino, ino)
        assert.is(handle?.generation, generation)
      },
    ),
  )
})

test('anything else is no handle', () => {
  const good = new DataView(new ArrayBuffer(HANDLE_BYTES + 4))
  encodeHandle(good, 0, 7, 1, 99, 3)
  for (const length of [0, 4, HANDLE_BYTES - 1, HANDLE_BYTES + 1]) assert.is(decodeHandle(good, 0, length), undefined)
  const broken = (at: number, value: number) => {
    const view = new DataView(good.buffer.slice(0))
    view.setUint8(at, value)
    return decodeHandle(view, 0, HANDLE_BYTES)
  }
  assert.ok(broken(23, 9), 'another generation is another handle')
  assert.is(broken(0, 3), undefined, 'version')
  assert.is(broken(0, 2), undefined, 'a sealed one is longer')
  assert.is(broken(2, 1), undefined, 'reserved')
  assert.is(broken(7, 0), undefined, 'fsid 0')
  assert.is(broken(19, 0), undefined, 'inode 0')
  assert.is(broken(13, 0x04), undefined, 'inode above INO_MAX')
})

test('ranges of both address families', () => {
  const holds = (range: string, text: string) => inRange(address(text), parseRange(range))
  assert.ok(holds('127.0.0.0/8', '127.3.2.1'))
  assert.ok(holds('127.0.0.0/8', '::ffff:127.0.0.1'), 'through a dual-stack socket')
  assert.not(holds('127.0.0.0/8', '128.0.0.1'))
  assert.ok(holds('10.1.2.128/25', '10.1.2.200'))
  assert.not(holds('10.1.2.128/25', '10.1.2.100'))
  assert.ok(holds('10.1.2.3', '10.1.2.3'))
  assert.not(holds('10.1.2.3', '10.1.2.4'))
  assert.ok(holds('fd00::/8', 'fd12:3456::1'))
  assert.not(holds('fd00::/8', 'fe80::1%eth0'))
  assert.ok(holds('*', '1.2.3.4') && holds('*', '::1'))
  assert.ok(holds('0.0.0.0/0', '9.9.9.9'))
  assert.not(holds('0.0.0.0/0', 'fd00::1'), 'an IPv4 range admits IPv4 only')
  for (const bad of [
    '',
    '10.0.0.0/33',
    '10.0.0/8',
    '10.0.0.256',
    'fd00::/129',
    '1:2:3',
    ':::',
    'host',
    '10.0.0.0/8/8',
    '10.0.0.0/',
  ]) {
    assert.throws(
      () => parseRange(bad),
      (error: Error) => isMatrixError(error, 'config') && error.message.includes(bad),
    )
  }
})

test('a path is matched to the deepest export that admits the client', () => {
  const home = makeExport({ path: '/home', fs, clients: ['127.0.0.0/8'] })
  const readers = makeExport({ path: '/home', fs, clients: ['10.0.0.0/8'], access: 'ro' })
  const deep = makeExport({ path: '/home/deep', fs, clients: ['127.0.0.1'] })
  const exports = [home, readers, deep]
  const found = (path: string, from: string) => {
    const result = match(exports, path, client(from))
    return result.kind === 'granted' ? [result.exported, ...result.below] : result.kind
  }
  assert.equal(found('/home', '127.0.0.1'), [home])
  assert.equal(found('/home/', '127.0.0.1'), [home])
  assert.equal(found('/home/a/b', '127.0.0.1'), [home, 'a', 'b'])
  assert.equal(found('/home/deep/x', '127.0.0.1'), [deep, 'x'])
  assert.equal(found('/home/deep/x', '127.0.0.2'), [home, 'deep', 'x'])
  assert.equal(found('/home', '10.9.9.9'), [readers])
  assert.is(found('/home', '11.0.0.1'), 'refused')
  assert.is(found('/homes', '127.0.0.1'), 'absent')
  assert.is(home.id, readers.id, 'handles are good whichever of them serves')
})

test('a wrong export is refused with its path and the reason', () => {
  for (const [options, says] of [
    [{ path: 'home', clients: ['*'] }, /'home': expected an absolute path/],
    [{ path: '/', clients: ['*'] }, /expected an absolute path/],
    [{ path: '/a/../b', clients: ['*'] }, /expected an absolute path/],
    [{ path: '/a', clients: [] }, /admits nobody/],
    [{ path: '/a', clients: ['no where'] }, /'no where' names no clients/],
    [{ path: '/a', clients: ['*'], directory: 'x', secret: 's' }, /directory 'x'/],
    [{ path: '/a', clients: ['*'], directory: '/x/../y', secret: 's' }, /directory/],
    [{ path: '/a', clients: ['*'], directory: '/x' }, /only with a secret/],
    [{ path: '/a', clients: ['*'], anonUid: -2 }, /anonymous id -2/],
  ] as const) {
    assert.throws(() => makeExport({ fs, ...options }), says)
  }
})

test('who a caller becomes under each squash rule', () => {
  const user = { flavor: 'sys', uid: 7, gid: 8, gids: [0, 9] } as const
  const root = { flavor: 'sys', uid: 0, gid: 0, gids: [] } as const
  const of = (squash: 'root_squash' | 'no_root_squash' | 'all_squash') =>
    makeExport({ path: '/home', fs, clients: ['*'], squash, anonUid: 500, anonGid: 501 })
  const nobody = { uid: 500, gid: 501, gids: [] }
  assert.equal(callerOf(of('root_squash'), user), { uid: 7, gid: 8, gids: [501, 9] })
  assert.equal(callerOf(of('root_squash'), root), nobody)
  assert.equal(callerOf(of('no_root_squash'), user), { uid: 7, gid: 8, gids: [0, 9] })
  assert.equal(callerOf(of('no_root_squash'), root), { uid: 0, gid: 0, gids: [] })
  assert.equal(callerOf(of('all_squash'), user), nobody)
  assert.equal(callerOf(of('no_root_squash'), { flavor: 'none' }), nobody)
})

test('a sealed handle is made with the key of its export, and no bit of it can be changed', () => {
  const exportOf = (path: string, directory: string, secret = 'a secret of the matrix') =>
    makeExport({ path, fs, clients: ['*'], directory, secret })
  const { key, id } = exportOf('/home/a', '/a')
  const bytes = new Uint8Array(SEALED_HANDLE_BYTES)
  const view = new DataView(bytes.buffer)
  encodeHandle(view, 0, 7, id, 99, 3, key)
  const handle = decodeHandle(view, 0, SEALED_HANDLE_BYTES)
  assert.ok(handle && isSealedBy(handle, key as Uint8Array))
  assert.equal(exportOf('/home/a', '/a').key, key, 'the same at every node')
  for (const other of [exportOf('/home/b', '/a'), exportOf('/home/a', '/b'), exportOf('/home/a', '/a', 'another one')])
    assert.not(isSealedBy(handle as NonNullable<typeof handle>, other.key as Uint8Array))
  for (let bit = 0; bit < 8 * SEALED_HANDLE_BYTES; bit++) {
    const forged = bytes.slice()
    forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7))
    const read = decodeHandle(new DataView(forged.buffer), 0, SEALED_HANDLE_BYTES)
    assert.not(read && isSealedBy(read, key as Uint8Array), `bit ${bit}`)
  }
})

test('ports and names of hosts', () => {
  const named = makeExport({ path: '/a', fs, clients: ['build.example.org', '*.lab.example.org', '10.0.0.0/8'] })
  assert.ok(admits(named, client('10.1.1.1')))
  assert.ok(admits(named, client('192.168.1.1', 700, ['*.lab.example.org'])))
  assert.not(admits(named, client('192.168.1.1')))
  const careful = makeExport({ path: '/a', fs, clients: ['*'], privilegedPorts: true })
  assert.ok(admits(careful, client('192.168.1.1', 1023)))
  assert.not(admits(careful, client('192.168.1.1', 1024)))
})

test.run()
