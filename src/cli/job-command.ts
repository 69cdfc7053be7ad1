/** `matrix job`: long work as jobs, which go on whoever looks (docs/admin.md). A matrixd is asked, which asks whoever keeps them. */
import { userInfo } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { type ControlRequest, exitCodes } from '../../config/index.ts'
import type { Job, Jobs, JobWithLog } from '../admin/index.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { ask, type NodeOptions, withNode } from './ask-node.ts'
import { JobProgress } from './job-progress.ts'
import { persist } from './lun-change.ts'
import { explain } from './lun-command.ts'
import { UsageError } from './option-values.ts'
import { formatTable, type JsonOption, say, sayJson, withJson } from './table.ts'

const LOOK_MS = 500
/** A matrix whose administrator, or Redis, is away for so long is given up, ms. */
const PATIENCE_MS = 120_000

type JsonOptions = NodeOptions & JsonOption
type WaitOptions = JsonOptions & { readonly wait?: boolean }

export function jobCommand(): Command {
  const command = new Command('job').description(
    'start, watch, cancel and repeat long work, which goes on whoever looks',
  )
  withJson(withNode(command.command('list')))
    .description('jobs that are under way, and those that have ended lately')
    .addHelpText('after', '\nExample:\n  matrix job list --config /etc/matrixfs/matrixd.toml')
    .action(list)
  withJson(withNode(command.command('kinds')))
    .description('which jobs there are, and what each is told')
    .addHelpText('after', '\nExample:\n  matrix job kinds --config /etc/matrixfs/matrixd.toml')
    .action(kinds)
  withJson(withNode(command.command('start')))
    .description('start a job')
    .argument('<kind>', 'which one (matrix job kinds)')
    .argument('[name=value...]', 'its input')
    .option('--wait', 'until it has ended; Ctrl-C leaves it under way')
    .addHelpText(
      'after',
      `
One job of a kind about the same LUN, filesystem or node is under way at a time: a second one is refused, and the first one named.
With --wait the exit code is ${exitCodes.ok} when it was done, ${exitCodes.damaged} when a check found something, ${exitCodes.failed} when it failed or was cancelled.

Examples:
  matrix job start scrub filesystem=home --wait --config /etc/matrixfs/matrixd.toml
  matrix job start drain-lun lun=lun2 --config /etc/matrixfs/matrixd.toml`,
    )
    .action(start)
  withJson(withNode(command.command('show')))
    .description('one job, with its log')
    .argument('<job>', 'KIND/ID, as matrix job list has it')
    .option('--wait', 'until it has ended')
    .addHelpText('after', '\nExample:\n  matrix job show scrub/home.1c9f02ab --config /etc/matrixfs/matrixd.toml')
    .action(show)
  withJson(withNode(command.command('cancel')))
    .description('end a job; what it has done stays done')
    .argument('<job>', 'KIND/ID')
    .option('--wait', 'until it has ended')
    .addHelpText('after', '\nExample:\n  matrix job cancel drain-lun/lun2.1c9f02ab --config /etc/matrixfs/matrixd.toml')
    .action((job: string, options: WaitOptions) => change('cancel-job', job, options))
  withJson(withNode(command.command('retry')))
    .description('start a job like one that has failed, or was cancelled')
    .argument('<job>', 'KIND/ID')
    .option('--wait', 'until it has ended')
    .addHelpText('after', '\nExample:\n  matrix job retry scrub/home.1c9f02ab --config /etc/matrixfs/matrixd.toml')
    .action((job: string, options: WaitOptions) => change('retry-job', job, options))
  return command
}

async function list({ json, ...node }: JsonOptions): Promise<void> {
  const answer = await askJobs<Jobs>(node, { command: 'jobs' })
  if (json) return sayJson(answer)
  if (answer.reason !== null) explain(answer.reason)
  say(describeJobs(answer.jobs))
}

async function kinds({ json, ...node }: JsonOptions): Promise<void> {
  const answer = await askJobs<Jobs>(node, { command: 'jobs' })
  if (json) return sayJson(answer.kinds)
  for (const kind of answer.kinds) {
    const entries = entriesOf(kind).map(({ name, required }) => (required ? `${name}=…` : `[${name}=…]`))
    say(`${[kind.name, ...entries].join(' ')}\n    ${kind.summary}`)
  }
}

async function start(kind: string, values: readonly string[], options: WaitOptions): Promise<void> {
  const { kinds: known } = await askJobs<Jobs>(options, { command: 'jobs' })
  const input = inputOf(kind, known, values)
  const request: ControlRequest = { command: 'start-job', kind, input, by: caller() }
  const { job } = await askJobs<{ job: Job }>(options, request)
  await follow(job, `started: job ${referenceOf(job)}`, options)
}

async function change(command: 'cancel-job' | 'retry-job', reference: string, options: WaitOptions): Promise<void> {
  const request = { command, ...parseReference(reference), by: caller() }
  const { job } = await askJobs<{ job: Job }>(options, request)
  const said = command === 'cancel-job' ? `job ${reference} is being cancelled` : `started: job ${referenceOf(job)}`
  await follow(job, said, options)
}

async function show(reference: string, options: WaitOptions): Promise<void> {
  const answer = await showJob(options, reference)
  if (options.wait) return follow(answer.job, undefined, options)
  if (options.json) sayJson(answer)
  else say(describeJob(answer))
}

