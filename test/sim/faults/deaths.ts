/** Processes die: one now and then, all at once with a power loss of the LUNs, or in the middle of a checkpoint, with the journal late. */
import type { FaultHook } from '../lun.ts'
import type { Fate } from './fate.ts'

export function deaths(fate: Fate): void {
  const { prng, matrix } = fate
  const chance = prng.pick([0.05, 0.35, 0.35])
  fate.again(50, 900, () => {
    const k = prng.float()
    if (k < chance) {
      fate.kill(prng.pick(matrix.nodes))
    } else if (k < chance + 0.03) {
      fate.count('power loss')
      matrix.powerLoss()
    }
  })
}

/** A node that begins to publish a checkpoint finds its journal slow, and dies. */
export function deathsAtCheckpoints(fate: Fate): void {
  const { prng } = fate
  const { disks, nodes, timings, world } = fate.matrix
  const chance = prng.pick([0.02, 0.1])
  const doomed = new Set<string>()
  const hook: FaultHook = ({ host, purpose }) => {
    if (purpose === 'journal' && doomed.has(host)) return { slowMs: timings.ioTimeoutMs * prng.float() }
    if (purpose !== 'checkpoint' || doomed.has(host) || !prng.chance(chance)) return undefined
    world.trace(`${host} is to die of a checkpoint`)
    doomed.add(host)
    fate.after(prng.between(1, 100), () => {
      doomed.delete(host)
      fate.count('death at a checkpoint')
      fate.kill(nodes.find(({ name }) => name === host))
    })
    return undefined
  }
  fate.hook(disks, Number.MAX_SAFE_INTEGER, hook)
}
