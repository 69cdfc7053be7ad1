/** `matrix replicate`: a tree is copied to another, and from then on what has changed. */
import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { Argument, Command, Option } from 'commander'
import {
  type ControlResult,
  exitCodes,
  loadConfig,
  onStopSignal,
  type PrunePolicy,
  prunePolicies,
  replicasDir,
} from '../../config/index.ts'
import { MatrixError } from '../base/errors.ts'
import { formatSize } from '../base/units.ts'
import { addressForms, checkAddress, type Outcome, replicate, targetForms } from '../replicator/index.ts'
import { ask, configFile, type NodeOptions, withConfig, withNode } from './ask-node.ts'
import { formatTable, type JsonOption, printable, say, sayJson, sayResult, withJson } from './table.ts'

type CopyOptions = JsonOption & {
  readonly prune: PrunePolicy
  readonly exclude: readonly string[]
  readonly verify: boolean
  readonly owners: boolean
  readonly journal?: string
  readonly progress?: boolean
  readonly config?: string
}

export function replicateCommand(): Command {
  return new Command('replicate')
    .description('copies trees, and from then on what has changed in them')
    .addCommand(copyCommand())
    .addCommand(runCommand())
    .addCommand(listCommand())
}

function copyCommand(): Command {
  return withJson(new Command('copy'))
    .description('copy a tree to another, or what has changed since the last time')
    .addArgument(new Argument('<from>', `a tree: ${addressForms}`))
    .addArgument(new Argument('<to>', `a directory that is there: ${targetForms}`))
    .addOption(
      new Option(
        '--prune <what>',
        'remove from the target what is not at the source: never, what earlier runs have made, or all',
      )
        .choices(prunePolicies)
        .default('never'),
    )
    .option(
      '--exclude <glob>',
      'leave out (repeatable): *.tmp anywhere, cache/** below the tree',
      (glob: string, former: readonly string[] = []) => [...former, glob],
      [],
    )
    .option('--no-verify', 'do not read again what was written')
    .option('--no-owners', 'leave owners as they come about (the default for others than root)')
    .option(
      '--journal <file>',
      'what is known of earlier runs (default: one for each pair of trees, in ~/.local/state/matrixfs/replicas)',
    )
    .option('-c, --config <file>', 'keep that journal with those of the matrixd with this configuration')
    .option('--progress', 'tell on standard error every two seconds how far it is, also with --json')
    .addHelpText(
      'after',
      `
Modes, owners, times, symbolic links, several names of one file and holes are kept. What has not changed is not copied; what was interrupted goes on.
At the target there are whole files only, old or new, at any moment. Exit code ${exitCodes.failed}: something could not be copied; it is named.

Examples:
  matrix replicate copy nfs://files/home/projects /backup/projects --prune made
  matrix replicate copy /srv/www nfs://127.0.0.1/home/www --exclude '*.tmp'`,
    )
    .action(copy)
}

function runCommand(): Command {
  return withJson(withConfig(new Command('run')))
    .description('run a configured replication now')
    .argument('<name>', 'of [[replicate]] in the configuration')
    .addHelpText(
      'after',
      `
matrixd runs it by itself, so long after the last run as the configuration says; this is for in between. It is refused while a run is under way here.

Example:
  matrix replicate run offsite --config /etc/matrixfs/matrixd.toml`,
    )
    .action(run)
}

function listCommand(): Command {
  return withJson(withNode(new Command('list')))
    .description('the configured replications, and what became of them at this node')
    .addHelpText(
      'after',
      '\nExamples:\n  matrix replicate list --config /etc/matrixfs/matrixd.toml\n  matrix replicate list --node https://n1:20190 --user ann --json',
    )
    .action(list)
}

