/**
 * What the dashboard knows: told by the node that serves it every two seconds while somebody looks, asked for at once when an event says that something has
 * changed, and less and less often while the node tells nothing.
 */
import { useEffect, useRef, useState } from 'preact/hooks'

/** @typedef {import('../api/answers.ts').Matrix} Matrix */
/** @typedef {import('../api/answers.ts').Luns} Luns */
/** @typedef {import('../api/answers.ts').Filesystems} Filesystems */
/** @typedef {import('../api/answers.ts').Waits} Waits */
/** @typedef {import('../api/answers.ts').Locks} Locks */
/** @typedef {import('../api/answers.ts').Services} Services */
/** @typedef {import('../api/answers.ts').SamplesAnswer} SamplesAnswer */
/** @typedef {import('../api/answers.ts').TimelineStep} TimelineStep */
/** @typedef {import('../api/answers.ts').SqlAnswer} SqlAnswer */
/** @typedef {import('../api/jobs.ts').Jobs} Jobs */
/** @typedef {import('../api/overview.ts').Overview} Overview */
/** @typedef {{ at: number, level: 'warn' | 'error', message: string, fields: string }} LogLine */
/**
 * @typedef {object} Knowledge
 * @property {Matrix} [matrix]
 * @property {Matrix} [before] the answer before `matrix`: what has been done since
 * @property {Luns} [luns]
 * @property {Filesystems} [filesystems]
 * @property {Waits} [waits]
 * @property {Locks} [locks]
 * @property {Jobs} [jobs]
 * @property {Services} [services]
 * @property {Overview['replications']} [replications]
 * @property {TimelineStep[]} timeline
 * @property {LogLine[]} log
 * @property {Map<string, Sample[]>} samples by node, oldest first
 * @property {string} [error] why the node does not answer
 * @property {boolean} live events arrive
 * @property {() => void} look asks at once
 */
/** @typedef {import('../api/node-report.ts').Sample} Sample */

const PERIOD_MS = 2_000
const PERIOD_MAX_MS = 15_000
/** A node that has told nothing for so long is asked, ms. */
const SILENCE_MS = 5_000
/** Of the timeline, steps. */
const STEPS_MAX = 1_000
/** As long as the nodes keep them, ms. */
const SAMPLES_FOR_MS = 15 * 60_000

/** The second number of this session: what changes something needs it. */
let csrf = ''
let onSignedOut = () => {}

/** @param {() => void} listener the session has ended */
export function whenSignedOut(listener) {
  onSignedOut = listener
}

/**
 * @template T
 * @param {string} path below the API
 * @param {unknown} [question] of a POST
 * @returns {Promise<T>}
 */
export async function ask(path, question) {
  const response = await fetch(`api${path}`, {
    ...(question !== undefined && {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(csrf !== '' && { 'X-Matrix-CSRF': csrf }) },
      body: JSON.stringify(question),
    }),
    signal: AbortSignal.timeout(10_000),
  })
  const body = await response.json()
  if (response.status === 401 && !path.startsWith('/session')) onSignedOut()
  if (!response.ok) throw new Error(body?.error?.message ?? `status ${response.status}`)
  if (path.startsWith('/session')) csrf = body.csrf ?? ''
  return body
}

