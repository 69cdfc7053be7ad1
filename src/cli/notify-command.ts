/** `matrix notify`: the rules by which a node tells of events, what could not be delivered, and trying again. */
import { Command } from 'commander'
import { exitCodes } from '../../config/index.ts'
import { ask, type NodeOptions, withConfig, withNode } from './ask-node.ts'
import { formatTable, type JsonOption, printable, sayResult, withJson } from './table.ts'

type Options = NodeOptions & JsonOption

export function notifyCommand(): Command {
  const command = new Command('notify').description(
    'how a node tells people and programs of events: rules, tries, what could not be delivered',
  )
  withJson(withNode(command.command('list')))
    .description('the rules, with what has been delivered, what waits, and what is in the way')
    .addHelpText(
      'after',
      '\nExamples:\n  matrix notify list --config /etc/matrixfs/matrixd.toml\n  matrix notify list --node http://127.0.0.1:20190 --json',
    )
    .action(list)
  withJson(withConfig(command.command('test')))
    .description('send a notice of kind "test" by a rule now, once, and say what became of it')
    .argument('<rule>', 'its name')
    .addHelpText('after', '\nExample:\n  matrix notify test pager --config /etc/matrixfs/matrixd.toml')
    .action(test)
  withJson(withNode(command.command('dead')))
    .description('events that could not be delivered, oldest first, and why')
    .addHelpText('after', '\nExample:\n  matrix notify dead --config /etc/matrixfs/matrixd.toml')
    .action(dead)
  withJson(withConfig(command.command('retry')))
    .description('deliver again what could not be delivered: all of it, or of one rule, or one event')
    .argument('[event]', 'its id, as matrix notify dead shows it')
    .option('--rule <name>', 'of this rule alone')
    .addHelpText(
      'after',
      '\nExamples:\n  matrix notify retry --rule pager\n  matrix notify retry n1-12-3 --config var/demo/n1.toml',
    )
    .action(retry)
  return command
}

async function list({ json, ...node }: Options): Promise<void> {
  const { notify = { rules: [] } } = await ask(node, { command: 'notify-rules' })
  const rows = notify.rules.map(({ name, events, objects, severity, target, taken, waiting, dead: lost, trouble }) => [
    name,
    `${events.join(' ')} of ${objects.join(' ')}, ${severity} or worse`,
    target,
    String(taken),
    String(waiting),
    String(lost),
    printable(trouble ?? '-'),
  ])
  const head = ['rule', 'events', 'to', 'delivered', 'waiting', 'dead', 'in the way']
  const table = rows.length === 0 ? 'no rule is configured ([[notify]])' : formatTable(head, rows)
  const failure = notify.failure === undefined ? '' : `\ndeliveries are not kept any more: ${notify.failure}`
  sayResult(json, notify, `${table}${failure}`)
}

async function test(rule: string, { json, ...node }: Options): Promise<void> {
  const { sent = { how: 'failed' } } = await ask(node, { command: 'notify-test', rule })
  const isTaken = sent.how === 'taken'
  sayResult(
    json,
    { rule, ...sent },
    isTaken ? `rule ${rule}: taken` : `rule ${rule}: ${sent.how}: ${printable(sent.why ?? '')}`,
  )
  if (!isTaken) process.exitCode = exitCodes.failed
}

async function dead({ json, ...node }: Options): Promise<void> {
  const { dead: all = [] } = await ask(node, { command: 'notify-dead' })
  const rows = all.map(({ rule, event, at, reason, attempts }) => [
    event.id,
    rule,
    printable(event.text),
    new Date(at).toISOString(),
    String(attempts),
    printable(reason),
  ])
  const head = ['event', 'rule', 'what', 'given up', 'attempts', 'why']
  sayResult(json, all, rows.length === 0 ? 'everything was delivered, or waits' : formatTable(head, rows))
}

async function retry(
  event: string | undefined,
  { rule, json, ...node }: Options & { readonly rule?: string },
): Promise<void> {
  const { again = 0 } = await ask(node, { command: 'notify-retry', rule, event })
  sayResult(json, { again }, `${again} of them wait to be delivered again`)
}
