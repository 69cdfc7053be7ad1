/**
 * I/O fails:
 *
 *   LUN read error, write error   of one node or of all, some of it or all, for a moment or until long after
 *   LUN read-only                 every write fails, of one node or of all
 *   LUN gone                      everything to it fails at once, for one node or for all
 *   path gone                     for one node: I/O to it hangs for its whole life, and then fails
 *
 * A write that fails may have landed wholly, in part or not at all.
 */
import type { SimFault } from '../lun.ts'
import type { Fate } from './fate.ts'

export function lunErrors(fate: Fate): void {
  const { prng } = fate
  const { nodes, timings, world } = fate.matrix
  fate.again(800, 6000, () => {
    const kind = prng.pick([
      'LUN read error',
      'LUN write error',
      'LUN write error',
      'LUN read-only',
      'LUN gone',
      'path gone',
    ] as const)
    const whole = kind !== 'path gone' && prng.chance(0.25)
    const node = prng.pick(nodes).name
    const chance = kind === 'LUN read error' || kind === 'LUN write error' ? prng.pick([0.02, 0.2, 1]) : 1
    const writes = kind === 'LUN write error' || kind === 'LUN read-only'
    const failing = kind === 'LUN read error' ? 'read' : writes ? 'write' : undefined
    const fault: SimFault = kind === 'path gone' ? { slowMs: timings.ioLifeMs, fails: true } : 'error'
    const which = fate.disks()
    fate.count(whole ? `${kind} for all` : kind)
    world.trace(`${kind}: ${which.map((disk) => disk.name)} for ${whole ? 'all' : node}, ${chance}`)
    fate.hook(which, fate.while(), ({ host, op }) => {
      const meant = (whole || host === node) && (!failing || op === failing || (failing === 'write' && op === 'flush'))
      return meant && prng.chance(chance) ? fault : undefined
    })
  })
}
