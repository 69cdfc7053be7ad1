/**
 * Drills in a running demo with a SAN of its own (`matrix demo --san`): a cable of a node is pulled, and put back.
 *
 *   san  the target hears and says nothing any more to this node; what it had sent and was not executed never is
 *   net  the node's mesh is silent
 *
 * Both outlive the process of the node: one that halts and is started again finds its cable pulled still.
 */
import { cutNetwork, healNetwork } from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'
import { say } from '../table.ts'
import { askTarget } from '../target-command.ts'
import { openDemo, startDemoNode } from './demo-nodes.ts'
import { type DemoLayout, initiatorOf } from './layout.ts'
import { NodeProcess } from './node-process.ts'

export type Cable = 'san' | 'net'

/** `matrix demo cut`. Rejects with MatrixError when no demo with a SAN runs there, or the node is unknown. */
export async function cutDemoNode(dir: string, name: string, cable: Cable): Promise<void> {
  const layout = openSan(dir, name)
  if (cable === 'net') cutNetwork(layout.stateFolder(name))
  else await askSwitch(layout, { command: 'cut', initiator: initiatorOf(name), mode: 'silent' })
  const what = cable === 'net' ? 'from the network' : 'from the SAN'
  say(`${name} is cut off ${what}; put it back with: matrix demo heal ${name} --dir ${layout.dir}`)
}

/** `matrix demo heal`: both cables; a node that has ended meanwhile is started. Returns once it serves. */
export async function healDemoNode(dir: string, name: string): Promise<void> {
  const layout = openSan(dir, name)
  healNetwork(layout.stateFolder(name))
  await askSwitch(layout, { command: 'heal', initiator: initiatorOf(name) })
  say(`${name} has its cables back`)
  if (new NodeProcess(layout, name).running()) return
  // the demo itself starts again what has halted: whoever is second finds it running
  await startDemoNode(dir, name).catch((error: unknown) => {
    if (!(error instanceof MatrixError) || error.code !== 'in-use') throw error
  })
}

function openSan(dir: string, name: string): DemoLayout {
  const { layout, settings } = openDemo(dir, name)
  if (settings.san) return layout
  throw new MatrixError('config', `the demo in ${layout.dir} has no cables to pull; start it anew with --san`)
}

async function askSwitch(layout: DemoLayout, request: object): Promise<void> {
  await askTarget(layout.targetSocket, JSON.stringify(request))
}
