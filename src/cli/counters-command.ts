/** `matrix counters`: what the running matrixd of this machine has counted since it started. */
import { Command } from 'commander'
import { ask, type NodeOptions, withConfig } from './ask-node.ts'
import { sayJson } from './table.ts'

export function countersCommand(): Command {
  return withConfig(new Command('counters'))
    .description('what the matrixd of this machine has counted since it started, as JSON')
    .addHelpText(
      'after',
      `
Membership: the view and its administrator. By filesystem: locks, with the time each step of a hand-over took; journal; caches. By LUN: operations and bytes by purpose, and whether it is up, slow,
failing or foreign. Calls by protocol. Times are sums of milliseconds.

Example:
  matrix counters --config var/demo/n1.toml`,
    )
    .action(counters)
}

async function counters({ config }: NodeOptions): Promise<void> {
  sayJson((await ask(config, { command: 'counters' })).counters)
}
