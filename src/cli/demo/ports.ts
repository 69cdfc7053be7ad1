/** Tells before anything is started which of the demo's ports another program has. */
import { createServer } from 'node:net'
import { MatrixError } from '../../base/errors.ts'
import { type DemoSettings, HOST, nodeNames, portalPorts, portsOf, TARGET } from './layout.ts'

/** Ports of all nodes, or of those from number `first` on. Rejects with MatrixError 'in-use' that names every port which cannot be listened on, and the option that helps. */
export async function checkPorts(settings: DemoSettings, first = 1): Promise<void> {
  const wanted = nodeNames(settings.nodes)
    .map((name, index) => ({ name, ports: portsOf(settings.basePort, index + 1) }))
    .slice(first - 1)
    .flatMap(({ name, ports }) => Object.entries(ports).map(([service, port]) => ({ name, service, port })))
  if (settings.san && first === 1)
    for (const port of portalPorts(settings.basePort)) wanted.push({ name: TARGET, service: 'iSCSI', port })
  const taken: string[] = []
  for (const { name, service, port } of wanted) {
    const code = await tryListen(port)
    if (code)
      taken.push(`port ${port} (${service} of ${name}): ${code === 'EADDRINUSE' ? 'in use by another program' : code}`)
  }
  if (taken.length > 0) throw new MatrixError('in-use', `${taken.join('\n  ')}\n  choose other ports with --base-port`)
}

function tryListen(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen(port, HOST, () => server.close(() => resolve(undefined)))
  })
}
