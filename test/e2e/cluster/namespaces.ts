/**
 * The network of a cluster: every node in a network namespace of its own, joined by a further one that routes between them and
 * to the host, where the clients are.
 *
 *     host ── PREFIX-hub ──┬── PREFIX-1      198.18.R.2    node 1
 *     198.18.R.254         ├── PREFIX-2      198.18.R.6    node 2
 *                          └── …             198.18.R.4k-2 node k
 *
 * Links are pairs of virtual Ethernet devices, each a network of four addresses (198.18.0.0/15 is set aside for tests, RFC 2544).
 * Packets from one node to another are cut in the hub, silently and each way by itself, by a routing rule with action blackhole:
 * that needs neither a packet filter nor a queueing discipline of the kernel. Connections stay open and simply hear nothing, as
 * behind a switch that died. Clients on the host reach every node all the time.
 *
 * What a killed run leaves: namespaces and a link of its prefix. The next run of the same prefix takes them away first.
 */
import { readdirSync } from 'node:fs'
import { attempt, command } from './commands.ts'

const NAMESPACES = '/run/netns'
/** Names of links have 15 characters at most: prefix, number, a letter or two. */
const PREFIX = /^[a-z][a-z0-9]{1,8}$/

/** Ordered pair of node numbers (from 1): packets that way are lost. */
export type Way = readonly [from: number, to: number]

export class Network {
  readonly #prefix: string
  readonly #count: number
  readonly #third: number
  #cuts: Way[] = []

  /** Makes namespaces for nodes 1 … `count`. Needs root. */
  static create(prefix: string, count: number): Network {
    if (!PREFIX.test(prefix)) throw new Error(`"${prefix}" is no prefix for namespaces: ${PREFIX}`)
    removeNetwork(prefix)
    const network = new Network(prefix, count, freeThird())
    try {
      network.#build()
    } catch (error) {
      network.remove()
      throw error
    }
    return network
  }

  private constructor(prefix: string, count: number, third: number) {
    this.#prefix = prefix
    this.#count = count
    this.#third = third
  }

  /** The address of node `number` (from 1). */
  address(number: number): string {
    return `198.18.${this.#third}.${4 * number - 2}`
  }

  /** All addresses of this network, for access lists. */
  get addresses(): string {
    return `198.18.${this.#third}.0/24`
  }

  /** Arguments before a command line that is to run in the namespace of node `number`. The process stays the same one. */
  enter(number: number): readonly [string, ...string[]] {
    return ['nsenter', `--net=${NAMESPACES}/${this.#node(number)}`]
  }

  /** Nobody of `one` hears anybody of `other`, and the other way round. */
  cut(one: readonly number[], other: readonly number[]): void {
    this.cutWays(
      one.flatMap((a) =>
        other.flatMap((b): Way[] => [
          [a, b],
          [b, a],
        ]),
      ),
    )
  }

  /** Packets from the first to the second of each pair are lost. */
  cutWays(ways: readonly Way[]): void {
    for (const [from, to] of ways) this.#rule('add', from, to)
    this.#cuts.push(...ways)
  }

  heal(): void {
    for (const [from, to] of this.#cuts.splice(0)) this.#rule('del', from, to)
  }

  remove(): void {
    removeNetwork(this.#prefix)
  }

  #rule(verb: 'add' | 'del', from: number, to: number): void {
    command('ip', '-n', this.#hub, 'rule', verb, 'iif', `n${from}`, 'to', this.address(to), 'blackhole')
  }

  get #hub(): string {
    return `${this.#prefix}-hub`
  }

  #node(number: number): string {
    return `${this.#prefix}-${number}`
  }

  #build(): void {
    const hub = this.#hub
    const third = this.#third
    command('ip', 'netns', 'add', hub)
    command('ip', '-n', hub, 'link', 'set', 'lo', 'up')
    command('nsenter', `--net=${NAMESPACES}/${hub}`, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
    for (let number = 1; number <= this.#count; number++) {
      const node = this.#node(number)
      const gateway = `198.18.${third}.${4 * number - 3}`
      command('ip', 'netns', 'add', node)
      command('ip', '-n', node, 'link', 'set', 'lo', 'up')
      command('ip', 'link', 'add', `n${number}`, 'netns', hub, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', node)
      command('ip', '-n', hub, 'addr', 'add', `${gateway}/30`, 'dev', `n${number}`)
      command('ip', '-n', hub, 'link', 'set', `n${number}`, 'up')
      command('ip', '-n', node, 'addr', 'add', `${this.address(number)}/30`, 'dev', 'eth0')
      command('ip', '-n', node, 'link', 'set', 'eth0', 'up')
      command('ip', '-n', node, 'route', 'add', 'default', 'via', gateway)
    }
    const link = hostLink(this.#prefix)
    command('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'host', 'netns', hub)
    command('ip', 'addr', 'add', `198.18.${third}.254/30`, 'dev', link)
    command('ip', 'link', 'set', link, 'up')
    command('ip', '-n', hub, 'addr', 'add', `198.18.${third}.253/30`, 'dev', 'host')
    command('ip', '-n', hub, 'link', 'set', 'host', 'up')
    command('ip', 'route', 'add', `198.18.${third}.0/24`, 'via', `198.18.${third}.253`, 'dev', link)
  }
}

function hostLink(prefix: string): string {
  return `${prefix}-host`
}

/** Takes away everything of that prefix, also of a run that was killed. Processes in it live on without a network. */
export function removeNetwork(prefix: string): void {
  attempt('ip', 'link', 'del', hostLink(prefix))
  for (const name of namespaces()) if (name.startsWith(`${prefix}-`)) attempt('ip', 'netns', 'del', name)
}

function namespaces(): string[] {
  try {
    return readdirSync(NAMESPACES)
  } catch {
    return []
  }
}

/** A network of 198.18.0.0/16 that nothing on this host has a route to. */
function freeThird(): number {
  for (let tried = 0; tried < 256; tried++) {
    const third = (process.pid + tried) % 256
    const routes = command('ip', 'route', 'show', 'to', 'match', `198.18.${third}.1`)
    if (routes.split('\n').every((line) => line === '' || line.startsWith('default'))) return third
  }
  throw new Error('every network of 198.18.0.0/16 is in use on this host')
}
