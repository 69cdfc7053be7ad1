/** `matrix waits` and `matrix log`: what everybody in the matrix waits for, and what a node has warned of. */
import { Command } from 'commander'
import { logAnswer, type Waits, waits as waitsAnswer } from '../admin/api/answers.ts'
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

export function logCommand(): Command {
  return withJson(withNode(new Command('log')))
    .description('the last warnings and errors of a node, oldest first')
    .addHelpText(
      'after',
      `
The last two hundred since its start; all of them, and those of lower levels, are in its log on standard error.

Example:
  matrix log --node http://127.0.0.1:20290`,
    )
    .action(log)
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

async function log({ json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const answer = await report(node, '/log', logAnswer)
  const lines = answer.lines.map(
    ({ at, level, message, fields }) => `${new Date(at).toISOString()}  ${level.padEnd(5)}  ${message}  ${fields}`,
  )
  sayResult(json, answer, lines.join('\n') || `${answer.node} has warned of nothing`)
}
