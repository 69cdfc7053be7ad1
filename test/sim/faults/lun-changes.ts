/**
 * LUNs are added and removed: asked for at any node, and again until there is an answer, as `matrix lun add` does; or until whoever asks goes
 * away. Nodes lose their way to a LUN for a while, so that they refuse it; or their reads of it hang for longer than an I/O should. The
 * administrator dies at every step of it.
 */
import { isMatrixError } from '../../../src/base/errors.ts'
import { sleep } from '../../../src/platform/index.ts'
import type { LunWish } from '../../../src/recovery/index.ts'
import type { SimNode } from '../matrix.ts'
import type { Fate } from './fate.ts'

const STEPS = ['decide', 'announce', 'undo', 'finish'] as const

export function lunChanges(fate: Fate): void {
  const { prng, matrix } = fate
  const { spares, nodes } = matrix
  let busy = false
  fate.again(100, 1500, () => {
    if (busy) return
    busy = true
    void changeOne(fate)
      .catch((error) => matrix.world.fail(error as Error))
      .finally(() => {
        busy = false
      })
    if (prng.chance(0.4)) dieAt(fate, prng.pick(STEPS))
  })
  fate.again(300, 3000, () => {
    fate.count('LUN not in reach of a node')
    fate.during(fate.while(), spares.cut(prng.pick(nodes), prng.pick(spares.disks)))
  })
  fate.again(500, 5000, () => {
    fate.count('LUN that hangs')
    const { name } = prng.pick(nodes)
    const slowMs = prng.between(1, 20) * matrix.timings.ioTimeoutMs
    // a write that did so would break the promise that all of the timings rest on
    fate.hook([prng.pick(spares.disks)], fate.while(), ({ host, op }) =>
      host === name && op === 'read' ? { slowMs, beyondLife: true } : undefined,
    )
  })
  fate.again(300, 3000, () => spares.configure(prng.pick(nodes), prng.pick(spares.disks), prng.chance(0.5)))
  fate.again(4, 10, () => {
    for (const node of nodes) spares.use(node, prng)
  })
}

/** Between two times of asking, ms. */
const AGAIN_MS = 50

async function changeOne(fate: Fate): Promise<void> {
  const { prng, matrix, clock } = fate
  const { spares, world } = matrix
  if (prng.chance(0.1)) return refuseFilesystems(fate)
  const disk = prng.pick(spares.disks)
  const lun = spares.record(disk)
  const kind = prng.pick(['add', 'add', 'remove'] as const)
  const wish: LunWish = kind === 'add' ? { kind, lun, hint: 'sim' } : { kind, uuid: lun.uuid }
  fate.count(`LUN ${kind === 'add' ? 'added' : 'removed'}`)
  const asked = matrix.writes.administrators.count
  const patience = prng.between(2, 40)
  for (let times = 0; times < patience; times++) {
    const node = prng.pick(matrix.nodes)
    const answer = await askAt(fate, node, wish)
    if (answer === undefined || isMatrixError(answer, 'lun-refused')) {
      world.trace(`${kind} ${lun.name} by ${node.name}: ${answer ? answer.message : 'complete'}`)
      fate.tell(`LUN ${kind}: ${answer ? 'refused' : 'complete'}`)
      const id = node.core?.cluster.mesh.view?.id
      // whoever was asked may have died since, and nobody is in no view with it
      const isMember = ({ core, host }: SimNode) => host?.alive && core?.cluster.mesh.view?.id === id
      const members = id === undefined ? [] : matrix.nodes.filter(isMember)
      spares.told(disk, answer ? 'remove' : kind, asked, members)
      return
    }
    if (!isMatrixError(answer, 'view-changed', 'peer-gone', 'timeout')) throw answer
    fate.tell(`LUN ${kind}: asked again`)
    await sleep(clock, AGAIN_MS)
  }
  fate.tell(`LUN ${kind}: given up`)
}

/** Undefined once it is complete; or why not. */
async function askAt({ matrix, clock }: Fate, { host, core }: SimNode, wish: LunWish) {
  let answer: { readonly error?: Error } | undefined
  if (host?.alive && core && !core.halted) {
    host.enter(() => {
      core.changeLuns(wish).then(
        () => (answer = {}),
        (error) => (answer = { error }),
      )
    })
    while (answer === undefined && host.alive) await sleep(clock, 2)
  }
  return answer ? answer.error : matrix.gone()
}

/** What a filesystem is on, or a membership partition, cannot be removed. */
async function refuseFilesystems(fate: Fate): Promise<void> {
  const { prng, matrix } = fate
  const answer = await askAt(fate, prng.pick(matrix.nodes), { kind: 'remove', uuid: prng.pick(matrix.record.luns) })
  if (!answer) throw new Error('a LUN of the filesystem was removed')
  if (isMatrixError(answer, 'in-use')) fate.tell('LUN remove: in use')
  else if (!isMatrixError(answer, 'view-changed', 'peer-gone', 'timeout')) throw answer
}

/** The administrator dies at this step, the next time that it does it soon. */
function dieAt(fate: Fate, step: (typeof STEPS)[number]): void {
  const { prng, matrix } = fate
  const until = matrix.world.now + 3 * matrix.timings.leaseMs
  const delayMs = prng.pick([0, prng.below(3), prng.below(matrix.timings.ioTimeoutMs)])
  const look = (): void => {
    const node = matrix.nodes.find(({ core, host }) => host?.alive && core?.lunChanges.step === step)
    if (node) fate.after(delayMs, () => fate.kill(node))
    else if (matrix.world.now < until) fate.after(0.3, look)
  }
  look()
}
