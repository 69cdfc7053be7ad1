/** `matrix timeline`: every change of membership that a node has seen, step by step. */
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { loadConfig, timelineFile } from '../../config/index.ts'
import { timeline as timelineAnswer } from '../admin/api/answers.ts'
import { MatrixError } from '../base/errors.ts'
import { isNews, parseTimeline, type TimelineEntry } from '../recovery/index.ts'
import { configFile, type NodeOptions, planeOf, report, withNode } from './ask-node.ts'
import { wholeNumber } from './option-values.ts'
import { type JsonOption, sayResult, withJson } from './table.ts'

type TimelineOptions = NodeOptions & JsonOption & { readonly last: number }

export function timelineCommand(): Command {
  return withJson(withNode(new Command('timeline')))
    .description('changes of membership: who came and went, what was done for it by whom, and how long it took')
    .option('--last <n>', 'as many changes', wholeNumber({ min: 1, max: 1000 }), 10)
    .addHelpText(
      'after',
      `
Read from the state_dir of this machine's node, whether it runs or not; or asked of another node. Steps of a change are told to every member, so each node knows all of those it was a member for.

Examples:
  matrix timeline --config var/demo/n1.toml --last 3
  matrix timeline --node http://127.0.0.1:20190`,
    )
    .action(timeline)
}

async function timeline({ last, json, ...node }: TimelineOptions): Promise<void> {
  const entries = planeOf(node)
    ? (await report(node, '/timeline', timelineAnswer)).entries
    : read(timelineFile(loadConfig(configFile(node)).stateDir))
  const changes = lastChanges(entries, last)
  sayResult(json, changes.flat(), changes.map(describeChange).join('\n\n') || 'no change of membership yet')
}

function read(path: string): TimelineEntry[] {
  try {
    return readTimeline(path)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    throw new MatrixError('not-found', `there is no ${path}: the node has never run, or with another state_dir`, {
      cause,
    })
  }
}

/** The steps of each of the last views, in the order in which they began. */
export function lastChanges(entries: readonly TimelineEntry[], last: number): TimelineEntry[][] {
  const views = new Map<number, TimelineEntry[]>()
  for (const entry of entries) views.set(entry.view, [...(views.get(entry.view) ?? []), entry])
  const changes = [...views.values()].map((steps) => steps.sort((a, b) => a.startedAt - b.startedAt))
  return changes.sort((a, b) => (a[0] as TimelineEntry).startedAt - (b[0] as TimelineEntry).startedAt).slice(-last)
}

export function describeChange(steps: readonly TimelineEntry[]): string {
  const first = steps[0] as TimelineEntry
  const view = steps.find(({ step }) => step === 'view')
  const done = steps.filter(({ step }) => step !== 'view')
  const changing = steps.filter((entry) => !isNews(entry))
  const ended = Math.max(first.startedAt, ...changing.map(({ startedAt, durationMs }) => startedAt + durationMs))
  const head = `${new Date(first.startedAt).toISOString()}  view ${first.view}: ${view?.outcome ?? '(before this node was a member)'}  — ${Math.round(ended - first.startedAt)} ms`
  const width = Math.max(0, ...done.map(({ node, step }) => node.length + 1 + step.length))
  const lines = done.map((entry) => {
    const { node, step, startedAt, durationMs, outcome } = entry
    const what = `${node} ${step}`.padEnd(width)
    if (isNews(entry)) return `  ${what}  ${new Date(startedAt).toISOString()}  ${outcome}`
    return `  ${what}  ${durationMs.toFixed(0).padStart(6)} ms${outcome === 'done' ? '' : `  ${outcome}`}`
  })
  return [head, ...lines].join('\n')
}

/** The entries of a timeline file, oldest first; a line that a crash has cut is left out. Throws the error of the file system. */
export function readTimeline(path: string): TimelineEntry[] {
  return parseTimeline(readFileSync(path, 'utf8'))
}
