/**
 * Drills in a running demo with a SAN of its own (`matrix demo --san`): a cable of a node is pulled, and put back.
 *
 *   san  the target hears and says nothing any more to this node; what it had sent and was not executed never is
 *   net  the node's mesh is silent
 *
 * Both outlive the process of the node: one that halts and is started again finds its cable pulled still.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { cutNetwork, healNetwork } from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'
import { say } from '../table.ts'
import { askTarget } from '../target-command.ts'
import { openDemo, startDemoNode } from './demo-nodes.ts'
import { type DemoLayout, initiatorOf } from './layout.ts'
import { NodeProcess, READY_LIMIT_MS } from './node-process.ts'

/** The demo has started by then what has halted, ms. */
const RESTART_MS = 2000
const POLL_MS = 100

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
  const node = new NodeProcess(layout, name)
  // the demo itself starts again what has halted; what has ended otherwise nobody does
  for (let waited = 0; !node.running() && waited < RESTART_MS; waited += POLL_MS) await sleep(POLL_MS)
  if (!node.running()) return startDemoNode(dir, name)
  const deadline = performance.now() + READY_LIMIT_MS
  while (node.running()?.state !== 'ready') {
    if (performance.now() > deadline)
      throw new MatrixError('timeout', `${name} does not serve; its log: ${layout.logFile(name)}`)
    await sleep(POLL_MS)
  }
  say(`${name} serves`)
}

function openSan(dir: string, name: string): DemoLayout {
  const { layout, settings } = openDemo(dir, name)
  if (settings.san) return layout
  throw new MatrixError('config', `the demo in ${layout.dir} has no cables to pull; start it anew with --san`)
}

async function askSwitch(layout: DemoLayout, request: object): Promise<void> {
  await askTarget(layout.targetSocket, JSON.stringify(request))
}
