/** Simulated processes: each life of a host is a process; machines are told apart by their boot id. */
import type { Processes, ProcessIdentity } from '../../src/platform/files.ts'
import type { SimHost } from './world.ts'

/** Who runs where, as the operating systems of all machines know it. */
export class SimProcessTable {
  readonly #hosts = new Map<string, SimHost>()
  #nextPid = 100

  /** Enters `host` as a new process of `machine`, and gives what that process sees of its machine. */
  add(host: SimHost, machine: string): Processes {
    const self: ProcessIdentity = { bootId: machine, pid: this.#nextPid++, startTime: Math.floor(host.world.now) }
    this.#hosts.set(`${machine}/${self.pid}`, host)
    const state = (identity: ProcessIdentity) => {
      if (identity.bootId !== machine) return 'elsewhere'
      return this.#hosts.get(`${machine}/${identity.pid}`)?.alive ? 'running' : 'gone'
    }
    return {
      self: () => self,
      state,
      kill: async (identity) => {
        if (state(identity) === 'running') this.#hosts.get(`${machine}/${identity.pid}`)?.crash()
      },
    }
  }
}
