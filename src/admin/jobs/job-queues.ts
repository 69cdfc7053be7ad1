/**
 * The jobs that a Redis keeps: one BullMQ queue per kind. Everything here is asked for by people, and is answered at once or refused.
 *
 *     matrixfs.MATRIX:KIND:…             BullMQ's own keys
 *     matrixfs.MATRIX:cancel:KIND:ID     who wants the job to end; looked at by whoever runs it
 *
 * Of each kind one job per object is under way at a time: BullMQ's deduplication by the object, which Redis decides in one step whoever asks. A job that has
 * ended stays as history; trying it again is a new job.
 */
import { randomBytes } from 'node:crypto'
import { type Job as BullJob, Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import * as v from 'valibot'
import { MatrixError } from '../../base/errors.ts'
import { type Clock, within } from '../../platform/index.ts'
import type { Job, JobResult, JobWithLog } from '../api/jobs.ts'
import type { JobInput } from './job-kind.ts'
import { jobKinds, kindNamed } from './kinds/index.ts'
import { checkRedis, connect, explainRedis, type RedisPlace } from './redis-place.ts'

/** A Redis that does not answer for so long is told of, ms. */
const LIMIT_MS = 4_000
/** Of each kind. */
const FINISHED_KEPT = 100
const FINISHED_SHOWN = 20
const LOG_LINES = 500
/** A job that fails by what may pass is tried again after this, twice this, … ms. */
const BACKOFF_MS = 2_000
/** What cancels a job is forgotten after, s. */
const CANCEL_KEPT_S = 7 * 86_400
/** How a cancelled job's reason begins: BullMQ knows of failures alone. */
export const CANCELLED = 'cancelled by '

/** What Redis keeps of a job beside what BullMQ does. */
export type JobData = {
  readonly object: string
  readonly input: JobInput
  readonly by: string
  readonly kept?: unknown
}
export type QueuedJob = BullJob<JobData, JobResult>

export class JobQueues {
  readonly #place: RedisPlace
  readonly #clock: Clock
  readonly #client: Redis
  readonly #queues = new Map<string, Queue<JobData, JobResult>>()
  readonly prefix: string
  #checked: Promise<void> | undefined

  /** `onError`: of the connection, for a log. */
  constructor(place: RedisPlace, matrixName: string, clock: Clock, onError: (error: Error) => void) {
    this.#place = place
    this.#clock = clock
    this.prefix = `matrixfs.${matrixName}`
    this.#client = connect(place, 'asking', onError)
    this.#client.on('close', () => {
      this.#checked = undefined
    })
    for (const { name } of jobKinds) {
      const queue = new Queue<JobData, JobResult>(name, {
        ...{ connection: this.#client, prefix: this.prefix, skipVersionCheck: true },
      })
      queue.on('error', () => {}) // of the connection, which has told it
      this.#queues.set(name, queue)
    }
  }

  /** The newest first. Rejects as all methods here: 'busy' when Redis does not answer, 'no-space' when it is full, 'config' when it cannot be used. */
  list(): Promise<readonly Job[]> {
    return this.#ask(async () => {
      const all = await Promise.all([...this.#queues.values()].map((queue) => this.#jobsOf(queue)))
      return all.flat().sort((a, b) => b.createdAt - a.createdAt)
    })
  }

  async show(kind: string, id: string): Promise<JobWithLog> {
    const queue = this.#queue(kind)
    return this.#ask(async () => {
      const { view } = await this.#find(queue, id)
      const { logs } = await queue.getJobLogs(id, 0, LOG_LINES)
      return { job: view, log: logs }
    })
  }

  /** Rejects with 'query' (its input), and 'exists' when one about the same is under way. */
  async start(kindName: string, given: unknown, by: string, kept?: unknown): Promise<Job> {
    const kind = kindNamed(kindName)
    const input = checkedInput(kind.input, given)
    const object = kind.object(input)
    const id = `${object.replace(/[^a-z0-9_-]+/gi, '-').slice(-40)}.${randomBytes(4).toString('hex')}`
    return this.add({ kind: kindName, id, object, input, by, kept })
  }

  /** As it is: a job that another Redis has had. Rejects as `start`. */
  async add(job: JobData & { readonly kind: string; readonly id: string; readonly createdAt?: number }): Promise<Job> {
    const { kind, id, object, input, by, kept, createdAt } = job
    const queue = this.#queue(kind)
    return this.#ask(async () => {
      const added = await queue.add(
        kind,
        { object, input, by, ...(kept !== undefined && { kept }) },
        {
          ...{ jobId: id, deduplication: { id: object }, attempts: kindNamed(kind).attempts },
          ...{ backoff: { type: 'exponential', delay: BACKOFF_MS }, keepLogs: LOG_LINES },
          ...{ removeOnComplete: { count: FINISHED_KEPT }, removeOnFail: { count: FINISHED_KEPT } },
          ...(createdAt !== undefined && { timestamp: createdAt }),
        },
      )
      if (added.id !== id)
        throw new MatrixError('exists', `${kind} of ${object} is under way already: job ${kind}/${added.id}`)
      return viewOf(added, 'waiting', false)
    })
  }

  /** Whoever runs it ends it within a second or so; one that waits ends when it would begin. */
  async cancel(kind: string, id: string, by: string): Promise<Job> {
    const queue = this.#queue(kind)
    return this.#ask(async () => {
      const { job, view } = await this.#find(queue, id)
      const { state } = view
      if (isOver(state)) throw new MatrixError('in-use', `job ${kind}/${id} has ended already: it is ${state}`)
      await this.#client.set(cancelKey(this.prefix, kind, id), by, 'EX', CANCEL_KEPT_S)
      if (state === 'retrying') await job.promote().catch(() => {}) // it has just begun
      return { ...view, cancelling: true }
    })
  }

  /** A new job like one that has failed, or was cancelled. Rejects as `start`. */
  async retry(kind: string, id: string, by: string): Promise<Job> {
    const queue = this.#queue(kind)
    const found = await this.#ask(async () => {
      const { job, view } = await this.#find(queue, id)
      const { state } = view
      if (state !== 'failed' && state !== 'cancelled')
        throw new MatrixError(
          'in-use',
          `job ${kind}/${id} is ${state}; one that has failed, or was cancelled, can be tried again`,
        )
      return job
    })
    return this.start(kind, found.data.input, by, kindNamed(kind).resumes ? found.data.kept : undefined)
  }

  /** For bull-board. */
  get queues(): readonly Queue[] {
    return [...this.#queues.values()]
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#queues.values()].map((queue) => queue.close()))
    this.#client.disconnect()
  }

  #queue(kind: string): Queue<JobData, JobResult> {
    return this.#queues.get(kindNamed(kind).name) as Queue<JobData, JobResult>
  }

  async #find(queue: Queue<JobData, JobResult>, id: string): Promise<{ job: QueuedJob; view: Job }> {
    // in this order: what has ended by now has its result in its record
    const state = await queue.getJobState(id)
    const job = (await queue.getJob(id)) as QueuedJob | undefined
    if (!job) throw new MatrixError('not-found', `there is no job ${queue.name}/${id} (any more)`)
    const known = state === 'completed' || state === 'failed' || state === 'active' ? state : 'waiting'
    const cancelling = await this.#isCancelling(job)
    return { job, view: viewOf(job, state === 'delayed' ? 'retrying' : known, cancelling) }
  }

  async #isCancelling(job: QueuedJob): Promise<boolean> {
    return (await this.#client.exists(cancelKey(this.prefix, job.name, job.id as string))) === 1
  }

  /** In the order in which jobs go from state to state, so that none is missed; one that goes on meanwhile is in two lists, and the later one is right. */
  async #jobsOf(queue: Queue<JobData, JobResult>): Promise<readonly Job[]> {
    const asked: readonly [Job['state'], Promise<BullJob[]>][] = [
      ['waiting', queue.getWaiting()],
      ['active', queue.getActive()],
      ['retrying', queue.getDelayed()],
      ['completed', queue.getCompleted(0, FINISHED_SHOWN - 1)],
      ['failed', queue.getFailed(0, FINISHED_SHOWN - 1)],
    ]
    // all of them awaited together: when Redis goes away each of them fails, and none may be left without anybody who hears it
    const lists = await Promise.all(asked.map(async ([state, list]) => [state, await list] as const))
    const found = new Map<string, Job>()
    for (const [state, list] of lists)
      for (const job of list.filter(isThere)) {
        const cancelling = !isOver(state) && (await this.#isCancelling(job))
        found.set(job.id as string, viewOf(job, state, cancelling))
      }
    return [...found.values()]
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    const { shown } = this.#place
    try {
      const answering = (async () => {
        if (this.#client.status !== 'ready') await ready(this.#client)
        this.#checked ??= checkRedis(this.#client, shown)
        await this.#checked
        return question()
      })()
      answering.catch(() => {}) // looked at below, unless it comes late
      const answer = await within(this.#clock, answering, LIMIT_MS)
      if (answer === 'late') throw new Error('Command timed out')
      return answer as T
    } catch (error) {
      if (!(error instanceof MatrixError)) this.#checked = undefined
      throw explainRedis(error, shown)
    }
  }
}

/** Rejects with why the connection is not there, as far as that is known. */
function ready(client: Redis): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      client.off('ready', onReady)
      client.off('error', settle)
      if (error) reject(error)
      else resolve()
    }
    const onReady = (): void => settle()
    client.once('ready', onReady)
    client.once('error', settle)
  })
}

