/**
 * Single nodes of a running demo, by commands of their own: the demo itself sees from run files and settings what they did.
 *
 * `add-node` writes the configuration of the new node, then the settings with one node more, then starts it. A crash before the
 * settings leaves a file that the next attempt replaces; after them, a node that does not run, and `start-node` starts it. The nodes
 * that run are told nothing: they find the new one by its lease sector.
 */
import { mkdirSync } from 'node:fs'
import { replaceFile } from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'
import { say } from '../table.ts'
import { runningDemo } from './demo-lock.ts'
import { DemoLayout, type DemoSettings, MAX_NODES, nodeConfigText, nodeNames } from './layout.ts'
import { writeMatrixFile } from './matrix-file.ts'
import { NodeProcess } from './node-process.ts'
import { checkPorts } from './ports.ts'

/** `matrix demo add-node`. Rejects with MatrixError when no demo runs there, it has all the nodes it can, or a port is taken. */
export async function addDemoNode(dir: string): Promise<void> {
  const { layout, settings } = openDemo(dir)
  const number = settings.nodes + 1
  if (number > MAX_NODES)
    throw new MatrixError(
      'exists',
      `the demo has ${MAX_NODES} nodes, and slots for no more; start-node starts one again`,
    )
  const larger = { ...settings, nodes: number }
  const name = `n${number}`
  await checkPorts(larger, number)
  if (larger.mount) mkdirSync(layout.mountFolder(name), { recursive: true })
  replaceFile(layout.configFile(name), nodeConfigText(larger, number))
  layout.shareAddedLuns(larger)
  layout.writeSettings(larger)
  await startDemoNode(dir, name)
}

/** `matrix demo start-node`. Rejects with MatrixError when no demo runs there, the node is unknown or runs already. */
export async function startDemoNode(dir: string, name: string): Promise<void> {
  const { layout, settings } = openDemo(dir, name)
  const node = new NodeProcess(layout, name)
  const run = node.running()
  if (run) throw new MatrixError('in-use', `${name} is running already (pid ${run.process.pid})`)
  const pid = node.start()
  say(`starting ${name} (pid ${pid})`)
  await node.ready()
  if (runningDemo(layout)?.state !== 'ready') {
    await node.stop()
    throw new MatrixError('not-found', `the demo in ${layout.dir} has ended meanwhile; ${name} was stopped again`)
  }
  node.release()
  const { nodes } = writeMatrixFile(layout, settings)
  say(`${name} serves: ${nodes.find((each) => each.name === name)?.http.url}`)
}

/** `matrix demo stop-node`. Rejects with MatrixError when no demo runs there, the node is unknown or does not run. */
export async function stopDemoNode(dir: string, name: string): Promise<void> {
  const { layout } = openDemo(dir, name)
  const how = await new NodeProcess(layout, name).stop()
  if (how === 'not running') throw new MatrixError('not-found', `${name} is not running`)
  say(how === 'stopped' ? `${name} has stopped` : `${name} did not stop in time and was killed`)
}

/** The demo that runs in `dir`; throws MatrixError when there is none, or it has no node `name`. */
export function openDemo(dir: string, name?: string): { layout: DemoLayout; settings: DemoSettings } {
  const layout = new DemoLayout(dir)
  const settings = layout.readSettings()
  if (!settings || runningDemo(layout)?.state !== 'ready') {
    throw new MatrixError('not-found', `no demo runs in ${layout.dir}; start it with: matrix demo --dir ${layout.dir}`)
  }
  const names = nodeNames(settings.nodes)
  if (name !== undefined && !names.includes(name))
    throw new MatrixError('not-found', `there is no node ${name}; this demo has ${names.join(', ')}`)
  return { layout, settings }
}
