/**
 * WebDAV's locks and NFS, as docs/http.md says: NFS clients do not ask for WebDAV's locks, and byte-range locks and WebDAV's know nothing of each other. What the
 * one does to the other's file is seen by it: by the entity tag, by what becomes of the lock. Locks are taken at one node, and met at the other.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { NLM4_DENIED, NLM4_GRANTED } from '../../../src/gateway-nfs/nlm/tables.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { asker, closeClient } from '../../helpers/http-client.ts'
import { unset } from '../../helpers/nfs-client.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'
import { hostPortmapPort, NlmHost } from '../../helpers/nlm-host.ts'
import { lockinfo } from '../../suites/http-locks.ts'

const clientPortmapPort = hostPortmapPort()
const world = await makeNfsMatrix({ nodes: 2, clientPortmapPort })
const caller = { uid: 0, gid: 0, gids: [] }
const gateways = world.matrix.nodes.map(
  ({ fs }) => new HttpGateway({ clock: realClock, exports: () => [{ name: 'home', fs, caller }] }),
)
const urls = await Promise.all(gateways.map(async (gateway) => (await gateway.listen('127.0.0.1', 0)).url))
const { expect } = asker(() => urls)

/** A file with a WebDAV lock. */
async function lockedFile(name: string): Promise<{ path: string; object: Buffer; token: string; tag: string }> {
  const path = `/home/${name}`
  const tag = (await expect(201, 'PUT', path, { body: 'old' })).headers['etag'] as string
  const token = (await expect(200, 'LOCK', path, { body: lockinfo() })).headers['lock-token'] as string
  return { path, tag, token, object: await world.any().lookup(world.root, name) }
}
const submit = (token: string, more = '') => ({ If: `(${token}${more})` })

test('DAVN1 an NFS client writes what is locked; who has the lock finds out by the tag, and keeps the lock', async () => {
  const { path, object, token, tag } = await lockedFile('DAVN1')
  await world.any().write(object, 0, Buffer.from('NFS'))
  assert.is((await expect(200, 'GET', path)).text, 'NFS')
  await expect(412, 'PUT', path, { headers: submit(token, ` [${tag}]`), body: 'x' })
  await expect(423, 'PUT', path, { body: 'x' })
  const now = (await expect(200, 'HEAD', path)).headers['etag']
  await expect(204, 'PUT', path, { headers: submit(token, ` [${now}]`), body: 'mine' })
  const fresh = await world.any().lookup(world.root, 'DAVN1')
  assert.is((await world.any().read(fresh)).toString(), 'mine')
  assert.is(
    await world.any().status('SETATTR', { object: fresh, attributes: { ...unset, size: 0 }, guardCtime: undefined }),
    0,
  )
  await expect(204, 'UNLOCK', path, { headers: { 'Lock-Token': token } })
})

test('DAVN2 a lock goes with the file that an NFS client renames, and ends with the one that it removes or replaces', async () => {
  const { path, token } = await lockedFile('DAVN2')
  const rename = (fromName: string, toName: string) =>
    world.any().ok('RENAME', { fromDir: world.root, fromName, toDir: world.root, toName })
  await rename('DAVN2', 'DAVN2-moved')
  await expect(423, 'PUT', `${path}-moved`, { body: 'x' })
  await expect(201, 'PUT', path, { body: 'another file' })
  await rename('DAVN2', 'DAVN2-moved')
  await expect(409, 'UNLOCK', `${path}-moved`, { headers: { 'Lock-Token': token } })
  await expect(204, 'PUT', `${path}-moved`, { body: 'free' })
  await expect(200, 'LOCK', `${path}-moved`, { body: lockinfo() })
  await world.any().ok('REMOVE', { dir: world.root, name: 'DAVN2-moved' })
  await expect(201, 'PUT', `${path}-moved`, { body: 'free' })
})

test('DAVN3 a byte-range lock and a WebDAV lock on one file are nothing to each other', async () => {
  const { path, object, token } = await lockedFile('DAVN3')
  const [one, two] = await Promise.all(
    [0, 1].map((node) =>
      NlmHost.start({
        address: `127.9.2.${node + 1}`,
        name: `editor${node}`,
        portmapPort: clientPortmapPort,
        port: world.served[node]!.port,
      }),
    ),
  )
  assert.is(await one!.lock({ file: object }), NLM4_GRANTED)
  assert.is(await two!.lock({ file: object }), NLM4_DENIED, 'among themselves they are')
  await expect(204, 'UNLOCK', path, { headers: { 'Lock-Token': token } })
  await expect(204, 'PUT', path, { body: 'written while its bytes are locked' })
  await expect(200, 'LOCK', path, { body: lockinfo() })
  await one!.unlock({ file: object })
  await Promise.all([one!.close(), two!.close()])
})

test.after(async () => {
  closeClient()
  await Promise.all(gateways.map((gateway) => gateway.close()))
  const findings = await world.matrix.check()
  await world.close()
  assert.equal(findings, [])
})

test.run()
