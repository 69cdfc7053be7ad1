/**
 * The network between two halves is cut, both ways or one way; all reach the LUNs and their clients. Either side may win, never both:
 * that is judged by the oracle (oracle.ts). After the cut is healed everybody is back.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Way } from '../namespaces.ts'
import type { Scenario } from '../scenario.ts'
import { measureTakeover } from '../takeover.ts'

/** How long the side that won goes on alone, and the other one tries to come back, ms. */
const ALONE_MS = 3000

/** Numbers of the nodes of each side, from 1. `oneWay`: the second side does not hear the first. */
export function cut(one: readonly number[], other: readonly number[], { oneWay = false } = {}): Scenario {
  const name = oneWay ? 'one-way cut' : 'cut'
  return {
    name: `${name} ${one.join('')} ${oneWay ? '→' : '/'} ${other.join('')}`,
    isolates: true,
    async play(scene, measured) {
      const { matrix } = scene
      const { network } = matrix
      const sides = [one.map((n) => matrix.numbered(n)), other.map((n) => matrix.numbered(n))] as const
      const fault = () => {
        if (oneWay) network.cutWays(one.flatMap((a) => other.map((b): Way => [a, b])))
        else network.cut(one, other)
      }
      try {
        await measureTakeover(scene, measured, { sides, lost: 'either', fault })
        await sleep(ALONE_MS)
      } finally {
        network.heal()
      }
    },
  }
}

/** Every way to split nodes 1 … `count` into two halves, as the numbers of the first, which has node 1. */
export function splits(count: number): readonly (readonly [number[], number[]])[] {
  const out: [number[], number[]][] = []
  for (let bits = 0; bits < 2 ** (count - 1) - 1; bits++) {
    const one = [1]
    const other: number[] = []
    for (let n = 2; n <= count; n++) (bits & (1 << (n - 2)) ? one : other).push(n)
    out.push([one, other])
  }
  return out
}
