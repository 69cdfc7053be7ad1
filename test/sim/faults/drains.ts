/**
 * A LUN of the filesystem is drained, in steps of any length and by one node after another, as `matrix lun drain` does when it is interrupted and
 * run elsewhere; or it is given up halfway, and the LUN is written to again. Whoever drains may die at any moment.
 */
import { isFsError, isMatrixError, type MatrixErrorCode } from '../../../src/base/errors.ts'
import type { NodeCore } from '../../../src/node/core.ts'
import { sleep } from '../../../src/platform/index.ts'
import { askAt } from './asking.ts'
import type { Fate } from './fate.ts'

/** Between two times of asking, ms. */
const AGAIN_MS = 20
/** For good, as far as this draining is concerned: another one has been faster, or there is no room. */
const ends: readonly MatrixErrorCode[] = ['not-found', 'no-space', 'in-use']

export function drains(fate: Fate): void {
  const { matrix } = fate
  let busy = false
  fate.again(300, 3000, () => {
    if (busy) return
    busy = true
    void drainOne(fate)
      .catch((error) => matrix.world.fail(error as Error))
      .finally(() => {
        busy = false
      })
  })
}

async function drainOne(fate: Fate): Promise<void> {
  const { prng, matrix, clock } = fate
  const { lunUse, world } = matrix
  const candidates = matrix.record.luns.slice(1).filter((uuid) => uuid !== null)
  if (candidates.length === 0) return
  const uuid = prng.pick(candidates)
  fate.count('LUN drained')
  const asked = matrix.writes.administrators.count
  const patience = prng.pick([1, 3, prng.between(5, 200)])
  for (let times = 0; times < patience; times++) {
    const node = prng.pick(matrix.nodes)
    const limitMs = prng.pick([0, 5, 50, 500])
    let isDone = false
    const step = async (core: NodeCore) => {
      isDone = (await core.lunVerbs.drainLun(uuid, limitMs)).done
    }
    const answer = await askAt(fate, node, step)
    if (isDone) {
      world.trace(`${uuid} is drained, ${node.name} says`)
      fate.tell('LUN drained: complete')
      return lunUse.drained(uuid, asked)
    }
    if (answer && isMatrixError(answer, ...ends)) {
      fate.tell(`LUN drained: ${answer.code}`)
      break
    }
    if (answer && !isMatrixError(answer) && !isFsError(answer)) throw answer
    await sleep(clock, AGAIN_MS)
  }
  if (prng.chance(0.5)) return
  fate.count('draining stopped')
  for (let times = prng.between(1, 50); times > 0; times--) {
    const answer = await askAt(fate, prng.pick(matrix.nodes), (core) => core.lunVerbs.refillLun(uuid))
    if (answer === undefined) fate.tell('draining stopped: complete')
    if (answer === undefined || isMatrixError(answer, ...ends)) return
    await sleep(clock, AGAIN_MS)
  }
}
