/** Programs of the host that the cluster test runs, and whether it can run here at all. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'

/** Runs a program to its end; gives its standard output. Throws with what it said when it fails. */
export function command(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  if (error) throw new Error(`${program}: ${error.message}`)
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr.trim() || `exit ${status}`}`)
  return stdout
}

/** The same, when it does not matter whether it fails: what is to be taken away may be gone. */
export function attempt(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0
}

/** What this machine lacks for the cluster test, each with how to get it; empty when nothing. */
export function missing(): string[] {
  if (process.platform !== 'linux') return ['Linux: network namespaces and FUSE are its own']
  const out: string[] = []
  const hasIp = spawnSync('ip', ['-V'], { stdio: 'ignore' }).status === 0
  if (!hasIp) out.push('the program ip: apt-get install iproute2')
  if (spawnSync('nsenter', ['--version'], { stdio: 'ignore' }).status !== 0)
    out.push('the program nsenter: apt-get install util-linux')
  if (process.geteuid?.() !== 0) out.push('root, for network namespaces and mounts: run it with sudo')
  else if (hasIp && !namespacesWork()) out.push('network namespaces: in a container, --cap-add SYS_ADMIN and NET_ADMIN')
  if (!existsSync('/dev/fuse')) out.push('/dev/fuse: modprobe fuse; in a container, --device /dev/fuse')
  else if (process.geteuid?.() === 0 && !isWritable('/dev/fuse')) out.push('/dev/fuse may not be opened')
  return out
}

function namespacesWork(): boolean {
  const name = `mfs-try-${process.pid}`
  const made = attempt('ip', 'netns', 'add', name) && attempt('ip', '-n', name, 'rule', 'show')
  attempt('ip', 'netns', 'del', name)
  return made
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}
