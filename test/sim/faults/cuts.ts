/**
 * The network between the nodes is cut, and the LUNs stay in reach: that is the dangerous half of a partition.
 *
 * Where the nodes have two networks, most cuts are of one of them.
 *
 *   partitions  groups of nodes cannot talk; one hears nobody, or is heard by nobody; two lack their connection in one direction or both
 *   swizzling   the links of a random set of nodes stop one by one, and go on one by one in another order: every state in between is
 *               somebody's view of who is there (FoundationDB's swizzle-clogging)
 */
import type { Fate } from './fate.ts'

type Cut = readonly [from: string, to: string]

export function partitions(fate: Fate): void {
  const { prng, matrix } = fate
  fate.again(300, 4000, () => {
    const names = matrix.nodes.map((node) => node.name)
    const one = prng.pick(names)
    const others = names.filter((name) => name !== one)
    const kind = prng.pick(['groups', 'groups', 'deaf', 'mute', 'pair', 'one way'] as const)
    const cuts = cutsOf(kind, names, one, others, fate)
    const network = matrix.networks > 1 && prng.chance(0.6) ? prng.below(matrix.networks) : undefined
    fate.count(network === undefined ? `partition, ${kind}` : 'partition of one network')
    for (const [from, to] of cuts) matrix.network.cutOneWay(from, to, network)
    fate.during(prng.pick([prng.between(20, 600), prng.between(600, 3000), prng.between(3000, 7000)]), () => {
      for (const [from, to] of cuts) matrix.network.healOneWay(from, to, network)
    })
  })
}

function cutsOf(
  kind: 'groups' | 'deaf' | 'mute' | 'pair' | 'one way',
  names: readonly string[],
  one: string,
  others: readonly string[],
  { prng }: Fate,
): readonly Cut[] {
  switch (kind) {
    case 'groups': {
      const group = new Map(names.map((name) => [name, prng.below(2)]))
      group.set(one, 0).set(others[0] as string, 1)
      return names.flatMap((a) => names.filter((b) => group.get(a) !== group.get(b)).map((b): Cut => [a, b]))
    }
    case 'deaf':
      return others.map((other): Cut => [other, one])
    case 'mute':
      return others.map((other): Cut => [one, other])
    case 'pair': {
      const other = prng.pick(others)
      return [
        [one, other],
        [other, one],
      ]
    }
    case 'one way':
      return [[one, prng.pick(others)]]
  }
}

function shuffled(links: readonly Cut[], { prng }: Fate): readonly Cut[] {
  const drawn = links.map((link) => ({ link, at: prng.float() }))
  return drawn.sort((a, b) => a.at - b.at).map(({ link }) => link)
}

export function swizzling(fate: Fate): void {
  const { prng, matrix } = fate
  const { network, nodes, timings } = matrix
  fate.again(2000, 9000, () => {
    const chosen = new Set(nodes.filter(() => prng.chance(0.5)).map(({ name }) => name))
    const links = nodes.flatMap(({ name: from }) =>
      nodes.filter(({ name }) => name !== from && chosen.has(from)).map(({ name: to }): Cut => [from, to]),
    )
    if (links.length === 0) return
    fate.count('swizzled links')
    const spreadMs = prng.pick([timings.heartbeatMs, timings.suspectMs, timings.leaseMs])
    const stopping = shuffled(links, fate)
    const going = shuffled(links, fate)
    stopping.forEach(([from, to], i) =>
      fate.after((spreadMs * i) / links.length, () => {
        network.cutOneWay(from, to)
        const until = spreadMs * (1 + going.findIndex(([f, t]) => f === from && t === to) / links.length)
        fate.during(until - (spreadMs * i) / links.length, () => network.healOneWay(from, to))
      }),
    )
  })
}
