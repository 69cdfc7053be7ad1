/** Something is asked of a node, as a command does; the node may die before it answers. */

import type { NodeCore } from '../../../src/node/core.ts'
import { sleep } from '../../../src/platform/index.ts'
import type { SimNode } from '../matrix.ts'
import type { Fate } from './fate.ts'

/** Undefined once it is complete; or why not. */
export async function askAt(
  { matrix, clock }: Fate,
  { host, core }: SimNode,
  ask: (core: NodeCore) => Promise<unknown>,
) {
  let answer: { readonly error?: Error } | undefined
  if (host?.alive && core && !core.halted) {
    host.enter(() => {
      ask(core).then(
        () => (answer = {}),
        (error) => (answer = { error }),
      )
    })
    while (answer === undefined && host.alive) await sleep(clock, 2)
  }
  return answer ? answer.error : matrix.gone()
}
