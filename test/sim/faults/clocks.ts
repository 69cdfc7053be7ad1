/** Wall clocks step, forth and back, by up to a day. (That monotonic clocks run at different speeds holds for every seed: matrix.ts.) */
import type { Fate } from './fate.ts'

export function clockSteps(fate: Fate): void {
  const { prng, matrix } = fate
  fate.again(200, 4000, () => {
    const node = prng.pick(matrix.nodes)
    const byMs = prng.pick([100, 3_600_000, 86_400_000]) * (2 * prng.float() - 1)
    fate.count('clock step')
    node.machine.wallErrorMs += byMs
    matrix.world.trace(`the wall clock of ${node.name} steps by ${byMs} ms`)
  })
}
