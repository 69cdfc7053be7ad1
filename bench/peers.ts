/**
 * Servers to measure beside ours. `--peer` names one that runs already; MATRIXFS_PERF_LAB names a folder with a `peers.sh` that starts
 * nfs-ganesha on the same disk (`peers.sh start ganesha`, exporting `ext4/export` below $L on port 22049, MOUNT on 22050).
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseTarget, type Target } from './target.ts'

const LAB = 'MATRIXFS_PERF_LAB'
/** Where peers.sh keeps everything unless $L says otherwise. */
const LAB_DATA = process.env.L ?? '/tmp/perflab'

export type Peers = { readonly targets: readonly Target[]; stop(): void }

export function startPeers(named: readonly string[], say: (line: string) => void): Peers {
  const targets = named.map(parseTarget)
  const lab = process.env[LAB]
  if (lab === undefined) {
    if (targets.length === 0) {
      say(`no peer is measured: give --peer name=nfs://…, or ${LAB}=DIR with a peers.sh that starts nfs-ganesha`)
    }
    return { targets, stop() {} }
  }
  const script = join(lab, 'peers.sh')
  if (!existsSync(script)) throw new Error(`${LAB}=${lab}: there is no peers.sh in it`)
  const run = (verb: string) => spawnSync(script, [verb, 'ganesha'], { encoding: 'utf8' })
  const ranBefore = run('status').stdout.includes('ganesha up')
  const { status, stdout, stderr } = run('start')
  if (status !== 0) throw new Error(`${script} start ganesha failed: ${stdout}${stderr}`)
  const url = `nfs://127.0.0.1:22049${LAB_DATA}/ext4/export?mountport=22050#pidfile=${LAB_DATA}/run/ganesha.pid`
  return { targets: [...targets, parseTarget(`ganesha=${url}`)], stop: () => void (ranBefore || run('stop')) }
}
