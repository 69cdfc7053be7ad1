/**
 * Processes of the host. On Linux a process is known by boot id, pid namespace, pid and start time (/proc), so neither a pid
 * that is used again nor one of another container is ever mistaken. Elsewhere the host's name stands for the boot: a pid
 * that does not exist there is gone, and of all others nothing is known.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { MatrixError } from '../../base/errors.ts'
import type { Processes, ProcessIdentity } from '../files.ts'

/** A killed process that is not gone by then hangs in the kernel: whoever asked must fence it by other means, ms. */
const KILL_LIMIT_MS = 5_000
const KILL_POLL_MS = 5

const linux = process.platform === 'linux'

/** State letter and start time of a process; undefined when there is none. */
function statOf(pid: number): { state: string; startTime: number } | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ESRCH') return undefined
    throw error
  }
  // the second field is the command in parentheses and may itself hold spaces and parentheses
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0], startTime: Number(fields[19]) }
}

function readSelf(): ProcessIdentity {
  if (!linux) return { bootId: hostname().slice(0, 64), pid: process.pid, startTime: 0 }
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
  // containers of one host share its boot id but not its pids: "pid:[4026531836]" tells them apart
  const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')
  return { bootId: `${boot}/${namespace}`, pid: process.pid, startTime: statOf(process.pid)!.startTime }
}

/**
 * True when all that is left is the entry in the process table. A leader that exited while other threads still run is a
 * zombie too (its I/O is not over), so every thread has to be dead.
 */
function isBuried(pid: number, state: string): boolean {
  if (state === 'X') return true
  if (state !== 'Z') return false
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1')
    const threads = Number(/^Threads:\s*(\d+)/m.exec(text)?.[1] ?? 1)
    return threads <= 1
  } catch {
    return true
  }
}

function pidExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

const self = readSelf()

function state(identity: ProcessIdentity): 'gone' | 'running' | 'elsewhere' {
  if (identity.bootId !== self.bootId) return 'elsewhere'
  if (!linux) {
    if (identity.pid === self.pid) return 'running'
    return pidExists(identity.pid) ? 'elsewhere' : 'gone'
  }
  const stat = statOf(identity.pid)
  // with hidepid a stranger's process has no entry in /proc, yet signal 0 finds it
  if (!stat) return pidExists(identity.pid) ? 'running' : 'gone'
  if (stat.startTime !== identity.startTime || isBuried(identity.pid, stat.state)) return 'gone'
  return 'running'
}

export const realProcesses: Processes = {
  self: () => self,
  state,
  async kill(identity) {
    for (let waited = 0; state(identity) !== 'gone'; waited += KILL_POLL_MS) {
      if (state(identity) === 'elsewhere') {
        throw new MatrixError('not-found', `process ${identity.pid} runs on another host, or is not known here`)
      }
      if (waited >= KILL_LIMIT_MS) {
        throw new MatrixError('timeout', `process ${identity.pid} is still there ${KILL_LIMIT_MS} ms after SIGKILL`)
      }
      if (waited === 0) sendKill(identity.pid)
      await sleep(KILL_POLL_MS)
    }
  },
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return
    throw new MatrixError('lun-io', `process ${pid} cannot be killed: ${(error as Error).message}`, { cause: error })
  }
}
