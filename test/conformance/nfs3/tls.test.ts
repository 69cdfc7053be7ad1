/** TLS: RPC-with-TLS (RFC 9289), with a client of ours on node:tls, and with one in Python. Section numbers are those of the RFC. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { type ExportOptions, makeExport } from '../../../src/export/index.ts'
import { TlsOffer } from '../../../src/gateway-nfs/index.ts'
import { NFS_PROGRAM, NFS_V3, NFS3ERR_ACCES } from '../../../src/gateway-nfs/v3/constants.ts'
import { silentLog } from '../../../src/platform/index.ts'
import { TestCa } from '../../helpers/certificates.ts'
import { makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { encodeCall, marked, NfsClient, unset } from '../../helpers/nfs-client.ts'
import { serve } from '../../helpers/nfs-served.ts'
import { runProgram } from '../../helpers/program.ts'

const ca = new TestCa('the CA')
const otherCa = new TestCa('another CA')
const server = ca.sign('node.example.org')
const clientCertificate = ca.sign('client.example.org')
const foreign = otherCa.sign('client.example.org')

const matrix = await makeLocalMatrix()
const { fs } = matrix.nodes[0] as (typeof matrix.nodes)[0]
const tls = new TlsOffer({ ...server, clientCa: ca.certificate }, silentLog)
const served = await serve(fs, { tls })
const exported = (options: Partial<ExportOptions>) =>
  makeExport({ path: '/home', fs, clients: ['*'], squash: 'no_root_squash', ...options })
const trusted: ConnectionOptions = { ca: ca.certificate, servername: 'node.example.org' }
const withCertificate = { ...trusted, cert: clientCertificate.certificate, key: clientCertificate.key }
const open: NfsClient[] = []
async function secure(options: ConnectionOptions = trusted): Promise<NfsClient> {
  const client = await NfsClient.connectTls(served.port, options)
  open.push(client)
  return client
}

const AUTH_ERROR = 1
const BADCRED = 1
const TOOWEAK = 5

function probe(change: (call: Buffer) => void = () => {}, procedure = 0, xid = 5): Buffer {
  const call = Buffer.from(encodeCall({ xid, program: NFS_PROGRAM, version: NFS_V3, procedure }))
  call.writeUInt32BE(7, 24)
  change(call)
  return marked(call)
}

test('TLS1 a client asks, is told STARTTLS, and goes on encrypted, with everything as before (4.1, 5.1.1)', async () => {
  const client = await secure()
  const root = await client.mount('/home')
  const file = await client.create(root, 'file')
  const data = Buffer.alloc(1024 * 1024, 'encrypted ')
  await client.write(file, 0, data)
  assert.ok((await client.read(file, 0)).equals(data))
  const names = Array.from({ length: 300 }, (_, i) => `f${i}`)
  await Promise.all(names.map((name) => client.create(root, name)))
  assert.is((await client.list(root)).length, names.length + 3)
  const clear = await served.connect()
  assert.ok((await clear.read(file, 0)).equals(data), 'in the clear as well: the export does not mind')
})

test('TLS2 AUTH_TLS in any other call, or within TLS, is AUTH_BADCRED (4.1)', async () => {
  for (const call of [
    probe(undefined, 1), // not NULL
    probe((bytes) => bytes.writeUInt32BE(1, 32)), // a verifier of another flavor
  ]) {
    const client = await served.connect()
    const reply = client.reply(5)
    client.socket.write(call)
    assert.equal(await reply, { kind: 'denied', words: [AUTH_ERROR, BADCRED] })
  }
  const client = await secure()
  const reply = client.reply(5)
  client.socket.write(probe())
  assert.equal(await reply, { kind: 'denied', words: [AUTH_ERROR, BADCRED] })
  assert.ok(await client.mount('/home'), 'and the session goes on')
})

test('TLS3 where it is not offered the client is told so, and goes on in the clear', async () => {
  const plain = await serve(fs)
  const client = await plain.connect()
  const reply = client.reply(5)
  client.socket.write(probe())
  assert.equal(await reply, { kind: 'denied', words: [AUTH_ERROR, BADCRED] })
  assert.ok(await client.mount('/home'))
  await plain.close()
})

test('TLS4 calls before the question are answered in the clear; clear text after it ends the connection (5.1.1)', async () => {
  const client = await served.connect()
  const root = await client.mount('/home')
  assert.is(await client.status('GETATTR', { object: root }), 0)
  client.socket.write(
    Buffer.concat([probe(), marked(encodeCall({ xid: 6, program: NFS_PROGRAM, version: NFS_V3, procedure: 0 }))]),
  )
  await client.closed
  assert.ok(served.lines.some(({ fields }) => fields['reason'] === 'clear text after the question for TLS'))
  // and what is no TLS in place of the ClientHello
  const socket = connect(served.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(probe())
  await once(socket, 'data')
  socket.write(marked(encodeCall({ xid: 6, program: NFS_PROGRAM, version: NFS_V3, procedure: 0 })))
  socket.resume()
  await once(socket, 'close')
})

test('TLS5 TLS 1.3 and the protocol "sunrpc", or nothing (5)', async () => {
  for (const wrong of [
    { maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' },
    { ALPNProtocols: ['http/1.1'] },
    { ALPNProtocols: [] },
  ] as const) {
    const socket = connect(served.port, '127.0.0.1')
    socket.write(probe())
    await once(socket, 'data')
    const secured = connectTls({ socket, ALPNProtocols: ['sunrpc'], ...trusted, ...(wrong as ConnectionOptions) })
    secured.on('error', () => {})
    secured.write(marked(encodeCall({ xid: 6, program: NFS_PROGRAM, version: NFS_V3, procedure: 0 })))
    let heard = 0
    secured.on('data', (chunk) => (heard += chunk.length))
    await new Promise((resolve) => secured.on('close', resolve))
    assert.is(heard, 0, JSON.stringify(wrong))
  }
})

test('TLS6 an export that wants TLS denies calls in the clear as too weak, and mounts are answered', async () => {
  served.exports = [exported({ security: 'tls' })]
  const clear = await served.connect()
  const root = await clear.mount('/home')
  const args = Buffer.concat([Buffer.from([0, 0, 0, root.length]), root])
  assert.equal(await clear.rpc(NFS_PROGRAM, NFS_V3, 1, args), { kind: 'denied', words: [AUTH_ERROR, TOOWEAK] })
  const client = await secure()
  assert.is(await client.status('GETATTR', { object: root }), 0)
  served.exports = [exported({})]
  assert.is(await clear.status('GETATTR', { object: root }), 0)
})

test('TLS7 an export that wants a certificate of the client: of the right CA, and no other (4.2)', async () => {
  served.exports = [exported({ security: 'mutual' })]
  const root = await (await served.connect()).mount('/home')
  const args = Buffer.concat([Buffer.from([0, 0, 0, root.length]), root])
  for (const options of [trusted, { ...trusted, cert: foreign.certificate, key: foreign.key }]) {
    const client = await secure(options)
    assert.equal(await client.rpc(NFS_PROGRAM, NFS_V3, 1, args), { kind: 'denied', words: [AUTH_ERROR, TOOWEAK] })
  }
  const client = await secure(withCertificate)
  assert.is(await client.status('GETATTR', { object: root }), 0)
  // who a user is is not what the certificate says
  client.user = { uid: 1000, gid: 1000 }
  assert.is(await client.status('MKDIR', { dir: root, name: 'x', attributes: unset }), NFS3ERR_ACCES)
  served.exports = [exported({})]
})

test('TLS8 a client knows a server that is not the one: its certificate is of another name or CA', async () => {
  for (const wrong of [{ servername: 'other.example.org' }, { ca: otherCa.certificate }]) {
    const failure = await secure({ ...trusted, ...wrong }).then(
      () => 'connected',
      () => 'refused',
    )
    assert.is(failure, 'refused')
  }
})

test('TLS9 certificates are renewed while sessions go on; wrong ones change nothing', async () => {
  const before = await secure()
  assert.throws(
    () => tls.renew({ certificate: Buffer.from('no certificate'), key: server.key }),
    (error: unknown) => isMatrixError(error, 'config'),
  )
  assert.throws(() => tls.renew({ certificate: server.certificate, key: clientCertificate.key }), /cannot be used/)
  assert.ok(await (await secure()).mount('/home'))
  const next = otherCa.sign('node.example.org')
  tls.renew({ ...next, clientCa: ca.certificate })
  assert.ok(await before.mount('/home'))
  assert.ok(await (await secure({ ...trusted, ca: otherCa.certificate })).mount('/home'))
  tls.renew({ ...server, clientCa: ca.certificate })
})

test('TLS10 a client that vanishes or is silent in the handshake leaves nothing behind', async () => {
  for (let k = 0; k < 20; k++) {
    const socket = connect(served.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(probe())
    await once(socket, 'data')
    if (k % 2) socket.write(Buffer.from('160301020001', 'hex')) // the beginning of a ClientHello
    socket.destroy()
  }
  for (const client of open.splice(0)) await client.close()
  for (let tries = 0; served.server.stats().connections > 8 && tries < 100; tries++)
    await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(served.server.stats().connections <= 8, `${served.server.stats().connections} connections are left`)
  assert.ok(await (await secure()).mount('/home'))
})

test('TLS11 a client that shares no line with the server: Python asks for TLS, mounts and looks (4.1, 5)', async () => {
  const { status, output } = await runProgram('python3', [
    new URL('tls-client.py', import.meta.url).pathname,
    ...[`${served.port}`, join(ca.dir, 'ca.pem'), 'node.example.org', '/home'],
  ])
  assert.is(status, 0, output)
  assert.equal(JSON.parse(output), { version: 'TLSv1.3', alpn: 'sunrpc', mount: 0, getattr: 0, type: 2 })
  const refused = await runProgram('python3', [
    new URL('tls-client.py', import.meta.url).pathname,
    ...[`${served.port}`, join(otherCa.dir, 'ca.pem'), 'node.example.org', '/home'],
  ])
  assert.is.not(refused.status, 0)
  assert.match(refused.output, /CERTIFICATE_VERIFY_FAILED/)
})

test.after(async () => {
  for (const client of open) await client.close()
  await served.close()
  await matrix.close()
  ca.dispose()
  otherCa.dispose()
})
test.run()
