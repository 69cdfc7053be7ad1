/**
 * A node stands still (SIGSTOP) and goes on later as if nothing had happened. If it was taken over meanwhile, it ends by itself and comes
 * back as another life; if not, it goes on serving.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../../checker/clock.ts'
import type { Scenario } from '../scenario.ts'
import { measureTakeover } from '../takeover.ts'

export function stop(number: number, stoppedSeconds: number): Scenario {
  return {
    name: `SIGSTOP ${stoppedSeconds} s`,
    async play(scene, measured) {
      const { matrix } = scene
      const victim = matrix.numbered(number)
      const others = matrix.nodes.filter((node) => node !== victim)
      const { life } = victim
      const goOn = () => {
        if (victim.life === life) victim.signal('SIGCONT')
      }
      let timer: NodeJS.Timeout | undefined
      const fault = () => {
        victim.signal('SIGSTOP')
        timer = setTimeout(goOn, stoppedSeconds * 1000)
      }
      try {
        const { from } = await measureTakeover(scene, measured, { sides: [others, [victim]], lost: 'second', fault })
        await sleep(Math.max(0, from + stoppedSeconds * 1000 - now()))
      } finally {
        clearTimeout(timer)
        goOn()
      }
    },
  }
}
