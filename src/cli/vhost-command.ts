/** `matrix vhost`: virtual hosts, as the running matrixd of this machine has them from all members. */
import { Command } from 'commander'
import type { ControlAnswer } from '../../config/index.ts'
import { ask, type NodeOptions, withNode } from './ask-node.ts'
import { persist } from './lun-change.ts'
import { formatTable, type JsonOption, sayResult, withJson } from './table.ts'

export type VirtualHostSights = NonNullable<Extract<ControlAnswer, { ok: true }>['virtualHosts']>

export function vhostCommand(): Command {
  return new Command('vhost')
    .description('virtual hosts: addresses that move between the nodes of a matrix')
    .addCommand(
      withJson(withNode(new Command('list')))
        .description('where each is, and how well the nodes are that may bear it')
        .addHelpText('after', '\nExample:\n  matrix vhost list --config /etc/matrixfs/matrixd.toml')
        .action(async ({ json, ...asked }: NodeOptions & JsonOption) => {
          const { virtualHosts = [] } = await ask(asked, { command: 'virtual-hosts' })
          sayResult(json, virtualHosts, describeVirtualHosts(virtualHosts))
        }),
    )
    .addCommand(
      withJson(withNode(new Command('move')))
        .argument('<name>', 'the virtual host')
        .argument('<node>', 'one of its nodes')
        .description('move one to another of its nodes; clients notice a pause of about a second, and no error')
        .addHelpText(
          'after',
          `
It stays there until that node fails, stops or is less well than another, even with policy AUTOFAILBACK. Moved to the first of its
nodes it is where its policy would have it.

Example:
  matrix vhost move files n2 --config /etc/matrixfs/matrixd.toml`,
        )
        .action(async (name: string, node: string, { json, ...asked }: NodeOptions & JsonOption) => {
          const began = performance.now()
          const tell = (line: string) => process.stderr.write(`${line}\n`)
          await persist(() => ask(asked, { command: 'move-virtual-host', name, node }), tell)
          const ms = Math.round(performance.now() - began)
          sayResult(json, { name, node, ms }, `${name} is at ${node} (${ms} ms)`)
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
