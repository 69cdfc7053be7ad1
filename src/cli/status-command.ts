/** `matrix status`: nodes, LUNs and filesystems as the LUNs tell of them; it works whether or not any node runs. */
import { Command } from 'commander'
import { loadConfig } from '../../config/index.ts'
import { formatSize } from '../base/units.ts'
import { ask, type NodeOptions, withPlane } from './ask-node.ts'
import { describeFilesystems, describeNodes } from './lun-command.ts'
import { addLunOptions, type LunOptions, lunUrls } from './lun-options.ts'
import { OfflineMatrix } from './offline-matrix.ts'
import { describePending } from './pending-change.ts'
import { asksNode, describeRunning, runningStatus } from './running-matrix.ts'
import { formatTable, type JsonOption, say, sayJson, sayResult, withJson } from './table.ts'
import { describeVirtualHosts, type VirtualHostSights } from './vhost-command.ts'

export function statusCommand(): Command {
  return withJson(withPlane(addLunOptions(new Command('status'))))
    .description(
      'nodes, LUNs and filesystems of a matrix, read from its LUNs; with --config its virtual hosts, too; with --node as a running node has them',
    )
    .addHelpText(
      'after',
      `
States of a node:
  running, joining   its process is there, or its lease moves
  down               left cleanly
  died               its process is gone, or its lease stood still long enough
  silent             on another host, and its lease stood still while we looked

Examples:
  matrix status --config /etc/matrixfs/matrixd.toml
  matrix status --dir var/demo
  matrix status --node https://n1:20190 --user ann --password-file ~/.matrix-password --ca ca.pem`,
    )
    .action(status)
}

async function status(options: LunOptions & NodeOptions & JsonOption): Promise<void> {
  if (asksNode(options)) {
    const running = await runningStatus(options)
    return sayResult(options.json, running, describeRunning(running))
  }
  const matrix = await OfflineMatrix.open(lunUrls(options), { mayMiss: true })
  try {
    const database = await matrix.readDatabase()
    const nodes = await matrix.nodes()
    const virtualHosts = await virtualHostsOf(options.config)
    const { matrixName, matrixUuid, generation } = database
    if (options.json)
      return sayJson({
        matrixName,
        matrixUuid,
        generation,
        nodes,
        luns: database.luns,
        pending: database.pending,
        filesystems: database.filesystems,
        ...(virtualHosts && { virtualHosts }),
      })
    const rows = database.luns.map(({ uuid, name, size }) => {
      const found = matrix.luns.find(({ label }) => label.lunUuid === uuid)
      const notes = found?.damaged.length ? `label copy ${found.damaged.join(', ')} is damaged` : ''
      return [name, formatSize(size), found ? found.url : 'not among the LUNs given', notes]
    })
    say(`matrix ${matrixName}, SAN generation ${generation}\n`)
    say(`${describeNodes(nodes)}\n`)
    say(`${formatTable(['LUN', 'size', 'where', ''], rows)}\n`)
    if (database.pending) say(`${describePending(database.pending)}\n`)
    say(describeFilesystems(database))
    if (virtualHosts) say(`\n${typeof virtualHosts === 'string' ? virtualHosts : describeVirtualHosts(virtualHosts)}`)
  } finally {
    await matrix.close()
  }
}

/** As the matrixd of that configuration has them from all members, or why it does not say; undefined when none is configured. */
async function virtualHostsOf(config: string | undefined): Promise<VirtualHostSights | string | undefined> {
  if (config === undefined || loadConfig(config).virtualHosts.length === 0) return undefined
  try {
    return (await ask({ config }, { command: 'virtual-hosts' })).virtualHosts
  } catch (error) {
    return `virtual hosts: ${error instanceof Error ? error.message : String(error)}`
  }
}
