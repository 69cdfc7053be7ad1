/** NLM: byte-range locks of NFS clients (X/Open XNFS 10, 14; RFC 1813 appendix II), by TCP and by UDP. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FsError } from '../../../src/base/errors.ts'
import type { Incarnation, Slot } from '../../../src/base/ids.ts'
import { makeExport } from '../../../src/export/index.ts'
import * as n from '../../../src/gateway-nfs/nlm/tables.ts'
import { RANGE_END } from '../../../src/locking/index.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'
import { type Served, serve } from '../../helpers/nfs-served.ts'
import { hostPortmapPort, NlmHost, type NlmHostOptions } from '../../helpers/nlm-host.ts'

type World = {
  readonly served: Served
  readonly memory: MemoryFs
  readonly file: Buffer
  /** A host of the number, at 127.9.0.NUMBER; it is closed at the end. */
  host(number: number, options?: Partial<NlmHostOptions>): Promise<NlmHost>
}

/** A case against a server of its own, by each transport. */
function nlm(
  name: string,
  run: (world: World) => Promise<void>,
  options: { readonly serve?: Parameters<typeof serve>[1]; readonly by?: readonly ('tcp' | 'udp')[] } = {},
): void {
  for (const transport of options.by ?? (['tcp', 'udp'] as const)) {
    test(`${name} (${transport})`, async () => {
      const memory = new MemoryFs()
      const clientPortmapPort = hostPortmapPort()
      const served = await serve(memory.fs, { clientPortmapPort, ...options.serve })
      const hosts: NlmHost[] = []
      try {
        const client = await served.connect()
        const file = await client.create(await client.mount('/home'), 'file')
        await run({
          ...{ served, memory, file },
          async host(number, more = {}) {
            const host = await NlmHost.start({
              ...{ address: `127.9.0.${number}`, name: `host${number}`, transport },
              ...{ portmapPort: clientPortmapPort, port: served.port, ...more },
            })
            hosts.push(host)
            return host
          },
        })
      } finally {
        for (const each of hosts) await each.close()
        await served.close()
      }
    })
  }
}

const turn = (ms = 60) => new Promise((resolve) => setTimeout(resolve, ms))
const held = (fs: MemoryFs) => {
  const { ranges } = fs.fs as unknown as {
    ranges: { held(): Iterable<{ start: number; end: number; client: string }> }
  }
  return [...ranges.held()].map(({ start, end, client }) => `${client} ${start}-${end === RANGE_END ? 'end' : end}`)
}

nlm('NLM1 a lock is had by one, tested by others, and freed', async ({ file, host, memory }) => {
  const [one, two] = [await host(1), await host(2)]
  await one.call('NULL', undefined)
  assert.equal(await one.test({ file }), { kind: n.NLM4_GRANTED, value: undefined })
  assert.is(await one.lock({ file, offset: 10, length: 10, svid: 7 }), n.NLM4_GRANTED)
  assert.is(await two.lock({ file, offset: 19, length: 1 }), n.NLM4_DENIED)
  assert.is(await two.lock({ file, offset: 20, length: 1 }), n.NLM4_GRANTED)
  assert.equal(await two.test({ file, exclusive: false }), {
    kind: n.NLM4_DENIED,
    value: { exclusive: true, svid: 7, ownerHandle: Buffer.from('7@host1'), offset: 10n, length: 10n },
  })
  assert.is(await one.unlock({ file, offset: 0, length: 15, svid: 7 }), n.NLM4_GRANTED)
  assert.equal(held(memory), ['nfs:127.9.0.1/host1 15-19', 'nfs:127.9.0.2/host2 20-20'])
  assert.is(await one.unlock({ file, svid: 7 }), n.NLM4_GRANTED)
  assert.is(await two.unlock({ file }), n.NLM4_GRANTED)
  assert.is(await two.unlock({ file }), n.NLM4_GRANTED, 'nothing to free is no error')
  assert.equal(held(memory), [])
})

