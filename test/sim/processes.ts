/** Simulated processes: each life of a host is a process; machines are told apart by their boot id. */
import { MatrixError } from '../../src/base/errors.ts'
import { sleep } from '../../src/platform/clock.ts'
import type { Processes, ProcessIdentity } from '../../src/platform/files.ts'
import type { SimHost } from './world.ts'

/** As the real ones: a process that is not gone by then hangs in the kernel. */
const KILL_LIMIT_MS = 5_000
const KILL_POLL_MS = 5

/** Who runs where, as the operating systems of all machines know it. */
export class SimProcessTable {
  readonly #hosts = new Map<string, SimHost>()
  #nextPid = 100

  /** All machines have lost power: of processes that were still hanging in a call, nothing is left. */
  powerLoss(): void {
    for (const host of this.#hosts.values()) host.forgetWrites()
  }

  /** Enters `host` as a new process of `machine`, and gives what that process sees of its machine. */
  add(host: SimHost, machine: string): Processes {
    const self: ProcessIdentity = { bootId: machine, pid: this.#nextPid++, startTime: Math.floor(host.world.now) }
    this.#hosts.set(`${machine}/${self.pid}`, host)
    const state = (identity: ProcessIdentity) => {
      if (identity.bootId !== machine) return 'elsewhere'
      return this.#hosts.get(`${machine}/${identity.pid}`)?.processGone === false ? 'running' : 'gone'
    }
    return {
      self: () => self,
      state,
      kill: async (identity) => {
        if (state(identity) === 'running') this.#hosts.get(`${machine}/${identity.pid}`)?.crash()
        for (let waited = 0; state(identity) === 'running'; waited += KILL_POLL_MS) {
          if (waited >= KILL_LIMIT_MS) throw new MatrixError('timeout', `process ${identity.pid} hangs in the kernel`)
          await sleep(host.clock, KILL_POLL_MS)
        }
      },
    }
  }
}
