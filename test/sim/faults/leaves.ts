/** Nodes leave in good order (as by SIGTERM), whatever else goes wrong meanwhile; whoever takes too long over it is killed, as by an impatient operator. */
import type { Fate } from './fate.ts'

/** So many leases long an operator waits. */
const PATIENCE_LEASES = 3

export function leaves(fate: Fate): void {
  const { prng, matrix } = fate
  fate.again(500, 6000, () => {
    const node = prng.pick(matrix.nodes)
    const { host, mount } = node
    if (!host || mount?.state !== 'serving') return
    const kill = (): void => {
      if (node.host === host) fate.kill(node)
    }
    matrix.world.trace(`${node.name} leaves`)
    void matrix.stop(node).then(() => fate.count('clean leave'), kill)
    fate.during(PATIENCE_LEASES * matrix.timings.leaseMs, kill)
  })
}
