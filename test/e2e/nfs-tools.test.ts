// time limit: 180 s
/**
 * What administrators look at an NFS server with, at a node of a demo that runs: rpcinfo, showmount, libnfs' tools without a port in their URLs, and the node's own
 * counters. All of it in a network namespace, where port 111 leads to the port mapper of a node, as it would with the standard ports.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { requireProgram, runProgram } from '../helpers/program.ts'

const cli = new URL('../../src/cli/main.ts', import.meta.url).pathname
const relay = join(import.meta.dirname, 'portmap-relay.py')
const BASE_PORT = 20_000

for (const [program, debianPackage] of [
  ['rpcinfo', 'rpcbind'],
  ['showmount', 'nfs-common'],
  ['nfs-ls', 'libnfs-utils'],
  ['python3', 'python3'],
] as const)
  requireProgram(program, debianPackage)

test('the tools of NFS clients find everything at a node, and its counters tell of them', async () => {
  if (process.getuid?.() !== 0) {
    process.stderr.write('skipped: network namespaces need root\n')
    return
  }
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-tools-'))
  const matrix = `${process.execPath} ${cli}`
  writeFileSync(join(dir, 'text'), 'by no port\n')
  const script = `set -e; cd ${dir}; mount -t tmpfs none /run; ip link set lo up
    ${matrix} demo --dir ${dir}/demo --nodes 2 --base-port ${BASE_PORT} --lun-size 128MiB >log 2>&1 & demo=$!
    trap 'kill -INT $demo; wait $demo; cat log' EXIT
    for i in $(seq 600); do grep -q '^matrix ready' log && break; kill -0 $demo; sleep 0.1; done
    python3 ${relay} ${BASE_PORT + 111} & relay=$!; sleep 1
    echo PORTS; rpcinfo -p 127.0.0.1; rpcinfo 127.0.0.1
    for transport in tcp udp; do rpcinfo -T $transport 127.0.0.1 mountd 3; rpcinfo -T $transport 127.0.0.1 nlockmgr 4; rpcinfo -T $transport 127.0.0.1 status 1; done
    rpcinfo -T tcp 127.0.0.1 nfs 3
    echo EXPORTS; showmount -e 127.0.0.1; showmount -a 127.0.0.1
    echo FILES; nfs-cp text 'nfs://127.0.0.1/home/text?version=3'; nfs-ls 'nfs://127.0.0.1/home?version=3'
    kill $relay; wait $relay || true; python3 ${relay} ${BASE_PORT + 211} & sleep 1
    nfs-cat 'nfs://127.0.0.1/home/text?version=3'
    echo COUNTERS; ${matrix} counters --config ${dir}/demo/n1.toml
    echo SECOND; ${matrix} counters --config ${dir}/demo/n2.toml
    echo END`
  try {
    const namespace = ['--net', '--mount', '--fork', '--pid', '--kill-child', 'bash', '-c', script]
    const { status, output } = await runProgram('unshare', namespace, { limitMs: 150_000 })
    assert.is(status, 0, output)
    const part = (from: string, to: string) => output.split(`${from}\n`)[1]?.split(`${to}\n`)[0] ?? ''
    const ports = part('PORTS', 'EXPORTS')
    for (const line of [
      /100000 +2 +tcp +111 +portmapper/,
      /100003 +3 +tcp +20149 +nfs/,
      /100005 +3 +tcp +20149 +mountd/,
      /100005 +3 +udp +20149 +mountd/,
      /100021 +4 +tcp +20149 +nlockmgr/,
      /100024 +1 +udp +20149 +status/,
      /100000 +4 +tcp +\S+ +portmapper +matrixd/,
      /program 100005 version 3 ready and waiting/,
      /program 100021 version 4 ready and waiting/,
      /program 100024 version 1 ready and waiting/,
      /program 100003 version 3 ready and waiting/,
    ])
      assert.match(ports, line)
    assert.match(part('EXPORTS', 'FILES'), /^\/home /m)
    assert.match(part('FILES', 'COUNTERS'), /\b11 text$/m)
    assert.match(part('FILES', 'COUNTERS'), /^by no port$/m)
    const { nfs } = JSON.parse(part('COUNTERS', 'SECOND'))
    assert.ok(nfs.calls.WRITE > 0 && nfs.calls.CREATE > 0 && nfs.calls.NULL > 0, JSON.stringify(nfs))
    assert.ok(nfs.mount.EXPORT > 0 && nfs.mount.DUMP > 0 && nfs.mount.MNT > 0, JSON.stringify(nfs.mount))
    assert.ok(nfs.nlm.NULL > 0 && nfs.nsm.NULL > 0, JSON.stringify(nfs))
    assert.ok(JSON.parse(part('SECOND', 'END')).nfs.calls.READ > 0)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

test.run()