async function follow(job: Job, said: string | undefined, { json, wait, ...node }: WaitOptions): Promise<void> {
  if (!wait) {
    if (json) sayJson({ job })
    else if (said !== undefined) say(said)
    return
  }
  if (said !== undefined) explain(said)
  const progress = new JobProgress(process.stderr)
  const reference = referenceOf(job)
  let answer = { job } as JobWithLog
  for (let lastAt = performance.now(); !isOver(answer.job); await sleep(LOOK_MS)) {
    progress.show(answer.job)
    try {
      answer = await showJob(node, reference)
      lastAt = performance.now()
    } catch (error) {
      const passes = isMatrixError(error, 'view-changed', 'peer-gone', 'timeout', 'busy')
      if (!passes || performance.now() > lastAt + PATIENCE_MS) throw error
    }
  }
  progress.end()
  const ended = answer.job
  if (json) sayJson(await showJob(node, reference))
  else if (ended.state === 'completed') say(ended.result?.said ?? 'done')
  if (ended.state !== 'completed') throw new MatrixError('not-found', `job ${reference} ${endOf(ended)}`)
  if (ended.result?.details['sound'] === false) process.exitCode = exitCodes.damaged
}

async function askJobs<T>(node: NodeOptions, request: ControlRequest): Promise<T> {
  const { job } = await persist(() => ask(node, request), explain)
  if (job === undefined)
    throw new MatrixError('protocol', 'matrixd does not know of jobs: it is older than this command')
  return job as T
}

async function showJob(node: NodeOptions, reference: string): Promise<JobWithLog> {
  return (await ask(node, { command: 'show-job', ...parseReference(reference) })).job as JobWithLog
}

/** Throws UsageError. */
function inputOf(kind: string, known: Jobs['kinds'], values: readonly string[]): Record<string, unknown> {
  const found = known.find(({ name }) => name === kind)
  if (!found)
    throw new UsageError(`there is no kind of job ${kind}; there are ${known.map(({ name }) => name).join(', ')}`)
  const entries = entriesOf(found)
  return Object.fromEntries(
    values.map((written) => {
      const at = written.indexOf('=')
      const name = at < 0 ? written : written.slice(0, at)
      const entry = entries.find((each) => each.name === name)
      if (at < 0 || !entry)
        throw new UsageError(
          `${written}: allowed for ${kind} are ${entries.map((each) => `${each.name}=…`).join(', ')}`,
        )
      const value = written.slice(at + 1)
      if (entry.type !== 'boolean') return [name, value]
      if (value !== 'true' && value !== 'false') throw new UsageError(`${written}: allowed are true and false`)
      return [name, value === 'true']
    }),
  )
}

type Entry = { readonly name: string; readonly type: string; readonly required: boolean }

function entriesOf({ input }: Jobs['kinds'][number]): readonly Entry[] {
  const { properties, required } = input as { properties: Record<string, { type: string }>; required: string[] }
  return Object.entries(properties).map(([name, { type }]) => ({ name, type, required: required.includes(name) }))
}

/** Throws UsageError. */
function parseReference(reference: string): { readonly kind: string; readonly id: string } {
  const [, kind, id] = /^([a-z-]+)\/([\w.-]+)$/i.exec(reference) ?? []
  if (kind === undefined || id === undefined)
    throw new UsageError(`${reference} is no job: it is written KIND/ID, such as scrub/home.1c9f02ab`)
  return { kind, id }
}

function referenceOf({ kind, id }: Job): string {
  return `${kind}/${id}`
}

function isOver({ state }: Job): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled'
}

function caller(): string {
  return `${userInfo().username} at the command line`
}

export function describeJobs(jobs: readonly Job[]): string {
  if (jobs.length === 0) return 'no job is under way, or has ended lately'
  const rows = jobs.map((job) => [
    referenceOf(job),
    job.cancelling ? 'cancelling' : job.state,
    isOver(job) ? '' : `${Math.floor(job.percent)} %`,
    job.node ?? '',
    shortTime(job.createdAt),
    job.result?.said ?? job.error ?? job.sentence,
  ])
  return formatTable(['job', 'state', 'done', 'node', 'started', 'what'], rows)
}

function describeJob({ job, log }: JobWithLog): string {
  const lines = [
    `${referenceOf(job)}: ${endOf(job)}`,
    `  input     ${JSON.stringify(job.input)}`,
    `  started   ${shortTime(job.createdAt)} by ${job.by}`,
    ...(job.node === null ? [] : [`  at        ${job.node}, tried ${job.attempts} times`]),
    ...(job.finishedAt === null ? [] : [`  ended     ${shortTime(job.finishedAt)}`]),
    ...(isOver(job) ? [] : [`  progress  ${Math.floor(job.percent)} %: ${job.sentence}`]),
    ...log.map((line) => `  | ${line}`),
  ]
  return lines.join('\n')
}

function endOf(job: Job): string {
  if (job.state === 'completed') return job.result?.said ?? 'done'
  if (job.state === 'failed') return `has failed: ${job.error}`
  if (job.state === 'cancelled') return `was ${job.error ?? 'cancelled'}`
  return job.cancelling ? 'is being cancelled' : job.state
}

function shortTime(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ')
}
