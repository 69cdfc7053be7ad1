/**
 * Mounting and unmounting, as mount(8) and umount(8) do it for us in processes of their own. A mount of our own is never touched
 * synchronously: the event loop that would wait for the answer is the one that gives it. So what is mounted where is read
 * from /proc, and paths are looked at through the thread pool, with a time limit.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { endianness } from 'node:os'
import { isAbsolute } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MatrixError } from '../base/errors.ts'
import { MAX_TRANSFER } from './negotiate.ts'

/** As it is listed in /proc/mounts and by df. */
const TYPE = 'fuse.matrixfs'
/** A path that is not looked up by then hangs in a filesystem that does not answer, ms. */
const LOOK_LIMIT_MS = 5_000
/** Mounts on top of each other that are cleared at one place. */
const MAX_STACKED = 16
/** How long a busy mount is asked to go before it is taken out of the tree with its users still in it, ms. */
const BUSY_PATIENCE_MS = 2_000
const BUSY_POLL_MS = 100

export type MountEntry = { readonly directory: string; readonly type: string; readonly source: string }

/** What is mounted in this process's view. */
export function mountEntries(): readonly MountEntry[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'latin1'))
}

/** Of the text of /proc/self/mountinfo (proc(5)). */
export function parseMountInfo(text: string): readonly MountEntry[] {
  const entries: MountEntry[] = []
  for (const line of text.split('\n')) {
    const [front, back] = line.split(' - ')
    const directory = front?.split(' ')[4]
    const [type, source] = back?.split(' ') ?? []
    if (directory === undefined || type === undefined || source === undefined) continue
    entries.push({ directory: plain(directory), type: plain(type), source: plain(source) })
  }
  return entries
}

/** Space, tab, line feed and backslash are written as octal numbers there; names are UTF-8. */
function plain(escaped: string): string {
  const bytes = escaped.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/** Throws MatrixError when this process cannot mount anything. */
export function checkHost(): void {
  if (process.platform !== 'linux') throw new MatrixError('config', 'the local mount needs Linux')
  if (endianness() !== 'LE') throw new MatrixError('config', 'the local mount needs a little-endian processor')
  if (process.geteuid?.() !== 0) {
    throw new MatrixError('config', 'only root can mount: run matrixd as root, or leave [[mounts]] out')
  }
}

/**
 * Clears what a dead process left there, and makes sure that the directory can be mounted on. Returns its real path and how many
 * entries a mount would hide. Throws MatrixError.
 */
export async function prepareDirectory(directory: string): Promise<{ readonly path: string; readonly hidden: number }> {
  if (!isAbsolute(directory)) throw new MatrixError('config', `mount point ${directory}: an absolute path is needed`)
  for (let cleared = 0; ; cleared++) {
    const code = await look(directory)
    if (code === undefined) break
    if ((code !== 'ENOTCONN' && code !== 'ECONNABORTED') || cleared >= MAX_STACKED)
      throw new MatrixError('config', explainLook(directory, code))
    const { status, output } = await run('umount', ['-l', directory])
    if (status !== 0) throw new MatrixError('in-use', `a dead mount at ${directory} cannot be cleared: ${output}`)
  }
  const path = await limited(realpath(directory), directory)
  const [mounted] = mountEntries().filter((entry) => entry.directory === path)
  if (mounted) {
    throw new MatrixError(
      'in-use',
      `${path} is a mount point already (${mounted.source}, type ${mounted.type}); unmount that first, or choose another directory`,
    )
  }
  return { path, hidden: (await limited(readdir(path), path)).length }
}

/** Undefined when it is a directory; else the code of what is wrong. */
async function look(directory: string): Promise<string | undefined> {
  try {
    const found = await limited(stat(directory), directory)
    return found.isDirectory() ? undefined : 'ENOTDIR'
  } catch (error) {
    if (error instanceof MatrixError) throw error
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

function explainLook(directory: string, code: string): string {
  if (code === 'ENOENT') return `mount point ${directory} does not exist; make it with: mkdir -p ${directory}`
  if (code === 'ENOTDIR') return `mount point ${directory} is not a directory`
  return `mount point ${directory} cannot be looked at: ${code}`
}

async function limited<T>(action: Promise<T>, path: string): Promise<T> {
  const timer = new AbortController()
  const late = sleep(LOOK_LIMIT_MS, undefined, { signal: timer.signal, ref: false }).then(() => {
    throw new MatrixError(
      'timeout',
      `${path} does not answer within ${LOOK_LIMIT_MS / 1000} s: what is mounted there hangs`,
    )
  })
  late.catch(() => {})
  try {
    return await Promise.race([action, late])
  } finally {
    timer.abort()
  }
}

/** Mounts the device, whose descriptor the child inherits. Throws MatrixError. */
export async function mountDevice(fd: number, source: string, directory: string): Promise<void> {
  const options = [
    'fd=3',
    'rootmode=40000',
    'user_id=0',
    'group_id=0',
    'allow_other',
    'default_permissions',
    `max_read=${MAX_TRANSFER}`,
  ].join(',')
  const { status, output } = await run('mount', ['-i', '-t', TYPE, '-o', options, source, directory], fd)
  if (status === 0) return
  if (/unknown filesystem type/.test(output)) {
    throw new MatrixError('config', `the kernel has no FUSE ("modprobe fuse"): ${output}`)
  }
  const hint = /denied|not permitted/.test(output) ? ' (in a container: --cap-add SYS_ADMIN)' : ''
  throw new MatrixError('config', `${directory} could not be mounted${hint}: ${output}`)
}

/** Undefined when it is unmounted; else why not. */
export async function tryUnmount(directory: string): Promise<string | undefined> {
  const { status, output } = await run('umount', [directory])
  return status === 0 || /not mounted/.test(output) ? undefined : output
}

/** Unmounts; when programs keep using it, out of the tree at least, after what is written through shared mappings. */
export async function unmount(directory: string): Promise<'unmounted' | 'busy'> {
  for (let waited = 0; waited <= BUSY_PATIENCE_MS; waited += BUSY_POLL_MS) {
    if ((await tryUnmount(directory)) === undefined) return 'unmounted'
    await sleep(BUSY_POLL_MS)
  }
  await run('sync', ['-f', directory])
  await run('umount', ['-l', directory])
  return 'busy'
}

/** Takes away what a dead process left mounted there, without touching it. Does nothing when there is nothing of ours. */
export async function clearStaleMount(directory: string): Promise<boolean> {
  const ours = () => mountEntries().some((entry) => entry.directory === directory && entry.type === TYPE)
  const found = ours()
  for (let cleared = 0; ours() && cleared < MAX_STACKED; cleared++) await run('umount', ['-l', directory])
  return found
}

/** Runs a program of util-linux or coreutils; with `fd` as its descriptor 3. */
function run(program: string, args: readonly string[], fd?: number): Promise<{ status: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe', fd ?? 'ignore'] })
    let output = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'ENOENT' ? `${program} is missing: install the package util-linux` : cause.message
      reject(new MatrixError('not-found', why, { cause }))
    })
    child.on('close', (code) => resolve({ status: code ?? -1, output: output.trim().replaceAll('\n', ' ') }))
  })
}
