/** An NFS server at addresses that come and go (R23): served beside its own, given up without losing what was taken, and nothing of others is touched. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import type { Incarnation, Slot } from '../../../src/base/ids.ts'
import { makeExport } from '../../../src/export/index.ts'
import { NfsServer } from '../../../src/gateway-nfs/index.ts'
import { NFS_PROGRAM, NFS_V3 } from '../../../src/gateway-nfs/v3/constants.ts'
import { procedures } from '../../../src/gateway-nfs/v3/tables.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'
import { encodeCall, encodeWith, marked, NfsClient, unset } from '../../helpers/nfs-client.ts'

const LIFE = { slot: 0 as Slot, incarnation: 1 as Incarnation }
const VIRTUAL = '127.0.0.77'
const turn = () => new Promise((resolve) => setTimeout(resolve, 30))

/** A server on `host`, whose changes are durable only when `release` says so. */
async function scene(host: string) {
  const { fs } = new MemoryFs()
  let held: ((error?: Error) => void)[] | undefined
  const slow = new Proxy(fs, {
    get(target, key) {
      if (key !== 'afterDurable') return Reflect.get(target, key)
      return (call: (error?: Error) => void) => (held ? held.push(call) : call())
    },
  }) as MatrixFs
  const home = makeExport({ path: '/home', fs: slow, clients: ['127.0.0.0/8'], squash: 'no_root_squash' })
  const server = new NfsServer({
    exports: () => [home],
    clock: realClock,
    log: silentLog,
    hostName: 'matrix',
    life: LIFE,
  })
  const { port } = await server.listen(host, 0)
  return {
    server,
    port,
    at: (address: string) => NfsClient.connect(port, { host: address }),
    hold: () => (held = []),
    release: () => {
      for (const call of held?.splice(0) ?? []) call()
      held = undefined
    },
  }
}

/** A CREATE that nobody waits for yet. */
function create(client: NfsClient, dir: Buffer, name: string) {
  const xid = client.nextXid()
  const reply = client.reply(xid)
  const { number, args } = procedures.CREATE
  const bytes = encodeWith(args as never, { dir, name, how: { kind: 0, value: { ...unset, mode: 0o644 } } } as never)
  const call = { xid, program: NFS_PROGRAM, version: NFS_V3, procedure: number, user: client.user, args: bytes }
  client.socket.write(marked(encodeCall(call)))
  return reply
}

for (const host of ['127.0.0.1', '0.0.0.0', '::']) {
  const test = suite(`gateway-nfs at virtual addresses, listening on ${host}`)
  const own = host === '127.0.0.1'

  test('it is served there from open to close, and at its own address all the time', async () => {
    const { server, port, at } = await scene(host)
    if (own) assert.match(String(await at(VIRTUAL).catch((error) => error)), 'ECONNREFUSED')
    await server.open(VIRTUAL)
    await server.open(VIRTUAL)
    const [client, other] = [await at(VIRTUAL), await at('127.0.0.1')]
    const root = await client.mount('/home')
    await client.create(root, 'a')
    let reset: string | undefined
    client.socket.on('error', (error: NodeJS.ErrnoException) => (reset = error.code))
    server.closeAt(VIRTUAL)
    await client.closed
    assert.is(reset, 'ECONNRESET')
    assert.ok((await other.list(await other.mount('/home'))).includes('a'))
    const gone = await at(VIRTUAL).then(
      (late) => late.closed,
      (error: NodeJS.ErrnoException) => error.code,
    )
    assert.ok([undefined, 'ECONNRESET', 'ECONNREFUSED'].includes(gone as string | undefined), String(gone))
    await server.open(VIRTUAL)
    await (await at(VIRTUAL)).mount('/home')
    assert.is(server.stats().connections, 2)
    await other.close()
    await server.close()
    assert.is(port > 0, true)
  })

  test('what was taken is answered before it drains; what comes meanwhile is not taken', async () => {
    const { server, at, hold, release } = await scene(host)
    await server.open(VIRTUAL)
    const [client, other] = [await at(VIRTUAL), await at('127.0.0.1')]
    const root = await client.mount('/home')
    hold()
    const taken = create(client, root, 'taken')
    await turn()
    let drained = false
    const draining = server.drain(VIRTUAL).then(() => (drained = true))
    const late = create(client, root, 'late').catch(() => 'no answer')
    const newcomer = await at(VIRTUAL)
    const tooLate = newcomer.rpc(NFS_PROGRAM, NFS_V3, 0).catch(() => 'no answer')
    await turn()
    assert.not(drained)
    release()
    await draining
    assert.is((await taken).kind, 'success')
    server.closeAt(VIRTUAL)
    assert.is(await late, 'no answer')
    assert.is(await tooLate, 'no answer')
    const names = await other.list(root)
    assert.ok(names.includes('taken') && !names.includes('late'))
    await other.close()
    await server.close()
  })

  test('without connections it drains at once; a server that is closed opens nothing', async () => {
    const { server } = await scene(host)
    await server.open(VIRTUAL)
    await server.drain(VIRTUAL)
    server.closeAt(VIRTUAL)
    await server.close()
    const error = await server.open(VIRTUAL).catch((caught) => caught)
    assert.ok(isMatrixError(error, 'withdrawn'))
  })

  test.run()
}
