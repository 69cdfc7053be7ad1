/** Jobs about nodes. */
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { isMatrixError, MatrixError } from '../../../base/errors.ts'
import type { JobDesk } from '../job-desk.ts'
import { type JobKind, type JobWork, jobKind } from '../job-kind.ts'
import { named } from './inputs.ts'

/** How long a fenced node has to come back, and how often it is looked, ms. */
const BACK_LIMIT_MS = 120_000
const LOOK_MS = 200

export const nodeKinds: readonly JobKind[] = [
  jobKind({
    name: 'fence',
    title: 'Fence a node',
    summary: 'Cuts a member off from the LUNs as if it had failed; the others take over what it held.',
    confirm: true,
    attempts: 1,
    input: v.strictObject({ node: named('Node') }),
    object: ({ node }) => node,
    async run({ node }, work, desk) {
      const { agent, incarnation } = await fence(node, work, desk)
      await recovered(node, incarnation, work, desk)
      return { said: `${node} is fenced by ${agent}; what it held is served again`, details: { node, agent } }
    },
  }),
  jobKind({
    name: 'fence-drill',
    title: 'Fence drill',
    summary:
      'Fences a member that is well, waits until the others serve what it held, and until it is back. Its processes must be started again by something (systemd does).',
    confirm: true,
    attempts: 1,
    input: v.strictObject({ node: named('Node') }),
    object: ({ node }) => node,
    async run({ node }, work, desk) {
      const began = desk.host.clock.now()
      const since = (): number => Math.round(desk.host.clock.now() - began)
      const { agent, incarnation } = await fence(node, work, desk)
      const fencedMs = since()
      work.log(`fenced by ${agent} after ${fencedMs} ms`)
      await recovered(node, incarnation, work, desk)
      const recoveredMs = since()
      work.log(`recovered after ${recoveredMs} ms: what it held is served again`)
      work.tell(60, `waits until ${node} is back: matrixd has to be started there`)
      await until(
        () => members(desk).some((member) => member.name === node && member.incarnation > incarnation),
        `${node} is fenced and has not come back: start matrixd there (its log says why it ended)`,
        work,
      )
      return {
        said: `${node} was fenced by ${agent}, taken over and back within ${(since() / 1000).toFixed(1)} s`,
        details: { node, agent, fencedMs, recoveredMs, backMs: since() },
      }
    },
  }),
  jobKind({
    name: 'evacuate',
    title: 'Evacuate a node',
    summary:
      'Moves the virtual hosts of a node to others that are well, and unmounts what it has mounted: then it can be stopped, and nobody notices.',
    confirm: true,
    attempts: 3,
    input: v.strictObject({ node: named('Node') }),
    object: ({ node }) => node,
    run: ({ node }, work, desk) => evacuate(node, work, desk),
  }),
  jobKind({
    name: 'support',
    title: 'Bundle for support',
    summary: 'Gathers what helps to find out what is wrong, without secrets, in one archive at a node.',
    attempts: 3,
    input: v.strictObject({ node: v.optional(named('Node; empty: any')) }),
    object: ({ node }) => node ?? 'any',
    async run({ node }, work, { errands, host }) {
      const at = node ?? host.self.name
      work.tell(10, `${at} gathers it`)
      const { file } = await work.persist(() => errands.at(at, { errand: 'support' }))
      return { said: `${file} at ${at}`, details: { node: at, file } }
    },
  }),
]

/**
 * Once: which life of the node is meant is kept before it is fenced, and an earlier run of the job may have done it. It stays cut off however the job
 * ends.
 */
async function fence(node: string, work: JobWork, { errands }: JobDesk) {
  const meant = v.object({ incarnation: v.number(), agent: v.optional(v.string()) })
  const kept = v.is(meant, work.kept) ? work.kept : undefined
  if (kept?.agent !== undefined) return { agent: kept.agent, incarnation: kept.incarnation }
  work.tell(5, `looks how ${node} would be fenced`)
  const incarnation =
    kept?.incarnation ?? (await work.persist(() => errands.elsewhere(node, { errand: 'fence-plan', node }))).incarnation
  await work.keep({ incarnation })
  work.signal.throwIfAborted()
  work.tell(10, `fences ${node}, life ${incarnation}`)
  let agent = 'an earlier run of this job'
  try {
    agent = (await errands.elsewhere(node, { errand: 'fence', node, incarnation })).agent
  } catch (error) {
    // that life is over: fenced by an earlier run whose answer was lost, or ended by itself
    if (!kept || !isMatrixError(error, 'not-found')) throw error
  }
  await work.keep({ incarnation, agent })
  return { agent, incarnation }
}

async function recovered(node: string, incarnation: number, work: JobWork, desk: JobDesk): Promise<void> {
  work.tell(30, `waits until the others serve what ${node} held`)
  await until(
    () =>
      !members(desk).some((member) => member.name === node && member.incarnation === incarnation) &&
      desk.host.mounts().every(({ state }) => state === 'serving'),
    `${node} is fenced, and the others have not recovered what it held`,
    work,
  )
}

/** None while the view changes. */
function members({ host }: JobDesk) {
  return host.mesh.view?.members ?? []
}

async function until(holds: () => boolean, otherwise: string, { signal }: JobWork): Promise<void> {
  for (const deadline = performance.now() + BACK_LIMIT_MS; !holds(); await sleep(LOOK_MS)) {
    signal.throwIfAborted()
    if (performance.now() > deadline)
      throw new MatrixError('not-found', `${otherwise} within ${BACK_LIMIT_MS / 1000} s`)
  }
}

async function evacuate(node: string, work: JobWork, { means, errands }: JobDesk) {
  work.tell(5, `looks what ${node} has`)
  const mounts = await work.persist(() => errands.at(node, { errand: 'mounts' }))
  const sights = (await means.virtualHosts?.look()) ?? []
  const borne = sights.filter((host) => host.node === node)
  const steps = borne.length + mounts.length
  const moved: string[] = []
  for (const host of borne) {
    work.signal.throwIfAborted()
    const to = host.nodes.find(({ name, state }) => name !== node && state === 'well')
    if (!to) {
      const how = host.nodes.map(({ name, state }) => `${name}: ${state}`).join('; ')
      throw new MatrixError('in-use', `no other node of virtual host ${host.name} is well (${how})`)
    }
    work.tell(5 + Math.floor((90 * moved.length) / steps), `moves virtual host ${host.name} to ${to.name}`)
    await work.persist(() => means.virtualHosts?.move(host.name, to.name) ?? Promise.resolve())
    moved.push(`${host.name} → ${to.name}`)
    work.log(`virtual host ${host.name} is at ${to.name}`)
  }
  const unmounted: string[] = []
  for (const { directory } of mounts) {
    work.signal.throwIfAborted()
    work.tell(5 + Math.floor((90 * (moved.length + unmounted.length)) / steps), `unmounts ${directory}`)
    await work.persist(() => errands.at(node, { errand: 'unmount', directory }))
    unmounted.push(directory)
    work.log(`${directory} is unmounted`)
  }
  return {
    said: `${node} bears no virtual host and has nothing mounted: ${moved.length} moved, ${unmounted.length} unmounted`,
    details: { node, moved, unmounted },
  }
}