export function cancelKey(prefix: string, kind: string, id: string): string {
  return `${prefix}:cancel:${kind}:${id}`
}

function isOver(state: Job['state']): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled'
}

/** A list may name a job that has just been removed. */
function isThere(job: BullJob | undefined): job is QueuedJob {
  return job?.id !== undefined && v.is(v.object({ object: v.string() }), job.data)
}

/** Throws MatrixError 'query' that names the entry, what was found and what is allowed. */
export function checkedInput(schema: v.GenericSchema<unknown, JobInput>, given: unknown): JobInput {
  const result = v.safeParse(schema, given)
  if (result.success) return result.output
  const [issue] = result.issues
  const where = v.getDotPath(issue)
  throw new MatrixError('query', `input${where ? `.${where}` : ''}: ${issue.message}`)
}

/** As far as BullMQ's record tells. */
export function viewOf(job: QueuedJob, state: Job['state'], cancelling: boolean): Job {
  const { object, input, by } = job.data
  const progress = v.safeParse(v.object({ percent: v.number(), sentence: v.string() }), job.progress)
  const isCancelled = state === 'failed' && job.failedReason?.startsWith(CANCELLED)
  return {
    ...{ kind: job.name, id: job.id as string, object, input: { ...input }, by },
    state: isCancelled ? 'cancelled' : state,
    cancelling: cancelling && !isOver(state),
    percent: state === 'completed' ? 100 : progress.success ? progress.output.percent : 0,
    sentence: progress.success ? progress.output.sentence : '',
    node: job.processedBy ?? null,
    attempts: job.attemptsStarted,
    createdAt: job.timestamp,
    startedAt: job.processedOn ?? null,
    finishedAt: job.finishedOn ?? null,
    result: state === 'completed' ? job.returnvalue : null,
    error: isOver(state) || state === 'retrying' ? (job.failedReason ?? null) : null,
  }
}