/** @returns {Knowledge} */
export function useKnowledge() {
  const [known, setKnown] = useState(
    /** @type {Knowledge} */ ({ timeline: [], log: [], samples: new Map(), live: false, look() {} }),
  )
  const latest = useRef(known)
  latest.current = known
  useEffect(() => {
    let stopped = false
    let period = PERIOD_MS
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer
    let learning = false
    let missed = false
    /** @type {EventSource | undefined} */
    let events
    /** @param {Partial<Knowledge>} news */
    const learn = (news) => {
      if (!stopped) setKnown((before) => ({ ...before, ...news }))
    }
    /** One at a time. @param {() => Promise<Overview> | Overview} source */
    const take = async (source) => {
      clearTimeout(timer)
      if (learning || stopped) return
      learning = true
      try {
        learn(await learnt(latest.current, await source()))
        period = PERIOD_MS
      } catch (error) {
        learn({ error: error instanceof Error ? error.message : String(error) })
        period = Math.min(period * 1.5, PERIOD_MAX_MS)
      }
      learning = false
      if (missed) {
        missed = false
        look()
        return
      }
      // nobody looks at a hidden page; and while it is told, it asks only when it is not
      if (!document.hidden) timer = setTimeout(look, latest.current.live ? SILENCE_MS : period)
    }
    const look = () => {
      if (learning) missed = true
      else void take(() => ask('/overview'))
    }
    const listen = () => {
      events = new EventSource('api/events?follow=overview')
      events.onopen = () => learn({ live: true })
      events.onerror = () => {
        learn({ live: false })
        look()
      }
      for (const name of ['timeline', 'state', 'log']) events.addEventListener(name, look)
      // a step is shown as it is done: what the nodes say of themselves may take longer than the whole change
      events.addEventListener('timeline', ({ data }) => {
        if (!stopped) setKnown((before) => ({ ...before, timeline: withSteps([JSON.parse(data)], before.timeline) }))
      })
      events.addEventListener('overview', ({ data }) => void take(() => JSON.parse(data)))
      events.addEventListener('job', ({ data }) => {
        if (!stopped) setKnown((before) => ({ ...before, jobs: withJob(before.jobs, JSON.parse(data)) }))
      })
    }
    const onVisible = () => {
      events?.close()
      if (document.hidden) return
      listen()
      look()
    }
    document.addEventListener('visibilitychange', onVisible)
    learn({ look })
    onVisible()
    return () => {
      stopped = true
      clearTimeout(timer)
      events?.close()
      document.removeEventListener('visibilitychange', onVisible)
    }
  }, [])
  return known
}

/** @param {Knowledge} known @param {Overview} overview @returns {Promise<Partial<Knowledge>>} */
async function learnt(known, overview) {
  const samples = await samplesSince(known.samples, overview.samples)
  // what needs the LUNs may fail while they do; the rest is shown all the same
  const { matrix, filesystems, luns, waits, locks, jobs, services, replications, timeline, log } = overview
  return {
    ...{
      matrix,
      replications,
      timeline: withSteps(timeline.entries, known.timeline),
      log: log.lines,
      error: undefined,
    },
    filesystems: filesystems ?? undefined,
    waits: waits ?? undefined,
    luns: luns ?? known.luns,
    locks: locks ?? known.locks,
    jobs: jobs ?? known.jobs,
    services: services ?? known.services,
    // an answer that was shared with other viewers is no later one
    before: known.matrix && known.matrix.at < matrix.at ? known.matrix : known.before,
    samples: joined(known.samples, samples),
  }
}

/**
 * What has not been known yet: mostly the newest are all of it.
 *
 * @param {Map<string, Sample[]>} known
 * @param {SamplesAnswer} newest
 * @returns {Promise<SamplesAnswer>}
 */
async function samplesSince(known, newest) {
  const ends = newest.nodes.map(({ node, samples }) => {
    const [first] = samples
    const last = known.get(node)?.at(-1)?.at ?? 0
    return !first || first.at <= last ? undefined : last
  })
  const gaps = ends.filter((end) => end !== undefined)
  return gaps.length === 0 ? newest : ask(`/samples?since=${Math.min(...gaps)}`)
}

/** @param {Map<string, Sample[]>} known @param {SamplesAnswer} news */
function joined(known, news) {
  const all = new Map(known)
  for (const { node, samples } of news.nodes) {
    const former = all.get(node) ?? []
    const last = former.at(-1)?.at ?? 0
    const later = samples.filter(({ at }) => at > last)
    const begin = (later.at(-1)?.at ?? last) - SAMPLES_FOR_MS
    all.set(
      node,
      [...former, ...later].filter(({ at }) => at > begin),
    )
  }
  return all
}

/** Steps as they have been answered, and what events have told since. @param {readonly TimelineStep[]} told @param {readonly TimelineStep[]} known */
function withSteps(told, known) {
  const keyOf = (/** @type {TimelineStep} */ { view, node, step, startedAt }) => `${view} ${node} ${step} ${startedAt}`
  const all = new Map([...known, ...told].map((step) => [keyOf(step), step]))
  return [...all.values()].sort((a, b) => a.startedAt - b.startedAt).slice(-STEPS_MAX)
}

/** As an event has told of one. @param {Jobs | undefined} known @param {Jobs['jobs'][number]} job */
function withJob(known, job) {
  if (!known) return known
  const others = known.jobs.filter(({ kind, id }) => kind !== job.kind || id !== job.id)
  return { ...known, jobs: [...others, job].sort((a, b) => b.createdAt - a.createdAt) }
}
