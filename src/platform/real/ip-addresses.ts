/**
 * Addresses of a Linux machine, by `ip` (iproute2), `arping` and `ndisc6`. An address is added with `valid_lft`: the kernel removes it by
 * itself when it is not renewed, at most a second late, whatever has become of this process. Programs are called and read with the
 * environment's language set to C; an address that is not there is told by listing, not by messages.
 *
 *     add       ip address replace ADDRESS/PREFIX dev IF valid_lft S preferred_lft S
 *     deafen    ip route del local ADDRESS dev IF table local     packets to it are no longer for this machine; those from it still leave
 *     remove    ip address del ADDRESS/PREFIX dev IF
 *     announce  arping -U -c 1 -I IF ADDRESS                      gratuitous ARP (RFC 5227 3)
 *
 * IPv6: the kernel itself tells all neighbours of a new address (an unsolicited advertisement, RFC 4861 7.2.6) where `ndisc_notify` is on and
 * `accept_dad` off. Elsewhere addresses are added with `nodad`, since waiting a second for a duplicate that cannot be would only hold up clients, and
 * `ndisc6` tells the router alone (a solicitation that carries the link-layer address, RFC 4861 7.2.3).
 */
import { MatrixError } from '../../base/errors.ts'
import type { HostAddress, HostAddresses } from '../host-addresses.ts'
import type { Log } from '../log.ts'
import type { ProgramEnd, Programs } from '../programs.ts'

/** `ip` asks the kernel and is done: one that takes longer hangs, ms. */
const IP_LIMIT_MS = 3_000
/** They wait a second for answers that nobody has to give. */
const ANNOUNCE_LIMIT_MS = 5_000
const OUTPUT_LINES = 400
/** Where programs of the system lie; matrixd may be started with less in its PATH. */
const FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/local/bin']

export type IpAddressesOptions = {
  readonly programs: Programs
  readonly log: Log
  /** Whether a file is there that may be run. */
  readonly isProgram: (path: string) => boolean
  /** A setting of the kernel, as text; undefined when there is none of this name. */
  readonly sysctl: (name: string) => string | undefined
}

export class IpAddresses implements HostAddresses {
  /** The kernel looks at life times once a second. */
  readonly lateMs = 1000
  readonly #options: IpAddressesOptions

  /** Throws MatrixError 'config' when `ip` is missing. */
  constructor(options: IpAddressesOptions) {
    this.#options = options
    if (this.#find('ip') === undefined)
      throw new MatrixError(
        'config',
        'virtual hosts need the program ip: apt-get install iproute2, or name an address script ([addresses] script)',
      )
    if (this.#find('arping') === undefined)
      options.log.warn(
        {},
        'arping is missing (apt-get install iputils-arping): clients may take minutes to find an address that has moved',
      )
  }

  async add(address: HostAddress, lifeMs: number): Promise<void> {
    const seconds = `${Math.max(1, Math.floor(lifeMs / 1000))}`
    await this.#ip(address, [
      ...['address', 'replace', withPrefix(address), 'dev', address.interface],
      ...(isIpv6(address) && !this.#kernelTells(address) ? ['nodad'] : []),
      ...['valid_lft', seconds, 'preferred_lft', seconds],
    ])
  }

  async remove(address: HostAddress): Promise<void> {
    if (!(await this.has(address))) return
    try {
      await this.#ip(address, ['address', 'del', withPrefix(address), 'dev', address.interface])
    } catch (error) {
      if (await this.has(address)) throw error // else its life was over in this moment
    }
  }

  async deafen(address: HostAddress): Promise<void> {
    await this.#ip(address, ['route', 'del', 'local', address.address, 'dev', address.interface, 'table', 'local'])
  }

  async announce(address: HostAddress, abort: AbortSignal): Promise<void> {
    const six = isIpv6(address)
    if (six && this.#kernelTells(address)) return
    const name = six ? 'ndisc6' : 'arping'
    const program = this.#find(name)
    if (program === undefined) {
      this.#options.log.debug({ address: address.address, missing: name }, 'the address is not announced')
      return
    }
    const args = six
      ? ['-1', '-q', '-r', '1', '-w', '500', '-s', address.address, await this.#neighbour(address), address.interface]
      : ['-U', '-c', '1', '-I', address.interface, address.address]
    const { how, code, output } = await this.#options.programs.run({
      ...{ path: program, args, env: { LC_ALL: 'C' }, timeoutMs: ANNOUNCE_LIMIT_MS, abort },
    })
    // nobody has to answer: for ndisc6 that is a failure
    if (how === 'aborted') return
    if (how !== 'exited' || (code !== 0 && !six))
      throw failed(program, { how, output, ...(code !== undefined && { code }) })
  }

  async has(address: HostAddress): Promise<boolean> {
    const { output } = await this.#ip(address, ['-oneline', 'address', 'show', 'dev', address.interface])
    // with whatever prefix: it is the address that may be there once
    const found = output.find((line) => line.includes(` ${address.address}/`))
    if (found?.includes('valid_lft forever'))
      throw new MatrixError(
        'in-use',
        `${address.address} is an address of this machine, for ever (ip address show dev ${address.interface}); a virtual host needs one that no machine has`,
      )
    return found !== undefined
  }

  #kernelTells({ interface: name }: HostAddress): boolean {
    const is = (key: string, value: string) => this.#options.sysctl(`net/ipv6/conf/${key}`) === value
    const skipsDad = is('all/accept_dad', '0') && is(`${name}/accept_dad`, '0')
    return skipsDad && (is('all/ndisc_notify', '1') || is(`${name}/ndisc_notify`, '1'))
  }

  /** Whoever answers the solicitation learns from it; the router is who forwards to all others. */
  async #neighbour(address: HostAddress): Promise<string> {
    const { output } = await this.#ip(address, ['route', 'show', 'default', 'dev', address.interface])
    return /via ([0-9a-f:]+)/.exec(output.join('\n'))?.[1] ?? address.address
  }

  async #ip(address: HostAddress, args: readonly string[]): Promise<ProgramEnd> {
    const path = this.#find('ip')
    if (path === undefined) throw new MatrixError('not-found', 'the program ip is gone: apt-get install iproute2')
    const all = [isIpv6(address) ? '-6' : '-4', ...args]
    const end = await this.#options.programs.run({
      ...{ path, args: all, env: { LC_ALL: 'C' }, timeoutMs: IP_LIMIT_MS, outputLines: OUTPUT_LINES },
    })
    if (end.how === 'exited' && end.code === 0) return end
    throw failed(`${path} ${all.join(' ')}`, end)
  }

  #find(name: string): string | undefined {
    return FOLDERS.map((folder) => `${folder}/${name}`).find(this.#options.isProgram)
  }
}

function failed(what: string, { how, code, output }: ProgramEnd): MatrixError {
  const said = output.filter((line) => line !== '').join('; ')
  if (how === 'timeout') return new MatrixError('timeout', `${what} hung and was killed`)
  const isMissing = /Cannot find device|does not exist/.test(said)
  return new MatrixError(isMissing ? 'not-found' : 'config', `${what}: ${said || `${how} ${code ?? ''}`.trim()}`)
}

function withPrefix({ address, prefix }: HostAddress): string {
  return `${address}/${prefix}`
}

function isIpv6({ address }: HostAddress): boolean {
  return address.includes(':')
}
