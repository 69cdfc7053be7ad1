/** A node is killed by SIGKILL under load, and started again once the others serve what it held. */
import type { Scenario } from '../scenario.ts'
import { measureTakeover } from '../takeover.ts'

/** `number`: of the node, from 1. */
export function kill(number: number): Scenario {
  return {
    name: 'kill -9',
    async play(scene, measured) {
      const victim = scene.matrix.numbered(number)
      const others = scene.matrix.nodes.filter((node) => node !== victim)
      victim.supervised = false // else it would be back before the others have noticed
      try {
        await measureTakeover(scene, measured, {
          sides: [others, [victim]],
          lost: 'second',
          fault: () => victim.signal('SIGKILL'),
        })
      } finally {
        victim.supervised = true
        if (!victim.life) victim.start()
      }
    },
  }
}