nlm('NLM2 shared locks go together, also of one host; an upgrade has to be alone', async ({ file, host }) => {
  const [one, two] = [await host(1), await host(2)]
  assert.is(await one.lock({ file, exclusive: false }), n.NLM4_GRANTED)
  assert.is(await two.lock({ file, exclusive: false }), n.NLM4_GRANTED)
  assert.is(await one.lock({ file, exclusive: false, svid: 2 }), n.NLM4_GRANTED)
  assert.is(await one.lock({ file }), n.NLM4_DENIED)
  await two.unlock({ file })
  assert.is(await one.lock({ file }), n.NLM4_DENIED, 'its own second process')
  await one.unlock({ file, svid: 2 })
  assert.is(await one.lock({ file }), n.NLM4_GRANTED)
})

nlm('NLM3 offsets and lengths of 64 bits', async ({ file, host, memory }) => {
  const one = await host(1)
  const lock = (offset: bigint, length: bigint) => one.lock({ file, offset, length })
  assert.is(await lock(0x7fff_ffff_ffff_ffffn, 1n), n.NLM4_FBIG)
  assert.is(await lock(BigInt(RANGE_END) + 1n, 0n), n.NLM4_FBIG)
  assert.is(await lock(5n, 0xffff_ffff_ffff_ffffn), n.NLM4_GRANTED, 'to the end')
  assert.equal(held(memory), ['nfs:127.9.0.1/host1 5-end'])
  await one.unlock({ file })
  assert.is(await lock(BigInt(RANGE_END), 1n), n.NLM4_GRANTED)
  const two = await host(2)
  const reply = await two.test({ file })
  assert.equal([reply.value?.offset, reply.value?.length], [BigInt(RANGE_END), 0n], 'to the end is length 0')
  assert.is(await two.lock({ file, offset: 0x1_0000_0000n, length: 0x1_0000_0000n }), n.NLM4_GRANTED)
  assert.is(await one.lock({ file, offset: 0x1_ffff_ffffn, length: 1n }), n.NLM4_DENIED)
})

nlm('NLM4 a blocked lock is granted by a call back as soon as it is free', async ({ file, host, served }) => {
  const [one, two] = [await host(1), await host(2)]
  await one.lock({ file })
  const wish = { file, block: true, offset: 3n, length: 0xffff_ffff_ffff_ffffn, svid: -5 }
  assert.is(await two.lock(wish), n.NLM4_BLOCKED)
  assert.is(await two.lock(wish), n.NLM4_BLOCKED, 'asked again')
  assert.is(served.server.stats().locks.waiting, 1)
  await turn()
  await one.unlock({ file })
  const { args } = await two.next('GRANTED')
  const { exclusive, lock } = args as n.NlmTestArgs
  assert.equal({ exclusive, lock }, { exclusive: true, lock: two.lockOf(wish) }, 'exactly as it was asked for')
  await turn()
  assert.is(await one.lock({ file }), n.NLM4_DENIED)
  assert.is(served.server.stats().locks.waiting, 0)
  assert.is(two.heard.length, 0, 'told once')
})

nlm('NLM5 waiting locks are granted in the order of arrival, each to one', async ({ file, host }) => {
  const hosts = await Promise.all([1, 2, 3, 4].map((number) => host(number)))
  const [first, ...rest] = hosts as [NlmHost, ...NlmHost[]]
  await first.lock({ file })
  for (const each of rest) assert.is(await each.lock({ file, block: true }), n.NLM4_BLOCKED)
  let holder = first
  for (const each of rest) {
    await holder.unlock({ file })
    await each.next('GRANTED')
    for (const other of rest) assert.is(other.heard.length, 0, 'nobody else')
    holder = each
  }
})

nlm('NLM6 who does not answer is told again; who asks meanwhile has it', async ({ file, host, memory }) => {
  const [one, two] = [await host(1), await host(2)]
  await one.lock({ file })
  let silent = 2
  two.onGranted = () => (silent-- > 0 ? 'silent' : n.NLM4_DENIED)
  await two.lock({ file, block: true })
  await one.unlock({ file })
  await two.next('GRANTED')
  assert.is(await two.lock({ file, block: true }), n.NLM4_GRANTED, 'it polls')
  await turn(300)
  assert.equal(held(memory), ['nfs:127.9.0.2/host2 0-end'])
  assert.is(two.heard.length, 0, 'and is told no more')
})

