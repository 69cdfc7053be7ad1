/**
 * Addresses by a program of the operator, for systems other than Linux and networks that want to be told otherwise:
 *
 *     SCRIPT add|remove|announce|deafen|has ADDRESS PREFIX INTERFACE [LIFE_SECONDS]
 *
 * Exit 0: it is so. `has` says no by 1; any verb that it does not know it may answer with 3, except add, remove and has.
 */
import { MatrixError } from '../../base/errors.ts'
import type { HostAddress, HostAddresses } from '../host-addresses.ts'
import type { Programs } from '../programs.ts'

const UNKNOWN_VERB = 3

export type ScriptAddressesOptions = {
  readonly programs: Programs
  /** Absolute. */
  readonly script: string
  /** It is killed after so long, ms. */
  readonly timeoutMs: number
}

export class ScriptAddresses implements HostAddresses {
  readonly lateMs = 1000
  readonly #options: ScriptAddressesOptions

  constructor(options: ScriptAddressesOptions) {
    this.#options = options
  }

  async add(address: HostAddress, lifeMs: number): Promise<void> {
    await this.#run('add', address, [0], `${Math.max(1, Math.floor(lifeMs / 1000))}`)
  }

  async remove(address: HostAddress): Promise<void> {
    await this.#run('remove', address, [0])
  }

  async deafen(address: HostAddress): Promise<void> {
    await this.#run('deafen', address, [0, UNKNOWN_VERB])
  }

  async announce(address: HostAddress): Promise<void> {
    await this.#run('announce', address, [0, UNKNOWN_VERB])
  }

  async has(address: HostAddress): Promise<boolean> {
    return (await this.#run('has', address, [0, 1])) === 0
  }

  /** Its exit code, one of `allowed`. */
  async #run(verb: string, of: HostAddress, allowed: readonly number[], ...more: readonly string[]): Promise<number> {
    const { programs, script, timeoutMs } = this.#options
    const args = [verb, of.address, `${of.prefix}`, of.interface, ...more]
    const { how, code, output } = await programs.run({ path: script, args, env: {}, timeoutMs })
    if (how === 'exited' && code !== undefined && allowed.includes(code)) return code
    const what = `${script} ${args.join(' ')}`
    if (how === 'timeout') throw new MatrixError('timeout', `${what} hung for ${timeoutMs} ms and was killed`)
    const said = output.filter((line) => line !== '').join('; ')
    throw new MatrixError('config', `${what}: ${how === 'exited' ? `exit ${code}` : how}${said && `: ${said}`}`)
  }
}
