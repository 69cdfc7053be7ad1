/** `matrix status`: nodes, LUNs and filesystems as the LUNs tell of them; it works whether or not any node runs. */
import { Command } from 'commander'
import { formatSize } from '../base/units.ts'
import { describeFilesystems, describeNodes } from './lun-command.ts'
import { addLunOptions, type LunOptions, lunUrls } from './lun-options.ts'
import { OfflineMatrix } from './offline-matrix.ts'
import { describePending } from './pending-change.ts'
import { formatTable, say, sayJson } from './table.ts'

export function statusCommand(): Command {
  return addLunOptions(new Command('status'))
    .description('nodes, LUNs and filesystems of a matrix, read from its LUNs')
    .option('--json', 'for programs')
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
  matrix status --dir var/demo`,
    )
    .action(status)
}

async function status(options: LunOptions & { readonly json?: boolean }): Promise<void> {
  const matrix = await OfflineMatrix.open(lunUrls(options), { mayMiss: true })
  try {
    const database = await matrix.readDatabase()
    const nodes = await matrix.nodes()
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
  } finally {
    await matrix.close()
  }
}
