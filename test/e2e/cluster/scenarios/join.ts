/** A node leaves a running matrix (SIGTERM), and joins it again; clients of the others meet no error at all. */
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../../checker/clock.ts'
import type { Scenario } from '../scenario.ts'

const BETWEEN_MS = 2000

export function join(number: number): Scenario {
  return {
    name: 'leave and join',
    async play({ matrix, workload, say }) {
      const guest = matrix.numbered(number)
      const from = now()
      await guest.stop()
      const left = now()
      await sleep(BETWEEN_MS)
      guest.supervised = true
      guest.start()
      await guest.ready()
      await sleep(BETWEEN_MS)
      const others = workload.troubles.filter(({ node, time }) => node !== guest.name && time >= from)
      if (others.length > 0) {
        const some = others
          .slice(0, 5)
          .map(({ node, what, time }) => `${node} after ${Math.round(time - from)} ms: ${what}`)
        throw new Error(`${others.length} errors at clients of other nodes: ${some.join('; ')}`)
      }
      say(`  ${guest.name} left within ${Math.round(left - from)} ms; no client of another node met an error`)
    },
  }
}
