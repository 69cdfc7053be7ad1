/** `matrix vhost`: virtual hosts, as the running matrixd of this machine has them from all members. */
import { Command } from 'commander'
import type { ControlAnswer } from '../../config/index.ts'
import { ask, type NodeOptions, withConfig } from './ask-node.ts'
import { persist } from './lun-change.ts'
import { formatTable, say, sayJson } from './table.ts'

export type VirtualHostSights = NonNullable<Extract<ControlAnswer, { ok: true }>['virtualHosts']>

export function vhostCommand(): Command {
  return new Command('vhost')
    .description('virtual hosts: addresses that move between the nodes of a matrix')
    .addCommand(
      withConfig(new Command('list'))
        .description('where each is, and how well the nodes are that may bear it')
        .option('--json', 'for programs')
        .addHelpText('after', '\nExample:\n  matrix vhost list --config /etc/matrixfs/matrixd.toml')
        .action(async ({ config, json }: NodeOptions & { readonly json?: boolean }) => {
          const { virtualHosts = [] } = await ask(config, { command: 'virtual-hosts' })
          if (json) sayJson(virtualHosts)
          else say(describeVirtualHosts(virtualHosts))
        }),
    )
    .addCommand(
      withConfig(new Command('move'))
        .argument('<name>', 'the virtual host')
        .argument('<node>', 'one of its nodes')
        .description('move one to another of its nodes; clients notice a pause of about a second, and no error')
        .option('--json', 'for programs')
        .addHelpText(
          'after',
          `
It stays there until that node fails, stops or is less well than another, even with policy AUTOFAILBACK. Moved to the first of its
nodes it is where its policy would have it.

Example:
  matrix vhost move files n2 --config /etc/matrixfs/matrixd.toml`,
        )
        .action(async (name: string, node: string, { config, json }: NodeOptions & { readonly json?: boolean }) => {
          const began = performance.now()
          const tell = (line: string) => process.stderr.write(`${line}\n`)
          await persist(() => ask(config, { command: 'move-virtual-host', name, node }), tell)
          const ms = Math.round(performance.now() - began)
          if (json) sayJson({ name, node, ms })
          else say(`${name} is at ${node} (${ms} ms)`)
        }),
    )
}

export function describeVirtualHosts(sights: VirtualHostSights): string {
  if (sights.length === 0) return 'no virtual host is configured'
  const rows = sights.flatMap(({ name, address, prefix, node, byHand, policy, nodes }) =>
    nodes.map((each, index) => [
      ...(index === 0
        ? [name, `${address}/${prefix}`, `${node ?? 'nowhere'}${byHand ? ' (by hand)' : ''}`, policy]
        : ['', '', '', '']),
      each.name,
      each.state,
    ]),
  )
  return formatTable(['virtual host', 'address', 'at', 'policy', 'node', 'how it is'], rows)
}
