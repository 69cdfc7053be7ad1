/**
 * I/O of one node or of all, to one LUN or to all, takes long: up to about the I/O time-out, sometimes beyond it up to the longest life
 * of an I/O (then leases are lost although nobody did anything wrong); or only what is read, or one stream of writes, while the others
 * go on; and sometimes the node dies in the middle of it.
 */
import type { Fate } from './fate.ts'

export function slowLuns(fate: Fate): void {
  const { prng } = fate
  const { nodes, timings, world } = fate.matrix
  fate.again(500, 4000, () => {
    const whole = prng.chance(0.4)
    const node = prng.pick(nodes).name
    const chance = prng.pick([0.1, 0.5, 1])
    const mostMs = prng.pick([20, 150, timings.ioTimeoutMs - 1, timings.ioTimeoutMs - 1, timings.ioLifeMs])
    // one stream alone may be behind: what is durable of the one is then long before what is of the other
    const only = prng.pick([undefined, undefined, 'journal', 'journal', 'data', 'checkpoint', 'read'] as const)
    // whoever dies now leaves much that has not landed
    if (!whole && prng.chance(0.4))
      fate.after(prng.between(10, 500), () => fate.kill(nodes.find(({ name }) => name === node)))
    const which = fate.disks()
    fate.count(only ? 'slow LUN for one kind of I/O' : 'slow LUN')
    world.trace(
      `slow: ${which.map((disk) => disk.name)} for ${whole ? 'all' : node}, ${only ?? 'everything'} ${mostMs} ms`,
    )
    fate.hook(which, prng.between(100, 4000), ({ host, op, purpose }) => {
      if ((!whole && host !== node) || (only && (purpose ?? op) !== only) || !prng.chance(chance)) return undefined
      return { slowMs: mostMs * (0.5 + 0.5 * prng.float()) }
    })
  })
}