nlm('NLM7 a lock that its client refuses is free for the next', async ({ file, host, memory }) => {
  const [one, two, three] = [await host(1), await host(2), await host(3)]
  await one.lock({ file })
  two.onGranted = () => n.NLM4_DENIED
  await two.lock({ file, block: true })
  await three.lock({ file, block: true })
  await one.unlock({ file })
  await two.next('GRANTED')
  await three.next('GRANTED')
  assert.equal(held(memory), ['nfs:127.9.0.3/host3 0-end'])
})

nlm(
  'NLM8 a refusal after a call back that may have arrived frees nothing: two must not hold it',
  async ({ file, host, memory }) => {
    const [one, two] = [await host(1), await host(2)]
    await one.lock({ file })
    let calls = 0
    // it took the lock, and its answer was lost; of the second call back it knows nothing
    two.onGranted = () => (calls++ === 0 ? 'silent' : n.NLM4_DENIED)
    await two.lock({ file, block: true })
    await one.unlock({ file })
    await two.next('GRANTED')
    await two.next('GRANTED', 15_000)
    await turn()
    assert.equal(held(memory), ['nfs:127.9.0.2/host2 0-end'])
    assert.is(await two.unlock({ file }), n.NLM4_GRANTED)
    assert.equal(held(memory), [])
  },
  { by: ['tcp'] },
)

nlm('NLM9 CANCEL ends the wait; what was granted meanwhile is given back', async ({ file, host, memory }) => {
  const [one, two] = [await host(1), await host(2)]
  await one.lock({ file })
  await two.lock({ file, block: true })
  assert.is(await two.cancel({ file }), n.NLM4_GRANTED)
  assert.is(await two.cancel({ file }), n.NLM4_DENIED, 'there is nothing any more')
  await one.unlock({ file })
  await turn()
  assert.equal(held(memory), [])
  assert.is(two.heard.length, 0)
  await one.lock({ file })
  two.onGranted = () => n.NLM4_DENIED_GRACE_PERIOD
  await two.lock({ file, block: true })
  await one.unlock({ file })
  await two.next('GRANTED')
  assert.is(await two.cancel({ file }), n.NLM4_GRANTED)
  assert.equal(held(memory), [])
})

nlm('NLM10 a deadlock is told at once', async ({ file, host }) => {
  const [one, two] = [await host(1), await host(2)]
  await one.lock({ file, offset: 0, length: 1 })
  await two.lock({ file, offset: 1, length: 1 })
  assert.is(await one.lock({ file, offset: 1, length: 1, block: true }), n.NLM4_BLOCKED)
  assert.is(await two.lock({ file, offset: 0, length: 1, block: true }), n.NLM4_DEADLCK)
})

nlm('NLM11 messages are answered by results', async ({ file, host, memory }) => {
  const [one, two] = [await host(1), await host(2)]
  const result = async (on: NlmHost, name: 'LOCK' | 'TEST' | 'CANCEL' | 'UNLOCK', args: { cookie: Buffer }) => {
    await on.call(`${name}_MSG`, args as never)
    const { args: got } = await on.next(`${name}_RES`)
    const { cookie, status, reply } = got as { cookie: Buffer; status: number; reply: n.NlmTestReply }
    assert.equal(cookie, args.cookie)
    return status ?? reply.kind
  }
  assert.is(await result(one, 'LOCK', one.lockArgs({ file })), n.NLM4_GRANTED)
  assert.is(
    await result(two, 'TEST', { cookie: two.cookie(), exclusive: true, lock: two.lockOf({ file }) } as never),
    n.NLM4_DENIED,
  )
  assert.is(await result(two, 'LOCK', two.lockArgs({ file, block: true })), n.NLM4_BLOCKED)
  assert.is(await result(one, 'UNLOCK', { cookie: one.cookie(), lock: one.lockOf({ file }) } as never), n.NLM4_GRANTED)
  await two.next('GRANTED_MSG')
  await turn()
  assert.equal(held(memory), ['nfs:127.9.0.2/host2 0-end'])
  assert.is(
    await result(two, 'CANCEL', {
      cookie: two.cookie(),
      block: true,
      exclusive: true,
      lock: two.lockOf({ file }),
    } as never),
    n.NLM4_DENIED,
  )
  await two.call('GRANTED_MSG', { cookie: two.cookie(), exclusive: true, lock: two.lockOf({ file }) })
  await two.call('TEST_RES', { cookie: two.cookie(), reply: { kind: n.NLM4_GRANTED, value: undefined } })
})

