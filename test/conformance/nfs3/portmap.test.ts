/** PMAP: the port mapper (RFC 1833), asked by our client and by the programs that people ask it with. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MOUNT_PROGRAM } from '../../../src/gateway-nfs/mount/tables.ts'
import * as p from '../../../src/gateway-nfs/portmap/tables.ts'
import { NFS_PROGRAM } from '../../../src/gateway-nfs/v3/constants.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'
import { decodeWhole, encodeWith, NfsClient } from '../../helpers/nfs-client.ts'
import { serve } from '../../helpers/nfs-served.ts'
import { runProgram } from '../../helpers/program.ts'
import { RpcDatagrams } from '../../helpers/rpc-datagrams.ts'

const served = await serve(new MemoryFs().fs, { portmap: { mode: 'own', port: 0 } })
const port = served.portmapPort as number
const datagrams = await RpcDatagrams.open(port)
const stream = await NfsClient.connect(port)
const PMAP = p.PORTMAP_PROGRAM

type Table = typeof p.portmapProcedures & typeof p.rpcbind4Procedures
async function ask<N extends keyof Table>(version: number, name: N, args: unknown) {
  const table = (version === 2 ? p.portmapProcedures : p.rpcbind4Procedures) as unknown as Table
  const { number, args: argsType, result } = table[name]
  const bytes = encodeWith(argsType as never, args as never)
  const byTcp = decodeWhole(name, await stream.rpc(PMAP, version, number, bytes), result as never)
  const byUdp = await datagrams.ask(PMAP, version, table[name] as never, args)
  return { byTcp, byUdp } as { byTcp: unknown; byUdp: unknown }
}
const both = async (version: number, name: keyof Table, args: unknown) => {
  const { byTcp, byUdp } = await ask(version, name, args)
  assert.equal(byTcp, byUdp, 'the same by TCP and UDP')
  return byTcp
}
const mapping = (program: number, version: number, protocol: number) => ({ program, version, protocol, port: 0 })
const binding = (program: number, version: number, netid: string, address = '') => ({
  ...{ program, version, netid, address, owner: '' },
})

test('PMAP1 GETPORT: NFS, MOUNT and the port mapper itself', async () => {
  assert.is(await both(2, 'GETPORT', mapping(NFS_PROGRAM, 3, p.IPPROTO_TCP)), served.port)
  assert.is(await both(2, 'GETPORT', mapping(NFS_PROGRAM, 3, p.IPPROTO_UDP)), 0, 'NFS by UDP is off')
  for (const protocol of [p.IPPROTO_TCP, p.IPPROTO_UDP]) {
    assert.is(await both(2, 'GETPORT', mapping(MOUNT_PROGRAM, 3, protocol)), served.port)
    assert.is(await both(2, 'GETPORT', mapping(PMAP, 2, protocol)), port)
  }
  assert.is(
    await both(2, 'GETPORT', mapping(MOUNT_PROGRAM, 1, p.IPPROTO_TCP)),
    served.port,
    'then MOUNT says: version 3',
  )
  assert.is(await both(2, 'GETPORT', mapping(100099, 1, p.IPPROTO_TCP)), 0)
  assert.is(await both(2, 'GETPORT', mapping(NFS_PROGRAM, 3, 132)), 0, 'SCTP')
})

test('PMAP2 DUMP lists each program once per transport', async () => {
  const list = (await both(2, 'DUMP', undefined)) as p.Mapping[]
  const keys = list.map((each) => `${each.program}.${each.version}.${each.protocol}`)
  assert.is(new Set(keys).size, keys.length)
  for (const key of ['100000.2.6', '100000.4.17', '100003.3.6', '100005.3.6', '100005.3.17'])
    assert.ok(keys.includes(key), key)
})

test('PMAP3 nobody registers anything, and nobody is called for others', async () => {
  const foreign = { program: 400_000, version: 1, protocol: p.IPPROTO_TCP, port: 4000 }
  assert.is(await both(2, 'SET', foreign), false)
  assert.is(await both(2, 'UNSET', mapping(NFS_PROGRAM, 3, 0)), false)
  assert.is(await both(4, 'SET', binding(400_000, 1, 'tcp', '127.0.0.1.1.1')), false)
  assert.is(await both(4, 'UNSET', binding(NFS_PROGRAM, 3, '')), false)
  assert.is(await both(2, 'GETPORT', mapping(400_000, 1, p.IPPROTO_TCP)), 0)
  for (const [version, procedure] of [
    [2, 5],
    [3, 5],
    [3, 7],
    [4, 5],
    [4, 10],
    [4, 12],
  ] as const) {
    const call = { program: PMAP, version, procedure, args: Buffer.alloc(64) }
    const reply = await datagrams.call(call)
    assert.is(reply?.kind === 'accepted' && reply.status, 3, `version ${version}, procedure ${procedure}`)
  }
})

test('PMAP4 rpcbind: universal addresses', async () => {
  const at = `127.0.0.1.${served.port >> 8}.${served.port & 255}`
  for (const version of [3, 4]) {
    assert.is(await both(version, 'GETADDR', binding(NFS_PROGRAM, 3, 'tcp')), at)
    assert.is(await both(version, 'GETADDR', binding(NFS_PROGRAM, 3, 'tcp6')), '', 'it is not bound to IPv6')
    assert.is(await both(version, 'GETADDR', binding(NFS_PROGRAM, 3, 'udp')), '')
    assert.is(await both(version, 'GETADDR', binding(MOUNT_PROGRAM, 3, 'udp', '10.1.1.1.0.111')), at)
    const list = (await both(version, 'DUMP', undefined)) as p.Binding[]
    assert.ok(list.some((each) => each.program === NFS_PROGRAM && each.netid === 'tcp' && each.address === at))
    const seconds = (await ask(version, 'GETTIME', undefined)).byTcp as number
    assert.ok(Math.abs(seconds - Date.now() / 1000) < 5)
  }
  assert.is(await both(4, 'GETVERSADDR', binding(MOUNT_PROGRAM, 1, 'tcp')), '', 'that version exactly')
  assert.equal(await both(4, 'GETADDRLIST', binding(NFS_PROGRAM, 3, '')), [
    { address: at, netid: 'tcp', semantics: 3, family: 'inet', protocol: 'tcp' },
  ])
})

// --- real programs, in a network namespace of their own with nothing in /run ---

const missing = await (async () => {
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  for (const [name, from] of [
    ['rpcinfo', 'rpcbind'],
    ['showmount', 'nfs-common'],
  ] as const) {
    if ((await runProgram('which', [name])).status !== 0) return `${name} is missing: apt-get install ${from}`
  }
  return undefined
})()
if (missing) process.stderr.write(`skipped: ${missing}\n`)
const withPrograms = missing ? test.skip : test
const alone = new URL('../../helpers/nfs-alone.ts', import.meta.url).pathname

/** Runs shell commands beside a server in a namespace; `$node` is its process. */
async function beside(mode: string, before: string, commands: string): Promise<string> {
  const script = `set -e; mount -t tmpfs none /run; ip link set lo up; ${before}
    exec 3> /run/log; ${process.execPath} ${alone} 127.0.0.1 2049 ${mode} >&3 2>&1 & node=$!
    for i in $(seq 200); do grep -q ^serves /run/log && break; kill -0 $node || break; sleep 0.1; done
    ${commands}
    kill $node 2>/dev/null || true; wait $node || true; cat /run/log`
  const { status, output } = await runProgram('unshare', [
    '--net',
    '--mount',
    '--fork',
    '--pid',
    '--kill-child',
    'sh',
    '-c',
    script,
  ])
  assert.is(status, 0, output)
  return output
}

