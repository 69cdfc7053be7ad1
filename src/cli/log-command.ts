/** `matrix log`: what a node has warned of, and how much its parts write to its log. */
import { Command } from 'commander'
import { logAnswer } from '../admin/api/answers.ts'
import { type LevelOfSubsystem, type LogLevel, logLevels, type Subsystem, subsystems } from '../platform/index.ts'
import { ask, type NodeOptions, report, withNode } from './ask-node.ts'
import { UsageError } from './option-values.ts'
import { formatTable, type JsonOption, sayResult, withJson } from './table.ts'

/** Instead of a level: the one of the configuration. */
const CONFIGURED = 'configured'

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
    .addCommand(
      withJson(withNode(new Command('level')))
        .description('how much each part of a node writes to its log; a level for one part, at once')
        .argument('[subsystem]', subsystems.join(', '))
        .argument('[level]', `${logLevels.join(', ')}: the least severe lines; or ${CONFIGURED}`)
        .addHelpText(
          'after',
          `
A change lasts until the node is restarted; [log] and [log.levels] of its configuration file last longer.

Examples:
  matrix log level --config /etc/matrixfs/matrixd.toml
  matrix log level nfs debug
  matrix log level nfs ${CONFIGURED} --node https://n1:20190 --user ann`,
        )
        .action(level),
    )
}

async function log({ json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const answer = await report(node, '/log', logAnswer)
  const lines = answer.lines.map(
    ({ at, level, message, fields }) => `${new Date(at).toISOString()}  ${level.padEnd(5)}  ${message}  ${fields}`,
  )
  sayResult(json, answer, lines.join('\n') || `${answer.node} has warned of nothing`)
}

async function level(
  subsystem: string | undefined,
  wanted: string | undefined,
  { json, ...node }: NodeOptions & JsonOption,
): Promise<void> {
  const { logLevels: levels = [] } =
    subsystem === undefined
      ? await ask(node, { command: 'log-levels' })
      : await ask(node, {
          command: 'set-log-level',
          subsystem: oneOf('subsystem', subsystem, subsystems),
          ...(wanted !== CONFIGURED && { level: oneOf('level', wanted, logLevels, CONFIGURED) }),
        })
  sayResult(json, levels, describe(levels))
}

function oneOf<T extends Subsystem | LogLevel>(
  what: string,
  found: string | undefined,
  allowed: readonly T[],
  ...besides: readonly string[]
): T {
  const known = allowed.find((each) => each === found)
  if (known !== undefined) return known
  const said = found === undefined ? 'is missing' : `"${found}" is none`
  throw new UsageError(`${what}: ${said}; allowed is ${[...allowed, ...besides].join(', ')}`)
}

function describe(levels: readonly LevelOfSubsystem[]): string {
  const rows = levels.map(({ subsystem, level, configured }) => [
    subsystem,
    level,
    level === configured ? '' : `${configured} after a restart`,
  ])
  return formatTable(['subsystem', 'level', ''], rows)
}
