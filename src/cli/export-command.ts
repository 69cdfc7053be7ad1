/** `matrix export …`: what the running matrixd of this machine exports, and that it reads its exports again. */
import { Command } from 'commander'
import type { ControlResult } from '../../config/index.ts'
import { ask, type NodeOptions, withNode } from './ask-node.ts'
import { formatTable, type JsonOption, say, sayResult, withJson } from './table.ts'

export function exportCommand(): Command {
  return new Command('export')
    .description('what this node exports')
    .addCommand(
      withJson(withNode(new Command('list')))
        .description('list the exports that count now')
        .addHelpText(
          'after',
          '\nExamples:\n  matrix export list --config /etc/matrixfs/matrixd.toml\n  matrix export list --node http://127.0.0.1:20190 --json',
        )
        .action(list),
    )
    .addCommand(
      withJson(withNode(new Command('reload')))
        .description('have the exports of the configuration file read again, without a restart')
        .addHelpText(
          'after',
          `
What is new is served at once, and what is gone is refused at once, also to clients that have it mounted. When anything in the file is
wrong, all stays as it was. SIGHUP to matrixd does the same.

Example:
  matrix export reload --config /etc/matrixfs/matrixd.toml`,
        )
        .action(reload),
    )
}

async function list({ json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const { exports = [] } = await ask(node, { command: 'exports' })
  sayResult(json, exports, describe(exports))
}

async function reload({ json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const { exports = [], restart = [] } = await ask(node, { command: 'reload-exports' })
  sayResult(json, { exports, restart }, describe(exports))
  if (json) return
  if (restart.length > 0) say(`what has changed besides is used after a restart of matrixd: ${restart.join(', ')}`)
}

function describe(exports: NonNullable<ControlResult['exports']>): string {
  if (exports.length === 0) return 'nothing is exported'
  const rows = exports.map(({ path, filesystem, directory, clients, options }) => [
    path,
    directory === '/' ? filesystem : `${filesystem}:${directory}`,
    clients.join(' '),
    options,
  ])
  return formatTable(['path', 'serves', 'clients', 'options'], rows)
}