nlm('NLM12 a late copy of an UNLOCK frees nothing that was locked since', async ({ file, host, memory }) => {
  const one = await host(1)
  const unlock = { cookie: one.cookie(), lock: one.lockOf({ file }) }
  await one.lock({ file })
  await one.call('UNLOCK', unlock, 4711)
  await one.lock({ file })
  await one.call('UNLOCK', unlock, 4711)
  assert.equal(held(memory), ['nfs:127.9.0.1/host1 0-end'])
})

nlm('NLM13 a name alone gives nobody the locks of another address', async ({ file, host, memory }) => {
  const one = await host(1)
  const thief = await host(2, { name: 'host1' })
  await one.lock({ file })
  assert.is(await thief.unlock({ file }), n.NLM4_GRANTED)
  await thief.call('FREE_ALL', { name: 'host1', state: 3 })
  await thief.nsm('NOTIFY', { name: 'host1', state: 3 })
  assert.is(await thief.lock({ file }), n.NLM4_DENIED)
  assert.equal(held(memory), ['nfs:127.9.0.1/host1 0-end'])
})

nlm('NLM14 FREE_ALL frees what the host holds and waits for', async ({ file, host, memory }) => {
  const [one, two] = [await host(1), await host(2)]
  await one.lock({ file })
  await two.lock({ file, block: true })
  await two.call('FREE_ALL', { name: 'host2', state: 0 })
  await one.call('FREE_ALL', { name: 'host1', state: 0 })
  await turn()
  assert.equal(held(memory), [])
  assert.is(two.heard.length, 0)
})

nlm('NLM15 NM_LOCK is a lock that nobody watches over', async ({ file, host, memory }) => {
  const one = await host(1)
  assert.is((await one.call('NM_LOCK', one.lockArgs({ file }))).status, n.NLM4_GRANTED)
  assert.equal(memory.fs.clients.list(), [])
  const two = await host(2)
  assert.is((await two.call('NM_LOCK', two.lockArgs({ file, block: true }))).status, n.NLM4_DENIED)
})

nlm('NLM16 share reservations', async ({ file, host, served }) => {
  const [one, two] = [await host(1), await host(2)]
  const [none, read, write, both] = [0, 1, 2, 3] as const
  assert.is(await one.share(file, read, write), n.NLM4_GRANTED)
  assert.is(await two.share(file, read, none), n.NLM4_GRANTED)
  assert.is(await two.share(file, both, none), n.NLM4_DENIED, 'nobody may write')
  assert.is(await two.share(file, read, read), n.NLM4_DENIED, 'another reads')
  assert.is(await one.share(file, read, none, 'UNSHARE'), n.NLM4_GRANTED)
  assert.is(await two.share(file, both, both), n.NLM4_GRANTED)
  assert.is(await one.share(file, read, none), n.NLM4_DENIED)
  await two.call('FREE_ALL', { name: 'host2', state: 0 })
  assert.is(served.server.stats().locks.shares, 0)
  assert.is(await one.share(file, write, none), n.NLM4_GRANTED)
})

