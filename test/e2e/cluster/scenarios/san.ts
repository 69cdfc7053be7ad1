/**
 * A node is cut from the SAN: its I/O hangs, then fails, then passes again. The network is whole. What hung never lands (lun-mount.ts).
 * It ends by itself, or is fenced; while it hangs in a call it cannot be killed, so its lease is what protects the others.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultTimings } from '../../../../src/base/timings.ts'
import type { Mode } from '../lun-mount.ts'
import type { Scenario } from '../scenario.ts'
import { measureTakeover } from '../takeover.ts'

/** Until the lease of the node is surely over, ms. */
const CUT_MS = defaultTimings.observedDeadMs + 2000
/** How long I/O fails after the others have taken over, ms: the node is started again a few times meanwhile, in vain. */
const FAILING_MS = 4000

export function san(number: number, how: Exclude<Mode, 'pass'>): Scenario {
  return {
    name: `SAN cut: ${how === 'hang' ? 'hangs, then EIO' : 'EIO'}`,
    unkillable: true,
    isolates: true,
    async play(scene, measured) {
      const { matrix } = scene
      const victim = matrix.numbered(number)
      const others = matrix.nodes.filter((node) => node !== victim)
      try {
        await measureTakeover(scene, measured, {
          sides: [others, [victim]],
          lost: 'second',
          fault: () => matrix.san.set(victim.name, how),
          lastsMs: CUT_MS,
        })
        await matrix.san.set(victim.name, 'fail')
        await sleep(FAILING_MS)
      } finally {
        await matrix.san.set(victim.name, 'pass')
      }
    },
  }
}
