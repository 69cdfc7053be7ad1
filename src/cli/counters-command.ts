/** `matrix counters`: what a running matrixd has counted since it started. */
import { Command } from 'commander'
import { ask, type NodeOptions, withNode } from './ask-node.ts'
import { formatTable, type JsonOption, sayResult, withJson } from './table.ts'

export function countersCommand(): Command {
  return withJson(withNode(new Command('counters')))
    .description('what a node has counted since it started')
    .addHelpText(
      'after',
      `
Membership: the view and its administrator. By filesystem: locks, with the time each step of a hand-over took; journal; caches. By LUN: operations and bytes by purpose, and whether it is up, slow,
failing or foreign. Calls by protocol. Times are sums of milliseconds.

Examples:
  matrix counters --config var/demo/n1.toml
  matrix counters --node http://127.0.0.1:20190 --json`,
    )
    .action(counters)
}

async function counters({ json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const { counters: counted = {} } = await ask(node, { command: 'counters' })
  sayResult(json, counted, formatTable(['counter', 'value'], rowsOf(counted)))
}

/** Whatever is nested, with the way to it as its name: `luns.lun1.journal.ops`. */
export function rowsOf(value: unknown, name = ''): string[][] {
  if (typeof value !== 'object' || value === null) return [[name, String(value)]]
  return Object.entries(value).flatMap(([key, inner]) => rowsOf(inner, name === '' ? key : `${name}.${key}`))
}
