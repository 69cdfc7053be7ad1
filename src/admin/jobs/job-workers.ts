/**
 * The worker of each kind at this node: takes jobs from the queue and runs them (job-run.ts).
 *
 * A job is this node's as long as it renews its lock. A node that dies, or whose Redis is away for longer than that, has lost it: others take it for stalled
 * and run it again, with what it has kept. A run here that has lost its job is aborted, and another begins here only once it has ended.
 *
 * A node that stops gives its jobs back to the queue at once.
 */
import { DelayedError, UnrecoverableError, WaitingError, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { InvariantError } from '../../base/assert.ts'
import { isMatrixError } from '../../base/errors.ts'
import { sleep, type Timer, within } from '../../platform/index.ts'
import type { Job, JobResult } from '../api/jobs.ts'
import type { JobDesk } from './job-desk.ts'
import type { JobKind, JobWork } from './job-kind.ts'
import { CANCELLED, cancelKey, type JobData, type QueuedJob, viewOf } from './job-queues.ts'
import { jobKinds } from './kinds/index.ts'
import { connect, type RedisPlace } from './redis-place.ts'

/** Of one kind, at one node: two filesystems may be scrubbed at once. */
const AT_ONCE = 2
/** A job whose worker does not renew it for so long is another's to take, ms. */
const LOCK_MS = 15_000
const STALLED_LOOK_MS = 5_000
/** How often a job may lose its node before something must be wrong with the job itself. */
const STALLED_MOST = 10
/** A job whose former run here has not ended yet is begun after this, ms. */
const FORMER_RUN_MS = 1_000
/** After an error of Redis a worker asks again after, ms. */
const AGAIN_MS = 1_000
/** An error of Redis is told of again after this, ms. */
const TELL_AGAIN_MS = 60_000
/** How often it is looked whether somebody has cancelled a job, and how often its progress is written, ms. */
const CANCEL_LOOK_MS = 1_000
const PROGRESS_MS = 500
/** A node that stops waits so long for its jobs to stop, ms. */
const STOP_LIMIT_MS = 5_000
/** How long a job asks a matrix that has other things to do for a moment, and how often, ms. */
const PATIENCE_MS = 120_000
const ASK_AGAIN_MS = 500

/** What may be otherwise when it is tried again. */
const passing = ['view-changed', 'peer-gone', 'no-route', 'timeout', 'busy', 'lun-io', 'withdrawn'] as const

export type JobWorkersOptions = {
  readonly place: RedisPlace
  readonly prefix: string
  readonly desk: JobDesk
  /** Something is new about a job here; `kept`: what it keeps now. Resolves once that is not lost with this node. Never rejects. */
  readonly onChange: (job: Job, kept: unknown) => Promise<unknown>
}

/** Why a run is aborted. */
class Ended extends Error {
  readonly why: 'cancelled' | 'lost' | 'stopping'

  constructor(why: Ended['why'], message: string) {
    super(message)
    this.why = why
  }
}

export class JobWorkers {
  readonly #options: JobWorkersOptions
  readonly #client: Redis
  readonly #workers: readonly Worker<JobData, JobResult>[]
  /** By kind and id. */
  readonly #runs = new Map<string, AbortController>()
  #isStopping = false
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(options: JobWorkersOptions) {
    this.#options = options
    const { place, prefix, desk } = options
    this.#client = connect(place, 'working', (error) => this.#tellError(error))
    this.#workers = jobKinds.map((kind) => {
      const worker = new Worker<JobData, JobResult>(kind.name, (job, token) => this.#process(kind, job, token), {
        ...{ connection: this.#client, prefix, name: desk.host.self.name, skipVersionCheck: true },
        ...{ concurrency: AT_ONCE, lockDuration: LOCK_MS, stalledInterval: STALLED_LOOK_MS },
        ...{ maxStalledCount: STALLED_MOST, runRetryDelay: AGAIN_MS },
      })
      worker.on('error', (error) => this.#tellError(error))
      worker.on('lockRenewalFailed', (ids) => {
        for (const id of ids)
          this.#runs.get(`${kind.name}/${id}`)?.abort(new Ended('lost', 'the job is another worker’s by now'))
      })
      worker.on('completed', (job) => this.#tell(job, 'completed'))
      worker.on('failed', (job) => job && this.#tell(job, job.finishedOn === undefined ? 'retrying' : 'failed'))
      return worker
    })
  }

  /** Jobs go back to their queues. Never rejects, and does not wait long for a Redis that is away. */
  async stop(): Promise<void> {
    this.#isStopping = true
    for (const controller of this.#runs.values())
      controller.abort(new Ended('stopping', 'this node gives its jobs to others'))
    const closing = Promise.allSettled(this.#workers.map((worker) => worker.close()))
    await within(this.#options.desk.host.clock, closing, STOP_LIMIT_MS)
    this.#client.disconnect()
    for (const worker of this.#workers) void worker.close(true).catch(() => {})
  }

  async #process(kind: JobKind, job: QueuedJob, token: string | undefined): Promise<JobResult> {
    const key = `${kind.name}/${job.id}`
    const former = this.#runs.get(key)
    if (former) {
      // BullMQ knows one run of a job at a worker, and would take the end of that one for the end of this
      former.abort(new Ended('lost', 'the job is begun anew'))
      await job.moveToDelayed(Date.now() + FORMER_RUN_MS, token)
      throw new DelayedError()
    }
    const controller = new AbortController()
    this.#runs.set(key, controller)
    if (this.#isStopping) controller.abort(new Ended('stopping', 'this node is stopping'))
    try {
      return await this.#run(kind, job, controller)
    } catch (error) {
      const { reason } = controller.signal
      if (reason instanceof Ended && reason.why === 'stopping') {
        await job.moveToWait(token)
        throw new WaitingError()
      }
      if (reason instanceof Ended && reason.why === 'cancelled') throw new UnrecoverableError(reason.message)
      if (reason instanceof Ended) throw reason // whoever has the job by now goes on with it
      throw this.#judged(error)
    } finally {
      this.#runs.delete(key)
    }
  }

  async #run(kind: JobKind, job: QueuedJob, controller: AbortController): Promise<JobResult> {
    const { desk, prefix } = this.#options
    const { clock } = desk.host
    const cancelled = cancelKey(prefix, kind.name, job.id as string)
    const look = async (): Promise<void> => {
      const by = await this.#client.get(cancelled)
      if (by !== null) controller.abort(new Ended('cancelled', `${CANCELLED}${by}`))
    }
    await look()
    controller.signal.throwIfAborted()
    let looking = false
    const looks = clock.every(CANCEL_LOOK_MS, () => {
      if (looking) return
      looking = true
      void look()
        .catch(() => {}) // the connection has told it, and it is looked again
        .finally(() => {
          looking = false
        })
    })
    const progress = new ProgressWriter(job, (percent) => this.#tell(job, 'active', percent), desk)
    try {
      return await kind.run(job.data.input, this.#work(job, controller.signal, progress), desk)
    } finally {
      looks.cancel()
      progress.end()
    }
  }

  #work(job: QueuedJob, signal: AbortSignal, progress: ProgressWriter): JobWork {
    const { clock } = this.#options.desk.host
    return {
      signal,
      kept: job.data.kept,
      keep: async (kept) => {
        await job.updateData({ ...job.data, kept })
        await this.#options.onChange({ ...viewOf(job, 'active', false), ...progress.last }, kept)
        signal.throwIfAborted()
      },
      tell: (percent, sentence) => progress.tell({ percent, sentence }),
      log: (line) => void job.log(line).catch(() => {}),
      async persist(once) {
        const deadline = clock.now() + PATIENCE_MS
        for (;;) {
          signal.throwIfAborted()
          try {
            return await once()
          } catch (error) {
            if (!isMatrixError(error, 'view-changed', 'peer-gone', 'timeout') || clock.now() > deadline) throw error
            progress.tell({ percent: progress.last.percent, sentence: `waits: ${error.message}` })
          }
          await sleep(clock, ASK_AGAIN_MS)
        }
      },
    }
  }

  /** What is no use to try again is not; what is a bug ends the node, as anywhere. */
  #judged(error: unknown): Error {
    const { clock, log } = this.#options.desk.host
    if (error instanceof InvariantError)
      clock.soon(() => {
        throw error
      })
    const failure = error instanceof Error ? error : new Error(String(error))
    if (isMatrixError(error, ...passing)) return failure
    if (!isMatrixError(error)) log.error({ error: failure.stack }, 'a job failed by what was not expected')
    return new UnrecoverableError(failure.message)
  }

  #tell(job: QueuedJob, state: Job['state'], progress?: { percent: number; sentence: string }): void {
    const view = viewOf(job, state, false)
    void this.#options.onChange(progress ? { ...view, ...progress } : view, job.data.kept)
  }

  /** One for all workers, every now and then: each of them meets a Redis that is away. */
  #tellError(error: Error): void {
    const { clock, log } = this.#options.desk.host
    if (this.#isStopping || clock.now() < this.#toldAt + TELL_AGAIN_MS) return
    this.#toldAt = clock.now()
    log.warn(
      { redis: this.#options.place.shown, error: error.message },
      'a worker of jobs has met an error, and goes on',
    )
  }
}

/** Progress is told often, and written and passed on now and then: the last of it always is. */
class ProgressWriter {
  readonly #job: QueuedJob
  readonly #onTell: (progress: { percent: number; sentence: string }) => void
  readonly #desk: JobDesk
  #last: { percent: number; sentence: string } = { percent: 0, sentence: '' }
  #timer: Timer | undefined

  constructor(job: QueuedJob, onTell: ProgressWriter['tell'], desk: JobDesk) {
    this.#job = job
    this.#onTell = onTell
    this.#desk = desk
  }

  get last(): { readonly percent: number; readonly sentence: string } {
    return this.#last
  }

  tell(progress: { percent: number; sentence: string }): void {
    this.#last = progress
    this.#timer ??= this.#desk.host.clock.after(PROGRESS_MS, () => this.#write())
  }

  end(): void {
    if (!this.#timer) return
    this.#timer.cancel()
    this.#write()
  }

  #write(): void {
    this.#timer = undefined
    this.#job.updateProgress(this.#last).catch(() => {}) // the connection has told it
    this.#onTell(this.#last)
  }
}
