// time limit: 180 s
/**
 * The programs that people ask an NFS server with, at the nodes of a demo: rpcinfo, showmount, libnfs' tools, and the counters. In a network namespace, where port
 * 111 leads to the port mapper of the first node: these programs know no other.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { requireProgram, runProgram } from '../helpers/program.ts'
import { noFirewall } from './portal-firewall.ts'

const missing = noFirewall()
if (missing) process.stderr.write(`skipped: ${missing}\n`)
else
  for (const [program, from] of [
    ...[['rpcinfo', 'rpcbind'] as const, ['showmount', 'nfs-common'] as const],
    ...(['nfs-ls', 'nfs-cp', 'nfs-cat'] as const).map((name) => [name, 'libnfs-utils'] as const),
  ])
    requireProgram(program, from)

const cli = new URL('../../src/cli/main.ts', import.meta.url).pathname
const BASE = 26_000
const url = (node: number, path: string) =>
  `nfs://127.0.0.1/home${path}?version=3&nfsport=${BASE + 100 * node + 49}&mountport=${BASE + 100 * node + 49}`

/** What is asked, each under a title of its own in the output. */
const questions: Readonly<Record<string, string>> = {
  programs: 'rpcinfo -p 127.0.0.1',
  addresses: 'rpcinfo 127.0.0.1',
  nfs: 'rpcinfo -T tcp 127.0.0.1 nfs 3',
  mountd: 'rpcinfo -T udp 127.0.0.1 mountd 3',
  nlockmgr: 'rpcinfo -T tcp 127.0.0.1 nlockmgr 4',
  status: 'rpcinfo -T tcp 127.0.0.1 status 1',
  exports: 'showmount -e 127.0.0.1',
  copy: `nfs-cp /usr/bin/env '${url(1, '/env')}' && nfs-cp '${url(2, '/env')}' "$dir/env" && cmp /usr/bin/env "$dir/env" && echo same`,
  // libnfs asks the port mapper where NFS and MOUNT are
  found: "nfs-ls 'nfs://127.0.0.1/home?version=3'",
  mounts: 'showmount -a 127.0.0.1',
  counters: `"$node" ${cli} counters --node http://127.0.0.1:${BASE + 190} --json`,
}

async function answers(): Promise<Map<string, string>> {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-nfs-tools-'))
  const asked = Object.entries(questions).map(([title, command]) => `echo "== ${title}"; { ${command}; } 2>&1`)
  const script = `node=${process.execPath}; dir=${dir}; ip link set lo up
    nft 'add table ip t; add chain ip t o { type nat hook output priority -100; }; add rule ip t o tcp dport 111 redirect to :${BASE + 111}; add rule ip t o udp dport 111 redirect to :${BASE + 111}'
    "$node" ${cli} demo --nodes 2 --base-port ${BASE} --lun-size 256MiB --dir "$dir/demo" > "$dir/log" 2>&1 & demo=$!
    until grep -q '^matrix ready' "$dir/log"; do kill -0 $demo || { cat "$dir/log"; exit 1; }; sleep 0.1; done
    ${asked.join('\n')}
    kill -INT $demo; wait $demo; exit 0`
  try {
    const { status, output } = await runProgram('unshare', ['--net', '--fork', 'bash', '-c', script], {
      limitMs: 150_000,
    })
    assert.is(status, 0, output)
    return new Map(
      output.split(/^== /m).map((part) => [part.split('\n', 1)[0] as string, part.slice(part.indexOf('\n') + 1)]),
    )
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

if (!missing)
  test('rpcinfo, showmount, libnfs and the counters at the nodes of a demo', async () => {
    const said = await answers()
    const need = (title: string, pattern: RegExp) => assert.match(said.get(title) ?? '', pattern, title)
    for (const [number, version, protocol] of [
      ['100000', '2', 'udp'],
      ['100003', '3', 'tcp'],
      ['100005', '3', 'udp'],
      ['100021', '4', 'tcp'],
      ['100024', '1', 'tcp'],
    ])
      need('programs', new RegExp(`${number} +${version} +${protocol} +\\d+`))
    need('addresses', new RegExp(`100003 +3 +tcp +127\\.0\\.0\\.1\\.${(BASE + 149) >> 8}\\.${(BASE + 149) & 255} `))
    for (const title of ['nfs', 'mountd', 'nlockmgr', 'status']) need(title, /ready and waiting/)
    need('exports', /^\/home /m)
    need('copy', /same/)
    need('found', / env$/m)
    need('mounts', /127\.0\.0\.1:\/home/)
    const { nfs } = JSON.parse(said.get('counters') ?? '') as {
      nfs: { calls: Record<string, number>; mount: Record<string, number> }
    }
    assert.ok((nfs.calls.WRITE ?? 0) > 0 && (nfs.calls.READDIRPLUS ?? 0) > 0, JSON.stringify(nfs.calls))
    assert.ok((nfs.mount.MNT ?? 0) > 0 && (nfs.mount.EXPORT ?? 0) > 0, JSON.stringify(nfs.mount))
  })

test.run()
