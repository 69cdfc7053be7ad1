/** `matrix waits`: what everybody in the matrix waits for. */
import { Command } from 'commander'
import { type Waits, waits as waitsAnswer } from '../admin/api/answers.ts'
import { type NodeOptions, report, withNode } from './ask-node.ts'
import { formatTable, type JsonOption, printable, sayResult, withJson } from './table.ts'

export function waitsCommand(): Command {
  return withJson(withNode(new Command('waits')))
    .description('what everybody in the matrix waits for, the longest first')
    .addHelpText(
      'after',
      `
Locks that another node holds, nodes that do not answer or are silent, recovery that is under way, LUNs that are not well.

Examples:
  matrix waits --config var/demo/n1.toml
  matrix waits --node http://127.0.0.1:20190 --json`,
    )
    .action(waits)
}

async function waits({ json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const answer = await report(node, '/waits', waitsAnswer)
  sayResult(json, answer.waits, describeWaits(answer))
}

export function describeWaits({ waits: all }: Waits): string {
  if (all.length === 0) return 'nobody waits'
  const rows = all.map(({ kind, what, forMs }) => [
    forMs === null ? '-' : `${(forMs / 1000).toFixed(1)} s`,
    kind,
    printable(what),
  ])
  return formatTable(['for', 'kind', 'what'], rows)
}
