/**
 * What goes wrong with virtual hosts, and what is done with them: programs that change addresses fail, executed or not; the service of a node fails or
 * hangs; people move hosts at any moment.
 */
import { isMatrixError } from '../../../src/base/errors.ts'
import type { Fate } from './fate.ts'

export const virtualHostFaults: readonly string[] = [
  'address program fails',
  'service down',
  'service hangs',
  'virtual host moved by hand',
]

export function virtualHosts(fate: Fate): void {
  const { prng, matrix } = fate
  const { addresses } = matrix
  if (!addresses) return
  const toggle = (set: Set<string>, kind: string | undefined): void => {
    const { name } = prng.pick(matrix.nodes)
    if (set.has(name)) return
    if (kind !== undefined) fate.count(kind)
    set.add(name)
    fate.during(fate.while(), () => set.delete(name))
  }
  if (prng.chance(0.5)) fate.again(1000, 8000, () => toggle(addresses.failing, undefined))
  if (prng.chance(0.5)) fate.again(1000, 8000, () => toggle(addresses.down, 'service down'))
  if (prng.chance(0.3)) fate.again(1000, 8000, () => toggle(addresses.hanging, 'service hangs'))
  fate.again(500, 5000, () => {
    const asked = prng.pick(matrix.nodes)
    const host = prng.pick(addresses.hosts)
    const to = prng.pick(host.nodes)
    if (!asked.mount || !asked.core?.virtualHosts) return
    addresses.moved.add(host.name)
    asked.core.virtualHosts.move(host.name, to).then(
      () => fate.count('virtual host moved by hand'),
      (error) => {
        if (!isMatrixError(error)) matrix.world.fail(error as Error)
      },
    )
  })
}