withPrograms('PMAP5 rpcinfo and showmount ask us', async () => {
  const output = await beside(
    'auto',
    '',
    `rpcinfo -p 127.0.0.1; rpcinfo 127.0.0.1; showmount -e 127.0.0.1; showmount -a 127.0.0.1
     rpcinfo -T tcp 127.0.0.1 nfs 3; rpcinfo -T udp 127.0.0.1 mountd 3; rpcinfo -u 127.0.0.1 100000 2`,
  )
  assert.match(output, /100003 +3 +tcp +2049 +nfs/)
  assert.match(output, /100003 +3 +udp +2049 +nfs/)
  assert.match(output, /100005 +3 +udp +2049 +mountd/)
  assert.match(output, /100000 +4 +tcp +127\.0\.0\.1\.0\.111 +portmapper +matrixd/)
  assert.match(output, /\/home 127\.0\.0\.0\/8,10\.0\.0\.0\/8/)
  assert.match(output, /program 100003 version 3 ready and waiting/)
  assert.match(output, /program 100005 version 3 ready and waiting/)
  assert.match(output, /program 100000 version 2 ready and waiting/)
})

withPrograms('PMAP6 where rpcbind has the port, it is told, and told again at the end', async () => {
  const output = await beside('auto', 'rpcbind -w; ', 'rpcinfo -p; kill $node; wait $node; echo AFTER; rpcinfo -p')
  const [during, after] = output.split('AFTER') as [string, string]
  assert.match(during, /100003 +3 +tcp +2049 +nfs/)
  assert.match(during, /100005 +3 +udp +2049 +mountd/)
  assert.match(after, /100000 +2 +tcp +111/)
  assert.not.match(after, /100003 +3/)
  assert.match(after, /registered with rpcbind/)
})

withPrograms(
  'PMAP7 where neither can be, the log says what to do; a mode that is asked for is not given up',
  async () => {
    const taken = `${process.execPath} -e "require('net').createServer().listen(111,'0.0.0.0')" & sleep 1;`
    const output = await beside('auto', taken, 'true')
    assert.match(output, /no port mapper: clients have to name the ports/)
    assert.match(output, /^serves/m)
    assert.match(await beside('own', taken, '! kill -0 $node'), /cannot listen on 127\.0\.0\.1 port 111/)
    assert.match(await beside('rpcbind', '', '! kill -0 $node'), /no rpcbind listens at/)
  },
)

test.after(async () => {
  datagrams.close()
  await stream.close()
  await served.close()
})
test.run()