nlm('NLM17 who may not read may not lock; handles that are none are stale', async ({ file, host, served, memory }) => {
  const client = await served.connect()
  const root = await client.mount('/home')
  const secret = await client.create(root, 'secret', 0o640)
  const stranger = await host(1, { user: { uid: 77, gid: 77 } })
  assert.is(await stranger.lock({ file: secret, exclusive: false }), n.NLM4_FAILED)
  assert.is(await stranger.lock({ file }), n.NLM4_FAILED, 'exclusive is for writers')
  assert.is(await stranger.lock({ file, exclusive: false }), n.NLM4_GRANTED)
  assert.is(await stranger.lock({ file: root }), n.NLM4_FAILED, 'a directory')
  assert.is(await stranger.lock({ file: Buffer.alloc(0) }), n.NLM4_STALE_FH)
  assert.is(await stranger.lock({ file: Buffer.alloc(64, 1) }), n.NLM4_STALE_FH)
  const gone = await client.create(root, 'gone')
  await client.ok('REMOVE', { dir: root, name: 'gone' })
  assert.is(await stranger.lock({ file: gone }), n.NLM4_STALE_FH)
  assert.is(await stranger.unlock({ file: gone }), n.NLM4_GRANTED, 'who frees it may be late')
  assert.is(await stranger.share(secret, 1, 0), n.NLM4_FAILED)
  assert.equal(held(memory), ['nfs:127.9.0.1/host1 0-end'])
})

nlm(
  'NLM18 of a read-only export only shared locks are had',
  async ({ file, host, served, memory }) => {
    served.exports = [makeExport({ path: '/home', fs: memory.fs, clients: ['127.0.0.0/8'], access: 'ro' })]
    const one = await host(1)
    assert.is(await one.lock({ file }), n.NLM4_ROFS)
    assert.is(await one.lock({ file, exclusive: false }), n.NLM4_GRANTED)
    served.exports = []
    const nowhere = await one
      .call('TEST', { cookie: one.cookie(), exclusive: false, lock: one.lockOf({ file }) })
      .catch(() => undefined)
    assert.ok(nowhere === undefined || nowhere.reply.kind === n.NLM4_STALE_FH)
  },
  { by: ['tcp'] },
)

nlm('NLM19 names of the greatest length', async ({ file, host }) => {
  const one = await host(1, { name: 'x'.repeat(1024) })
  const lock = { ...one.lockOf({ file }), ownerHandle: Buffer.alloc(1024, 0xff) }
  const cookie = Buffer.alloc(1024, 1)
  const args = { cookie, block: false, exclusive: true, lock, reclaim: false, state: 1 }
  assert.is((await one.call('LOCK', args)).status, n.NLM4_DENIED_NOLOCKS, 'more than the table takes')
  const latin = { ...lock, ownerHandle: Buffer.alloc(1024, 0x41) }
  assert.equal(await one.call('LOCK', { ...args, lock: latin }), { cookie, status: n.NLM4_GRANTED })
  const two = await host(2)
  const reply = await two.test({ file })
  assert.equal(reply.value?.ownerHandle, latin.ownerHandle)
})

nlm(
  'NLM20 the same owner with two requests at once: each is answered in its order',
  async ({ file, host, memory }) => {
    const one = await host(1)
    const all = []
    for (let round = 0; round < 20; round++) all.push(one.lock({ file }), one.unlock({ file }))
    assert.ok((await Promise.all(all)).every((status) => status === n.NLM4_GRANTED))
    assert.equal(held(memory), [])
  },
  { by: ['tcp'] },
)

// --- NSM ---

nlm('NSM1 a client that restarts frees its locks, once', async ({ file, host, memory }) => {
  const one = await host(1, { name: 'host1.example.org' })
  const { clients } = memory.fs
  await one.lock({ file, state: 5 })
  const [record] = clients.list()
  assert.equal([record?.name, record?.address, record?.state], ['nfs:127.9.0.1/host1.example.org', '127.9.0.1', 5])
  await one.nsm('NOTIFY', { name: 'host1', state: 7 })
  assert.equal(held(memory), [], 'the short name is its, too')
  assert.equal(clients.list(), [])
  await one.lock({ file, state: 7 })
  await one.nsm('NOTIFY', { name: 'host1', state: 7 })
  await one.nsm('NOTIFY', { name: 'host1.example.org', state: 7 })
  assert.is(held(memory).length, 1, 'that it is in state 7 its lock has said')
  await one.nsm('NOTIFY', { name: 'host1.example.org', state: 9 })
  assert.equal(held(memory), [])
  await one.lock({ file, state: -(2 ** 31) })
  assert.is(clients.list()[0]?.state, 2 ** 31, 'any number is taken')
  await one.nsm('NOTIFY', { name: 'host1.example.org', state: -(2 ** 31) })
  assert.is(held(memory).length, 1)
  await one.nsm('NOTIFY', { name: 'host1.example.org', state: -1 })
  assert.equal(held(memory), [])
})

