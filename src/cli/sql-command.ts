/** `matrix sql`: one read-only query on the metadata image of one node. */
import { Command } from 'commander'
import { ask, type NodeOptions, withNode } from './ask-node.ts'
import { explain } from './lun-command.ts'
import { wholeNumber } from './option-values.ts'
import { formatTable, type JsonOption, printable, say, sayJson, withJson } from './table.ts'

type SqlOptions = NodeOptions & JsonOption & { readonly filesystem?: string; readonly rows?: number }

export function sqlCommand(): Command {
  return withJson(withNode(new Command('sql')))
    .description('ask the metadata of a filesystem, as one node has it, by SQL; nothing can be changed')
    .argument('<query>', 'one SELECT, WITH, VALUES or EXPLAIN')
    .option('--filesystem <name>', 'which one (default: the only one)')
    .option('--rows <n>', 'at most so many rows, 1…10000 (default: 1000)', wholeNumber({ min: 1, max: 10_000 }))
    .addHelpText(
      'after',
      `
Tables: inode, dirent, extent, free, freed, orphan, slot_state, setting, vector (docs/admin.md). Names are byte strings: utf8(name) shows one,
bytes('é') is what to compare one with, path(ino) is where an inode is found. A query that takes longer than 5 s is stopped.

Examples:
  matrix sql "select path(ino), size from inode order by size desc limit 10"
  matrix sql "select uid, count(*) files, sum(size) bytes from inode where type = 1 group by uid" --json
  matrix sql "select count(*) from inode" --node http://127.0.0.1:20190`,
    )
    .action(sql)
}

async function sql(query: string, { filesystem, rows: maxRows, json, ...node }: SqlOptions): Promise<void> {
  const { sql: answer } = await ask(node, { command: 'sql', sql: query, filesystem, maxRows })
  if (!answer) return
  if (json) return sayJson(answer)
  const { columns, rows, truncated } = answer
  say(
    formatTable(
      columns,
      rows.map((row) => row.map((cell) => (cell === null ? 'NULL' : printable(String(cell))))),
    ),
  )
  if (truncated) explain(`there are more than these ${rows.length} rows; --rows, or a LIMIT, says how many`)
}
