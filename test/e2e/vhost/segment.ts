/**
 * One Ethernet segment on this host: machines (network namespaces) on a bridge, so that addresses move between them as they do on a switch, by ARP.
 *
 *     PREFIX-hub: bridge br0 ──┬── PREFIX-n1       198.19.R.1
 *                              ├── …               198.19.R.k
 *                              ├── PREFIX-san      198.19.R.200   the iSCSI target
 *                              └── PREFIX-client   198.19.R.100
 *
 * Virtual hosts are at 198.19.R.50 and above. Nothing of it is reachable from the host, so the network's number may be any. What a killed run
 * leaves are namespaces of its prefix; the next run of the same prefix takes them away first.
 */
import { readdirSync } from 'node:fs'
import { attempt, command } from '../cluster/commands.ts'

const NAMESPACES = '/run/netns'

export class Segment {
  readonly #prefix: string
  readonly #third: number

  /** Needs root. */
  static create(prefix: string, nodes: number): Segment {
    const segment = new Segment(prefix)
    segment.remove()
    try {
      segment.#build(nodes)
    } catch (error) {
      segment.remove()
      throw error
    }
    return segment
  }

  private constructor(prefix: string) {
    this.#prefix = prefix
    this.#third = process.pid % 256
  }

  address(last: number): string {
    return `198.19.${this.#third}.${last}`
  }

  ipv6(last: number): string {
    return `fd19:${this.#third.toString(16)}::${last.toString(16)}`
  }

  get san(): string {
    return this.address(200)
  }

  get network(): string {
    return `198.19.${this.#third}.0/24`
  }

  get network6(): string {
    return `fd19:${this.#third.toString(16)}::/64`
  }

  /** Arguments before a command line that is to run on a machine: `n1`, …, `san`, `client`. The process stays the same one. */
  enter(machine: string): readonly [string, ...string[]] {
    return ['nsenter', `--net=${NAMESPACES}/${this.#prefix}-${machine}`]
  }

  /** What `ip` says on a machine. */
  ip(machine: string, ...args: string[]): string {
    return command('ip', '-n', `${this.#prefix}-${machine}`, ...args)
  }

  /** Runs a program on a machine to its end; gives its output. Throws when it fails. */
  run(machine: string, program: string, ...args: string[]): string {
    const [nsenter, ...before] = this.enter(machine)
    return command(nsenter, ...before, program, ...args)
  }

  /** Has the kernel of a machine tell its neighbours of new IPv6 addresses. */
  announceIpv6(machine: string): void {
    const set = ['all/accept_dad=0', 'eth0/accept_dad=0', 'eth0/ndisc_notify=1'].map((each) => each.split('='))
    for (const [key, value] of set) this.run(machine, 'sh', '-c', `echo ${value} > /proc/sys/net/ipv6/conf/${key}`)
  }

  /** Which of these machines bear an address. */
  bearers(address: string, machines: readonly string[]): string[] {
    return machines.filter((machine) => this.ip(machine, '-o', 'addr', 'show', 'dev', 'eth0').includes(` ${address}/`))
  }

  remove(): void {
    for (const name of namespaces()) if (name.startsWith(`${this.#prefix}-`)) attempt('ip', 'netns', 'del', name)
  }

  #build(nodes: number): void {
    const hub = `${this.#prefix}-hub`
    command('ip', 'netns', 'add', hub)
    command('ip', '-n', hub, 'link', 'add', 'br0', 'type', 'bridge')
    command('ip', '-n', hub, 'link', 'set', 'br0', 'up')
    for (let number = 1; number <= nodes; number++) this.#machine(`n${number}`, number)
    this.#machine('client', 100)
    this.#machine('san', 200)
  }

  #machine(name: string, last: number): void {
    const [hub, space] = [`${this.#prefix}-hub`, `${this.#prefix}-${name}`]
    command('ip', 'netns', 'add', space)
    command('ip', 'link', 'add', name, 'netns', hub, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space)
    command('ip', '-n', hub, 'link', 'set', name, 'master', 'br0')
    command('ip', '-n', hub, 'link', 'set', name, 'up')
    command('ip', '-n', space, 'link', 'set', 'lo', 'up')
    command('ip', '-n', space, 'link', 'set', 'eth0', 'up')
    command('ip', '-n', space, 'addr', 'add', `${this.address(last)}/24`, 'dev', 'eth0')
    command('ip', '-n', space, '-6', 'addr', 'add', `${this.ipv6(last)}/64`, 'dev', 'eth0', 'nodad')
  }
}

function namespaces(): string[] {
  try {
    return readdirSync(NAMESPACES)
  } catch {
    return []
  }
}
