/** `matrix service`: services, applications, devices and mounts that are looked after, and what has happened to them. */
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { eventsFile, loadConfig } from '../../config/index.ts'
import { type Services, services } from '../admin/api/answers.ts'
import { MatrixError } from '../base/errors.ts'
import { type MatrixEvent, parseEvents } from '../services/index.ts'
import { ask, configFile, type NodeOptions, report, withConfig, withNode } from './ask-node.ts'
import { wholeNumber } from './option-values.ts'
import { formatTable, type JsonOption, sayResult, withJson } from './table.ts'

type Options = NodeOptions & JsonOption

export function serviceCommand(): Command {
  return new Command('service')
    .description('services, applications and devices that are looked after for virtual hosts')
    .addCommand(
      withJson(withNode(new Command('list')))
        .description('how each is at every node, and the mounts that are kept')
        .addHelpText(
          'after',
          `
States:
  up, unknown          it answers; it was not asked yet
  starting, stopping   its script is under way, or it does not answer yet
  repairing            it was down, and is being repaired here
  failed               it could not be repaired here
  idle                 an application whose virtual host is elsewhere
"counts": it weighs against its node now; with NOAUTORECOVER until matrix service clear.

Example:
  matrix service list --config /etc/matrixfs/matrixd.toml`,
        )
        .action(async ({ json, ...node }: Options) => {
          const answer = await report(node, '/services', services)
          sayResult(json, answer, describeServices(answer))
        }),
    )
    .addCommand(
      withJson(withNode(new Command('clear')))
        .argument('<name>', 'a service, application or device')
        .description('say that it may be used again at the node of this machine, after it has failed there')
        .addHelpText('after', '\nExample:\n  matrix service clear web --config /etc/matrixfs/matrixd.toml')
        .action(async (name: string, { json, ...node }: Options) => {
          await ask(node, { command: 'clear-service', name })
          sayResult(json, { name }, `${name} may be used here again`)
        }),
    )
    .addCommand(
      withJson(withConfig(new Command('events')))
        .description('what has happened, as the node of this machine has told it, whether it runs or not')
        .option('--last <n>', 'as many', wholeNumber({ min: 1, max: 1000 }), 20)
        .addHelpText('after', '\nExample:\n  matrix service events --last 5 --config /etc/matrixfs/matrixd.toml')
        .action(({ last, json, ...node }: Options & { readonly last: number }) => {
          const events = readEvents(eventsFile(loadConfig(configFile(node)).stateDir)).slice(-last)
          sayResult(json, events, describeEvents(events))
        }),
    )
}

export function describeServices({ nodes }: Services): string {
  const services = nodes.flatMap(({ node, services: all }) =>
    all.map(({ name, type, kind, target, hosts, state, counts, reason }) => [
      ...[name, type, `${kind} ${target}`, hosts.join(', '), node, counts ? `${state}, counts` : state, reason ?? ''],
    ]),
  )
  services.sort(([a = ''], [b = '']) => (a < b ? -1 : a > b ? 1 : 0)) // stable: nodes stay in order
  const mounts = nodes.flatMap(({ node, mounts: all }) =>
    all.map(({ filesystem, directory, state, reason }) => [filesystem, directory, node, state, reason ?? '']),
  )
  const silent = nodes.filter(({ answered }) => !answered).map(({ node, error }) => `${node} does not say: ${error}`)
  const head = ['service', 'type', 'what', 'virtual hosts', 'node', 'state', 'reason']
  return [
    services.length === 0 ? 'no service is configured' : formatTable(head, services),
    ...(mounts.length === 0 ? [] : [formatTable(['filesystem', 'mounted at', 'node', 'state', 'reason'], mounts)]),
    ...(silent.length === 0 ? [] : [silent.join('\n')]),
  ].join('\n\n')
}

export function describeEvents(events: readonly MatrixEvent[]): string {
  if (events.length === 0) return 'nothing has happened yet'
  return formatTable(
    ['when', 'what', 'severity', 'in words'],
    events.map(({ at, kind, severity, text }) => [new Date(at).toISOString(), kind, severity, text]),
  )
}

function readEvents(path: string): MatrixEvent[] {
  try {
    return parseEvents(readFileSync(path, 'utf8'))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    throw new MatrixError('not-found', `there is no ${path}: nothing has happened yet, or the state_dir is another`, {
      cause,
    })
  }
}
