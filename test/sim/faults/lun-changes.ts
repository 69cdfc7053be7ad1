/**
 * LUNs are added, made part of the filesystem, used whole when they have become larger, and removed: asked for at any node, and again until there is an answer, as `matrix lun add` does; or until whoever asks goes
 * away. Nodes lose their way to a LUN for a while, so that they refuse it; or their reads of it hang for longer than an I/O should. The
 * administrator dies at every step of it.
 */
import { isFsError, isMatrixError } from '../../../src/base/errors.ts'
import { unseal } from '../../../src/base/layout.ts'
import { SECTOR_SIZE } from '../../../src/base/limits.ts'
import { sleep } from '../../../src/platform/index.ts'
import type { LunWish } from '../../../src/recovery/index.ts'
import type { MembershipDatabase } from '../../../src/san/index.ts'
import { labelFormat } from '../../../src/san/label.ts'
import { LABEL_A_OFFSET } from '../../../src/san/lun-layout.ts'
import type { SimMatrix, SimNode } from '../matrix.ts'
import { askAt } from './asking.ts'
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
  if (prng.chance(0.25)) return growFilesystem(fate)
  if (prng.chance(0.15)) return growLun(fate)
  const disk = prng.pick(spares.disks)
  const lun = spares.record(disk)
  const kind = prng.pick(['add', 'add', 'remove'] as const)
  const wish: LunWish = kind === 'add' ? { kind, lun, hint: 'sim' } : { kind, uuid: lun.uuid }
  fate.count(`LUN ${kind === 'add' ? 'added' : 'removed'}`)
  const asked = matrix.writes.administrators.count
  const patience = prng.between(2, 40)
  for (let times = 0; times < patience; times++) {
    const node = prng.pick(matrix.nodes)
    const answer = await askAt(fate, node, (core) => core.lunVerbs.change(wish))
    if (isMatrixError(answer, 'in-use') && kind === 'remove' && spares.inFilesystem(disk, asked)) {
      fate.tell('LUN remove: in use')
      return
    }
    if (isMatrixError(answer, 'exists')) return // it has grown since
    if (answer === undefined || isMatrixError(answer, 'lun-refused')) {
      world.trace(`${kind} ${lun.name} by ${node.name}: ${answer ? answer.message : 'complete'}`)
      fate.tell(`LUN ${kind}: ${answer ? 'refused' : 'complete'}`)
      spares.told(disk, answer ? 'remove' : kind, asked, membersWith(matrix, node))
      return
    }
    if (!isMatrixError(answer, 'view-changed', 'peer-gone', 'timeout')) throw answer
    fate.tell(`LUN ${kind}: asked again`)
    await sleep(clock, AGAIN_MS)
  }
  fate.tell(`LUN ${kind}: given up`)
}

/** Those that are in the view of a node that was asked; it may have died since, and nobody is in no view with it. */
function membersWith(matrix: SimMatrix, asked: SimNode): readonly SimNode[] {
  const id = asked.core?.cluster.mesh.view?.id
  if (id === undefined) return []
  return matrix.nodes.filter(({ core, host }) => host?.alive && core?.cluster.mesh.view?.id === id)
}

/** The filesystem gets a spare LUN, whether or not the matrix has it. */
async function growFilesystem(fate: Fate): Promise<void> {
  const { prng, matrix, clock } = fate
  const { spares, world } = matrix
  const disk = prng.pick(spares.disks)
  const { uuid, name } = spares.record(disk)
  const { fsid } = matrix.record
  fate.count('filesystem grown')
  const asked = matrix.writes.administrators.count
  const patience = prng.between(2, 40)
  for (let times = 0; times < patience; times++) {
    const node = prng.pick(matrix.nodes)
    const answer = await askAt(fate, node, (core) => core.lunVerbs.growFilesystem(fsid, uuid))
    world.trace(`growing onto ${name} by ${node.name}: ${answer ? answer.message : 'complete'}`)
    if (answer === undefined) {
      fate.tell('filesystem grown: complete')
      return spares.grown(disk, asked, membersWith(matrix, node))
    }
    if (isMatrixError(answer, 'lun-refused', 'not-found')) {
      fate.tell(`filesystem grown: ${answer.code === 'not-found' ? 'no such LUN' : 'refused'}`)
      return
    }
    if (!isMatrixError(answer) && !isFsError(answer)) throw answer
    await sleep(clock, AGAIN_MS)
  }
}

/** A LUN of the matrix, that of the filesystem's journals among them, becomes larger. */
async function growLun(fate: Fate): Promise<void> {
  const { prng, matrix, clock } = fate
  const { luns = [] } = matrix.writes.administrators.newest ?? {}
  if (luns.length === 0) return
  const { uuid, name } = prng.pick(luns)
  const disk = matrix.diskOf(uuid)
  // whose copy A is damaged has copy B at the end of the device, or nobody finds it
  if (unseal(labelFormat, disk.peek(LABEL_A_OFFSET, SECTOR_SIZE)).kind !== 'ok') return
  // no whole number of groups, nor of sectors
  disk.size += prng.between(1, 5_000_000)
  fate.count('LUN grown')
  const asked = matrix.writes.administrators.count
  for (let times = prng.between(2, 40); times > 0; times--) {
    const node = prng.pick(matrix.nodes)
    const answer = await askAt(fate, node, (core) => core.lunVerbs.growLun(uuid))
    matrix.world.trace(`growing ${name} by ${node.name}: ${answer ? answer.message : 'complete'}`)
    if (answer === undefined) {
      fate.tell('LUN grown: complete')
      const isSo = matrix.writes.administrators
        .since(asked)
        .some((database) => database.luns.some((lun) => lun.uuid === uuid && lun.size > disk.size - 4096))
      if (!isSo) throw new Error(`${name} was told to be used whole; the database never said so`)
      return
    }
    if (isMatrixError(answer, 'lun-refused', 'not-found', 'lun-too-small')) {
      fate.tell(`LUN grown: ${answer.code}`)
      return
    }
    if (!isMatrixError(answer) && !isFsError(answer)) throw answer
    await sleep(clock, AGAIN_MS)
  }
}

/** What a filesystem is on, or a membership partition, cannot be removed. */
async function refuseFilesystems(fate: Fate): Promise<void> {
  const { prng, matrix } = fate
  const uuid = prng.pick(matrix.record.luns.filter((each) => each !== null))
  const { administrators } = matrix.writes
  const asked = administrators.count
  const answer = await askAt(fate, prng.pick(matrix.nodes), (core) => core.lunVerbs.change({ kind: 'remove', uuid }))
  if (!answer) {
    // it may have been drained to its end meanwhile
    const isGivenUp = ({ filesystems }: MembershipDatabase) => !filesystems.some(({ luns }) => luns.includes(uuid))
    if (administrators.since(asked).some(isGivenUp)) return
    throw new Error('a LUN of the filesystem was removed')
  }
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
