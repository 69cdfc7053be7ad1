/** `matrix report`: any answer of the admin API, as it is. */
import { Argument, Command } from 'commander'
import { type ReportPlace, reportPlaces } from '../../config/index.ts'
import { ask, type NodeOptions, withNode } from './ask-node.ts'
import { sayJson } from './table.ts'

const places = reportPlaces.map((place) => place.slice(1))

export function reportCommand(): Command {
  return withNode(new Command('report'))
    .description('what the admin API answers, as JSON: of the whole matrix, from any node')
    .addArgument(new Argument('<place>', 'what is asked for').choices(places))
    .addHelpText(
      'after',
      `
The answers' schemas are published by each node at /_admin/api/openapi.json (docs/admin.md).

Examples:
  matrix report matrix --config var/demo/n1.toml
  matrix report samples --node http://127.0.0.1:20190`,
    )
    .action(async (place: string, node: NodeOptions) => {
      const { report } = await ask(node, { command: 'report', place: `/${place}` as ReportPlace })
      sayJson(report)
    })
}
