/**
 * What goes wrong with reservations, where nodes have them: commands fail, executed or not; a target loses the registration of a session; a
 * preemption is answered and not done.
 */
import type { Fate } from './fate.ts'

export const reservationFaults: readonly string[] = [
  'reservation command fails',
  'registration lost',
  'preemption not done',
]

export function reservations(fate: Fate): void {
  const { prng, matrix } = fate
  if (!matrix.reserves) return
  const fails = prng.pick([0, 0.02, 0.1])
  fate.hook(matrix.allDisks, Number.MAX_SAFE_INTEGER, ({ op }) => {
    if (op !== 'reservation' || !prng.chance(fails)) return undefined
    fate.count('reservation command fails')
    return 'error'
  })
  const lies = prng.pick([0, 0, 0.3])
  const lie = (): boolean => {
    const lied = prng.chance(lies)
    if (lied) fate.count('preemption not done')
    return lied
  }
  for (const { reservations: disk } of matrix.allDisks) disk.lies = lie
  fate.during(Number.MAX_SAFE_INTEGER, () => {
    for (const { reservations: disk } of matrix.allDisks) disk.lies = () => false
  })
  fate.again(3000, 20_000, () => {
    const { host } = prng.pick(matrix.nodes)
    if (!host?.alive) return
    const way = prng.pick([host, ...host.threads])
    if (prng.pick(matrix.disks).reservations.forget(way)) fate.count('registration lost')
  })
}
