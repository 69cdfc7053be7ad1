/**
 * A node's main thread stands still, or the whole process with the thread of its lease, from a moment to longer than its lease; or its
 * processor is slow: everything its main thread does takes milliseconds, and what comes meanwhile waits its turn.
 */
import type { SimHost } from '../world.ts'
import type { Fate } from './fate.ts'

export function pauses(fate: Fate): void {
  const { prng, matrix } = fate
  const paused = new Set<SimHost>()
  fate.again(200, 3000, () => {
    const { host } = prng.pick(matrix.nodes)
    if (!host?.alive || paused.has(host)) return
    const what = prng.pick(['thread', 'process'] as const)
    fate.count(`pause of a ${what}`)
    paused.add(host)
    host.pause(what)
    fate.during(fate.while(), () => {
      paused.delete(host)
      host.resume()
    })
  })
}

export function slowNodes(fate: Fate): void {
  const { prng, matrix } = fate
  fate.again(500, 5000, () => {
    const { host } = prng.pick(matrix.nodes)
    if (!host?.alive) return
    fate.count('slow node')
    host.slowDown(prng.pick([0.2, 1, 5, 20]))
    fate.during(prng.between(100, 3000), () => host.slowDown(0))
  })
}
