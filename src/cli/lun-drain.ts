/**
 * `matrix lun drain`: what a filesystem has on a LUN is moved to its other LUNs while it is in use, and the LUN is given up. The matrixd of this
 * machine does it a second at a time, for as long as it is asked: interrupting the command stops it, and asking again, at any
 * node, goes on. With `--stop` the LUN is written to again. And `matrix lun grow`: a LUN whose device has become larger is used whole.
 */
import { MatrixError } from '../base/errors.ts'
import { formatSize } from '../base/units.ts'
import type { LunRecord } from '../san/index.ts'
import { type AskNode, lunsOf, persist } from './lun-change.ts'

/** How much has to be gone before that is told. */
const TELL_SHARE = 0.05

/** Resolves once nothing is left there. Rejects with 'not-found', 'in-use' (its first LUN), 'no-space' (on the others), … */
export async function drainLun(name: string, ask: AskNode, tell: (line: string) => void): Promise<LunRecord> {
  const lun = await lunNamed(name, ask)
  let most = 0
  let told = Number.POSITIVE_INFINITY
  for (;;) {
    const { left } = await persist(() => ask({ command: 'drain-lun', uuid: lun.uuid }), tell)
    if (left === undefined) return lun
    most = Math.max(most, left)
    if (told - left < most * TELL_SHARE) continue
    told = left
    tell(`${formatSize(left)} are left on LUN ${name}`)
  }
}

/** Gives how many bytes are free there again. */
export async function stopDraining(name: string, ask: AskNode, tell: (line: string) => void): Promise<number> {
  const lun = await lunNamed(name, ask)
  return (await persist(() => ask({ command: 'refill-lun', uuid: lun.uuid }), tell)).bytes ?? 0
}

/** Uses the whole of a LUN that has become larger; gives how many bytes its filesystem has more. Rejects with 'lun-too-small', 'lun-refused', … */
export async function growLun(name: string, ask: AskNode, tell: (line: string) => void): Promise<number> {
  const lun = await lunNamed(name, ask)
  return (await persist(() => ask({ command: 'grow-lun', uuid: lun.uuid }), tell)).bytes ?? 0
}

async function lunNamed(name: string, ask: AskNode): Promise<LunRecord> {
  const { matrixName, luns } = await lunsOf(ask)
  const lun = luns.find((each) => each.name === name)
  if (lun) return lun
  throw new MatrixError(
    'not-found',
    `matrix ${matrixName} has no LUN ${name}; it has ${luns.map((each) => each.name).join(', ')}`,
  )
}
