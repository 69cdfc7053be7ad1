/** `matrix fence`: shows that a node can be fenced, before it has to be. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import * as v from 'valibot'
import { MatrixError } from '../base/errors.ts'
import { ask, type NodeOptions, withConfig } from './ask-node.ts'
import { type JsonOption, say, sayJson, withJson } from './table.ts'

type TestOptions = NodeOptions & JsonOption & { readonly dryRun?: boolean }

const POLL_MS = 100
/** Recovery takes a few lease times at most; a supervisor may wait a while before it starts a node again. */
const PATIENCE_MS = 120_000

const membership = v.object({
  serving: v.boolean(),
  view: v.nullish(v.object({ members: v.array(v.object({ slot: v.number(), incarnation: v.number() })) })),
})

export function fenceCommand(): Command {
  const command = new Command('fence').description('try the fencing of nodes')
  withJson(withConfig(command.command('test')))
    .description('fence a node that is well, see it recovered and taken in again, and tell how long each step took')
    .argument('<node>', 'its name; not the node that is asked')
    .option('--dry-run', 'only say what would be done; a fence script that knows --dry-run is run with it')
    .addHelpText(
      'after',
      `
The node stops serving at once, as in a failure: what its clients wait for goes on at another node or when it is back. Its supervisor (systemd)
starts it again. Exit code 0 once it is a member again; otherwise it is said how far it came.

Examples:
  matrix fence test n2 --dry-run
  matrix fence test n2 --config var/demo/n1.toml`,
    )
    .action(test)
  return command
}

async function test(node: string, { dryRun, json, ...asked }: TestOptions): Promise<void> {
  const { plan } = await ask(asked, { command: 'fence-plan', node })
  if (!plan) throw new MatrixError('protocol', 'matrixd does not know of drills: it is older than this command')
  const { slot, incarnation, agents, rehearsals } = plan
  if (dryRun) {
    if (json) sayJson(plan)
    else {
      say(`${node} (slot ${slot}, life ${incarnation}) would be fenced by ${agents.join(', then ')}; nothing was done`)
      for (const { agent, said } of rehearsals) say(`${agent}: ${said}`)
    }
    const unable = rehearsals.filter(({ able }) => !able).map(({ agent }) => agent)
    if (unable.length > 0) throw new MatrixError('fence-failed', `${unable.join(', ')} could not fence ${node} now`)
    return
  }
  const tell = (line: string): void => {
    if (!json) say(line)
  }
  const startedAt = performance.now()
  const sinceStart = () => Math.round(performance.now() - startedAt)
  const { fenced } = await ask(asked, { command: 'fence-drill', node })
  if (!fenced) throw new MatrixError('protocol', 'matrixd does not know of drills: it is older than this command')
  const fencedMs = sinceStart()
  tell(`${seconds(fencedMs)}  fenced by ${fenced.agent}`)
  const isThere = (newer: boolean) => async () => {
    const { serving, view } = await membershipOf(asked)
    const life = view?.members.find((member) => member.slot === slot)?.incarnation
    return serving && (newer ? (life ?? 0) > incarnation : life !== incarnation)
  }
  await until(isThere(false), `${node} is fenced, and the others have not recovered what it held`)
  const recoveredMs = sinceStart()
  tell(`${seconds(recoveredMs)}  recovered: what it held is served again`)
  await until(isThere(true), `${node} is fenced and has not come back: start matrixd there (its log says why it ended)`)
  const backMs = sinceStart()
  tell(`${seconds(backMs)}  back: ${node} is a member again`)
  if (json) sayJson({ node, agent: fenced.agent, fencedMs, recoveredMs, backMs })
}

async function membershipOf(node: NodeOptions): Promise<v.InferOutput<typeof membership>> {
  const { counters } = await ask(node, { command: 'counters' })
  return v.parse(membership, counters?.['membership'])
}

async function until(holds: () => Promise<boolean>, otherwise: string): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; !(await holds()); await sleep(POLL_MS)) {
    if (performance.now() > deadline) throw new MatrixError('timeout', `${otherwise} within ${PATIENCE_MS / 1000} s`)
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(6)} s`
}