async function run(name: string, { json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const { replicate: rules, stateDir } = loadConfig(configFile(node))
  const rule = rules.find((each) => each.name === name)
  if (!rule) {
    const known = rules.map((each) => each.name).join(', ') || 'none'
    throw new MatrixError('not-found', `the configuration has no replication ${name}; it has ${known}`)
  }
  const { from, to, prune, exclude, verify } = rule
  const journal = join(replicasDir(stateDir), `${name}.sqlite`)
  await copy(from, to, { prune, exclude, verify, owners: true, journal, ...(json !== undefined && { json }) })
}

async function list({ json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const { replications = [] } = await ask(node, { command: 'replications' })
  sayResult(json, replications, describeList(replications))
}

type Listed = NonNullable<ControlResult['replications']>[number]

function describeList(all: readonly Listed[]): string {
  if (all.length === 0) return 'nothing is replicated'
  const rows = all.map(({ name, from, to, everyMs, node, since, last, mine }) => [
    ...[name, from, to, `${everyMs / 1000} s`, node ?? 'administrator'],
    since !== undefined ? 'under way' : !mine ? 'at another node' : last ? outcomeOf(last) : 'not yet',
  ])
  return formatTable(['replication', 'from', 'to', 'every', 'by', 'last run'], rows)
}

function outcomeOf({ at, copied, pruned, failed, why }: NonNullable<Listed['last']>): string {
  const when = new Date(at).toISOString().slice(0, 19)
  const did = `${copied} copied${pruned > 0 ? `, ${pruned} removed` : ''}`
  return `${when}, ${did}${why === undefined ? '' : `${failed > 0 ? `, ${failed} failed` : ''}: ${printable(why)}`}`
}

async function copy(from: string, to: string, options: CopyOptions): Promise<void> {
  checkAddress(from, 'from')
  checkAddress(to, 'to')
  const stop = new AbortController()
  const leave = onStopSignal({
    stop: (signal) => stop.abort(new MatrixError('withdrawn', `stopped by ${signal}; the next run goes on from here`)),
    hurry: () => process.exit(exitCodes.failed),
  })
  const everyMs = options.progress ? 2_000 : 10_000
  const progress = options.json && !options.progress ? undefined : new CopyProgress(process.stderr, everyMs)
  try {
    const outcome = await replicate({
      ...{ from, to, prune: options.prune, exclude: options.exclude, verify: options.verify },
      owners: options.owners && process.geteuid?.() === 0,
      journal: options.journal ?? defaultJournal(from, to, options.config),
      signal: stop.signal,
      ...(progress && { onProgress: (so) => progress.show(so) }),
    })
    progress?.end()
    if (options.json) sayJson(outcome)
    else say(describe(outcome))
    if (outcome.failed > 0) process.exitCode = exitCodes.failed
  } finally {
    progress?.end()
    leave()
  }
}

function defaultJournal(from: string, to: string, config: string | undefined): string {
  const id = createHash('sha256').update(`${from}\0${to}`).digest('hex').slice(0, 16)
  if (config !== undefined) return join(replicasDir(loadConfig(config).stateDir), `${id}.sqlite`)
  const home = process.env['XDG_STATE_HOME']
  const state = home !== undefined && isAbsolute(home) ? home : join(homedir(), '.local', 'state')
  return join(state, 'matrixfs', 'replicas', `${id}.sqlite`)
}

export function describe({
  looked,
  copied,
  bytes,
  made,
  adjusted,
  unchanged,
  pruned,
  skipped,
  troubles,
  failed,
}: Outcome): string {
  const parts = [
    `${looked} looked at`,
    `${copied} copied (${formatSize(bytes)} read)`,
    ...(made > 0 ? [`${made} directories, links and pipes made`] : []),
    ...(adjusted > 0 ? [`${adjusted} with other attributes`] : []),
    `${unchanged} unchanged`,
    ...(pruned > 0 ? [`${pruned} removed`] : []),
    ...(skipped > 0 ? [`${skipped} left out`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ]
  const lines = troubles.map(({ path, why }) => `${printable(path)}: ${why}`)
  const more = failed - troubles.length
  return [parts.join(', '), ...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('\n')
}

/** How far a copy is: a line that changes on a terminal, one every `everyMs` elsewhere. */
class CopyProgress {
  readonly #out: NodeJS.WriteStream
  readonly #everyMs: number
  #next = performance.now()

  constructor(out: NodeJS.WriteStream, everyMs: number) {
    this.#out = out
    this.#everyMs = everyMs
  }

  show({ looked, copied, bytes }: Outcome): void {
    const now = performance.now()
    if (now < this.#next) return
    this.#next = now + (this.#out.isTTY ? 200 : this.#everyMs)
    const line = `${looked} looked at, ${copied} copied, ${formatSize(bytes)} read`
    this.#out.write(this.#out.isTTY ? `\r\x1b[K${line}` : `${line}\n`)
  }

  end(): void {
    if (this.#out.isTTY) this.#out.write('\r\x1b[K')
  }
}
