/** `matrix export …`: what the running matrixd of this machine exports, and that it reads its exports again. */
import { Command } from 'commander'
import { ask, type NodeOptions, withConfig } from './ask-node.ts'
import { formatTable, say } from './table.ts'

export function exportCommand(): Command {
  return new Command('export')
    .description('what this node exports')
    .addCommand(withConfig(new Command('list')).description('list the exports that count now').action(list))
    .addCommand(
      withConfig(new Command('reload'))
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

async function list({ config }: NodeOptions): Promise<void> {
  show((await ask(config, { command: 'exports' })).exports ?? [])
}

async function reload({ config }: NodeOptions): Promise<void> {
  const { exports = [], restart = [] } = await ask(config, { command: 'reload-exports' })
  show(exports)
  if (restart.length > 0) say(`what has changed besides is used after a restart of matrixd: ${restart.join(', ')}`)
}

function show(exports: NonNullable<Awaited<ReturnType<typeof ask>>['exports']>): void {
  if (exports.length === 0) {
    say('nothing is exported')
    return
  }
  const rows = exports.map(({ path, filesystem, directory, clients, options }) => [
    path,
    directory === '/' ? filesystem : `${filesystem}:${directory}`,
    clients.join(' '),
    options,
  ])
  say(formatTable(['path', 'serves', 'clients', 'options'], rows))
}