nlm('NSM2 the record is there before the first lock is answered', async ({ file, host, memory }) => {
  const { clients } = memory.fs
  const put = clients.put.bind(clients)
  let kept: () => void = () => {}
  clients.put = async (client) => {
    await new Promise<void>((resolve) => (kept = resolve))
    await put(client)
  }
  const one = await host(1)
  let answered = 0
  const locks = [1, 2].map((svid) => one.lock({ file, svid, exclusive: false }).then(() => answered++))
  await turn()
  assert.is(answered, 0)
  kept()
  await Promise.all(locks)
  clients.put = () => Promise.reject(new FsError('ENOLCK'))
  const two = await host(2)
  assert.is(await two.lock({ file, exclusive: false }), n.NLM4_DENIED_NOLOCKS)
  clients.put = put
  assert.is(await two.lock({ file, exclusive: false }), n.NLM4_GRANTED)
})

nlm('NSM3 STAT, and monitors of programs of this machine', async ({ host, served }) => {
  const one = await host(1)
  const state = 2 * 64 + 1
  assert.equal(await one.nsm('STAT', { name: 'any' }), { status: 0, state })
  const caller = { name: 'me', program: 100_021, version: 4, procedure: 16 }
  const monitored = { name: 'peer', caller }
  assert.equal(await one.nsm('MON', { monitored, private: Buffer.alloc(16, 1) }), { status: 0, state })
  assert.equal(await one.nsm('UNMON', monitored), { state })
  assert.equal(await one.nsm('UNMON_ALL', caller), { state })
  await one.nsm('NULL', undefined)
  await one.nsm('SIMU_CRASH', undefined)
  assert.is((await one.nsm('STAT', { name: 'any' })).state, state + 128, 'still odd, and greater')
  assert.is(served.server.stats().nsm['SIMU_CRASH'], 1)
})

test('NSM4 after a restart clients are told, and have what they reclaim', async () => {
  const memory = new MemoryFs()
  const clientPortmapPort = hostPortmapPort()
  const first = await serve(memory.fs, { clientPortmapPort })
  const client = await first.connect()
  const file = await client.create(await client.mount('/home'), 'file')
  const at = (number: number, port: number, transport: 'tcp' | 'udp') =>
    NlmHost.start({
      ...{ address: `127.9.0.${number}`, name: `host${number}`, portmapPort: clientPortmapPort, port, transport },
    })
  const [one, two] = [await at(1, first.port, 'tcp'), await at(2, first.port, 'udp')]
  assert.is(await one.lock({ file, length: 1 }), n.NLM4_GRANTED)
  assert.is(await two.lock({ file, offset: 1 }), n.NLM4_GRANTED)
  first.server.abandon() // as if it had been killed
  await first.close()
  const second = await serve(memory.fs, {
    ...{ clientPortmapPort, life: { slot: 0 as Slot, incarnation: 2 as Incarnation } },
  })
  for (const each of [one, two]) {
    const { args } = await each.next('NOTIFY')
    assert.equal(args, { name: 'matrix', state: 4 * 64 + 1 })
    await each.close()
  }
  const other = await at(3, second.port, 'tcp')
  assert.is(await other.lock({ file }), n.NLM4_DENIED, 'no lock was lost')
  assert.is(await other.lock({ file, reclaim: true }), n.NLM4_DENIED, 'and nobody reclaims what is not its own')
  const again = await at(1, second.port, 'tcp')
  assert.is(await again.lock({ file, length: 1, reclaim: true }), n.NLM4_GRANTED)
  for (const each of [again, other]) await each.close()
  await second.close()
})

test.run()
