/**
 * The jobs of a matrix, as one node has them (docs/decisions/0021-jobs.md).
 *
 *     redis in [admin]    every node asks that Redis, and runs workers
 *     no redis there      the administrator has a Redis of its own, and runs the workers; the others ask it over the mesh
 *
 * In the second case every member remembers all unfinished jobs (job-ledger.ts), and has been told of one before whoever started it is. A new administrator
 * gathers what the members remember, and begins the unfinished jobs in a Redis of its own. That is started when there is a job, not before.
 *
 * Nothing that serves files waits for any of this: no call here is made from there, and a Redis that is away costs a line in the log.
 */
import * as v from 'valibot'
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import { Turns } from '../../base/turns.ts'
import { parseBody } from '../../cluster/index.ts'
import { sleep, type Timer } from '../../platform/index.ts'
import type { AdminHost } from '../admin-host.ts'
import * as api from '../api/jobs.ts'
import { Errands } from './errands.ts'
import { describeKinds } from './job-descriptions.ts'
import type { JobDesk } from './job-desk.ts'
import type { JobHome } from './job-home.ts'
import { isFinished, JobLedger, type LedgerEntry, ledgerEntries } from './job-ledger.ts'
import { decodeErrand, decodeJobRequest, type JobAsk } from './job-protocol.ts'
import type { BoardAnswer } from './queue-board.ts'
import { redisPlace } from './redis-place.ts'
import { RedisProcess } from './redis-process.ts'

/** How often it is looked who is administrator, ms. */
const LOOK_MS = 500
/** The administrator answers within so long; a member remembers, or says what it does, ms. */
const ASK_LIMIT_MS = 15_000
const REMEMBER_LIMIT_MS = 2_000
/** So often a member is asked what it remembers, before it is taken for one that does not say. */
const GATHER_TIMES = 5
const GATHER_AGAIN_MS = 500
/** Jobs that are shown. */
const SHOWN = 200

export class Jobs {
  readonly #host: AdminHost
  readonly #desk: JobDesk
  readonly #ledger: JobLedger
  readonly #onJob: (job: api.Job) => void
  readonly #turns = new Turns()
  #looking: Timer | undefined
  #home: JobHome | undefined
  #redis: RedisProcess | undefined
  /** This node keeps the jobs of the matrix since it became administrator, and knows what the others remember. */
  #keeps = false
  /** The view whose members have been told everything. */
  #toldView = 0
  #begun = false
  #closed = false

  /** `onJob`: a job has changed, here or at another node. */
  constructor(host: AdminHost, onJob: (job: api.Job) => void) {
    this.#host = host
    this.#onJob = onJob
    this.#ledger = new JobLedger(host.stateDir, host.log)
    this.#desk = { host, means: host.means, errands: new Errands(host, host.means) }
    host.mesh.onRequest('job', (_from, body) => this.#answer(body))
    host.mesh.onMessage('job', (_from, payload) => this.#heard(payload))
  }

  /** The node serves: its workers may begin. */
  begin(): void {
    if (this.#begun || this.#closed) return
    this.#begun = true
    if (this.#host.redis) void this.#turns.take(() => this.#shared()).catch((error) => this.#complain(error))
    else this.#looking = this.#host.clock.every(LOOK_MS, () => void this.#look())
  }

  async list(): Promise<api.Jobs> {
    try {
      return v.parse(api.jobs, await this.ask({ ask: 'list' }))
    } catch (error) {
      if (!isMatrixError(error)) throw error
      return this.#listing([], error.message)
    }
  }

  /** Asks whoever keeps the jobs. Rejects as `JobQueues`, and with 'not-found' when nobody can keep any, 'view-changed' (ask again). */
  async ask(question: JobAsk): Promise<unknown> {
    if (this.#host.redis) return this.#do(question)
    const { mesh, self } = this.#host
    const slot = this.#administrator()
    if (slot === self.slot) return this.#do(question)
    if (slot === undefined)
      throw new MatrixError(
        'view-changed',
        'the matrix has no administrator at the moment, who keeps the jobs: ask again',
      )
    return mesh.request(slot, 'job', question, ASK_LIMIT_MS)
  }

  /** What bull-board says at `path` below `base`. Rejects with 'not-found' where the queues are another node's. */
  async board(base: string, path: string, query: URLSearchParams): Promise<BoardAnswer> {
    if (!this.#host.redis && this.#administrator() !== this.#host.self.slot) {
      const name = this.#host.mesh.view?.members.find(({ slot }) => slot === this.#administrator())?.name
      throw new MatrixError('not-found', `the queues are at ${name ?? 'the administrator'}; look at them there`)
    }
    if (!this.#host.redis) await this.#turns.take(() => this.#takeOver())
    const home = await this.#turns.take(() => this.#opened())
    return home.board(base).answer(path, query)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#looking?.cancel()
    await this.#turns.take(() => this.#leave())
  }

  // ── whoever keeps them ───────────────────────────────────────────────────────────────────────────────────────────

  async #do(question: JobAsk): Promise<unknown> {
    if (!this.#begun || this.#closed)
      throw new MatrixError(
        'busy',
        `${this.#host.self.name} is starting or stopping, or has no [admin]: it keeps no jobs`,
      )
    if (!this.#host.redis) await this.#turns.take(() => this.#takeOver())
    switch (question.ask) {
      case 'list':
        return this.#list()
      case 'show':
        return this.#show(question.kind, question.id)
      case 'start': {
        const { queues } = await this.#turns.take(() => this.#opened())
        const job = await queues.start(question.kind, question.input, question.by)
        this.#host.log.info({ kind: job.kind, job: job.id, by: job.by }, 'a job was started')
        return { job: await this.#told(job, undefined) }
      }
      case 'cancel': {
        const { queues } = await this.#turns.take(() => this.#opened())
        const job = await queues.cancel(question.kind, question.id, question.by)
        return { job: await this.#told(job, this.#ledger.find(job.kind, job.id)?.kept) }
      }
      case 'retry': {
        const { queues } = await this.#turns.take(() => this.#opened())
        const former = this.#ledger.find(question.kind, question.id)
        const job = await queues.retry(question.kind, question.id, question.by).catch((error) => {
          // of a former administrator's Redis
          if (!isMatrixError(error, 'not-found') || !former || !isFinished(former)) throw error
          return queues.start(question.kind, former.job.input, question.by)
        })
        return { job: await this.#told(job, undefined) }
      }
    }
  }

  async #list(): Promise<api.Jobs> {
    const remembered = this.#ledger.entries.map(({ job }) => job)
    if (this.#host.redis) {
      const { queues } = await this.#turns.take(() => this.#opened())
      return this.#listing(await queues.list(), undefined)
    }
    if (!this.#home) return this.#listing(remembered, this.#whyNoRedis())
    try {
      const kept = await this.#home.queues.list()
      const others = remembered.filter((old) => !kept.some(({ kind, id }) => kind === old.kind && id === old.id))
      return this.#listing([...kept, ...others], undefined)
    } catch (error) {
      if (!isMatrixError(error)) throw error
      return this.#listing(remembered, error.message)
    }
  }

  async #show(kind: string, id: string): Promise<api.JobWithLog> {
    const remembered = this.#host.redis ? undefined : this.#ledger.find(kind, id)
    const home = this.#host.redis ? await this.#turns.take(() => this.#opened()) : this.#home
    try {
      if (home) return await home.queues.show(kind, id)
    } catch (error) {
      if (!remembered || !isMatrixError(error)) throw error
    }
    if (!remembered) throw new MatrixError('not-found', `there is no job ${kind}/${id} (any more)`)
    return { job: remembered.job, log: ['the log was with a former administrator'] }
  }

  #listing(jobs: readonly api.Job[], reason: string | undefined): api.Jobs {
    const { redis } = this.#host
    const place = redis ? `Redis at ${redis.url}` : 'a Redis of the administrator’s own'
    const newest = [...jobs].sort((a, b) => b.createdAt - a.createdAt).slice(0, SHOWN)
    return { available: reason === undefined, reason: reason ?? null, place, kinds: describeKinds(), jobs: newest }
  }

  /** Where there is none to be had. */
  #whyNoRedis(): string | undefined {
    try {
      this.#redisProcess()
      return undefined
    } catch (error) {
      if (isMatrixError(error)) return error.message
      throw error
    }
  }

  #redisProcess(): RedisProcess {
    const { stateDir, redisPassword: password, clock, log } = this.#host
    return new RedisProcess({ stateDir, password, clock, log })
  }

  // ── homes ────────────────────────────────────────────────────────────────────────────────────────────────────────

  #opened(): Promise<JobHome> {
    return this.#host.redis ? this.#shared() : this.#private()
  }

  async #shared(): Promise<JobHome> {
    const { url, password } = this.#host.redis as NonNullable<AdminHost['redis']>
    this.#home ??= await this.#makeHome(redisPlace(url, password))
    return this.#home
  }

  /** Starts it when there is none yet. */
  async #private(): Promise<JobHome> {
    if (this.#home) return this.#home
    if (!this.#keeps) throw new MatrixError('view-changed', 'another node keeps the jobs by now: ask again')
    const redis = this.#redisProcess()
    await redis.start()
    this.#redis = redis
    this.#home = await this.#makeHome(redis.place)
    await this.#beginAnew(this.#home)
    return this.#home
  }

  async #makeHome(place: ReturnType<typeof redisPlace>): Promise<JobHome> {
    if (this.#closed) throw new MatrixError('withdrawn', 'the node ends')
    const { JobHome: Home } = await import('./job-home.ts')
    return new Home(place, this.#desk, (job, kept) => this.#told(job, kept))
  }

  // ── change of administrator ──────────────────────────────────────────────────────────────────────────────────────

  #administrator(): number | undefined {
    return this.#host.administrator()?.slot
  }

  async #look(): Promise<void> {
    try {
      await this.#turns.take(async () => {
        if (this.#closed) return
        const slot = this.#administrator()
        if (slot === this.#host.self.slot) await this.#takeOver()
        // while there is none, nobody else keeps them
        else if (slot !== undefined) await this.#leave()
      })
    } catch (error) {
      this.#complain(error)
    }
  }

  /** Once this node is administrator: what the others remember is known here, and what is unfinished goes on here. */
  async #takeOver(): Promise<void> {
    const { mesh, self } = this.#host
    if (this.#administrator() !== self.slot || !mesh.view)
      throw new MatrixError('view-changed', 'this node is not the administrator any more: ask again')
    if (!this.#keeps) {
      await this.#gather()
      this.#keeps = true
    }
    if (this.#toldView !== mesh.view.id) {
      const view = mesh.view.id
      await this.#remind(this.#ledger.entries)
      this.#toldView = view
    }
    const hasWork = this.#ledger.entries.some((entry) => !isFinished(entry))
    if (hasWork && !this.#home && this.#whyNoRedis() === undefined) await this.#private()
  }

  async #gather(): Promise<void> {
    const { mesh, self, clock, log } = this.#host
    const members = (mesh.view?.members ?? []).filter(({ slot }) => slot !== self.slot)
    await Promise.all(
      members.map(async ({ slot, name }) => {
        for (let times = 1; ; times++) {
          try {
            const body = await mesh.request(slot, 'job', { ask: 'ledger' }, REMEMBER_LIMIT_MS)
            this.#ledger.take(parseBody(ledgerEntries, body, 'ledger of jobs'))
            return
          } catch (error) {
            if (isMatrixError(error, 'view-changed')) throw error
            if (times === GATHER_TIMES)
              return log.warn({ node: name, error: String(error) }, 'a node does not say which jobs it remembers')
          }
          await sleep(clock, GATHER_AGAIN_MS)
        }
      }),
    )
  }

  /** What a former administrator had begun. */
  async #beginAnew({ queues }: JobHome): Promise<void> {
    const { log } = this.#host
    for (const { job, kept } of this.#ledger.entries.filter((entry) => !isFinished(entry)).reverse()) {
      try {
        const { kind, id, object, input, by, createdAt } = job
        await queues.add({ kind, id, object, input, by, kept, createdAt })
        if (job.cancelling) await queues.cancel(kind, id, by)
        log.info({ kind, job: id }, 'a job goes on here')
      } catch (error) {
        if (!isMatrixError(error, 'exists', 'not-found')) throw error
        // of a kind that this version does not have, or about what another one is about
        await this.#told({ ...job, state: 'failed', error: error.message }, kept)
      }
    }
  }

  /** Another node keeps the jobs, or this one ends. */
  async #leave(): Promise<void> {
    this.#keeps = false
    this.#toldView = 0
    const [home, redis] = [this.#home, this.#redis]
    this.#home = undefined
    this.#redis = undefined
    await home?.close()
    await redis?.stop()
  }

  // ── what changes ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Who watches sees it; and what must not be lost with this node, every member remembers before this resolves, as far as it answers. Never rejects. */
  async #told(job: api.Job, kept: unknown): Promise<api.Job> {
    const { mesh, self } = this.#host
    this.#onJob(job)
    const payload = Buffer.from(JSON.stringify(job))
    for (const { slot } of mesh.view?.members ?? []) if (slot !== self.slot) mesh.send(slot, 'job', payload)
    if (this.#host.redis || !this.#keeps) return job
    const before = this.#ledger.find(job.kind, job.id)
    const isSame =
      before?.job.state === job.state &&
      before.job.cancelling === job.cancelling &&
      JSON.stringify(before.kept) === JSON.stringify(kept)
    if (!isSame) await this.#remind([this.#ledger.set(job, kept)])
    return job
  }

  async #remind(entries: readonly LedgerEntry[]): Promise<void> {
    const { mesh, self } = this.#host
    const others = (mesh.view?.members ?? []).filter(({ slot }) => slot !== self.slot)
    await Promise.allSettled(
      others.map(({ slot }) => mesh.request(slot, 'job', { ask: 'remember', entries }, REMEMBER_LIMIT_MS)),
    )
  }

  #heard(payload: Buffer): void {
    const result = v.safeParse(v.pipe(v.string(), v.parseJson(), api.job), payload.toString('utf8'))
    if (result.success) this.#onJob(result.output)
  }

  async #answer(body: unknown): Promise<unknown> {
    const message = decodeJobRequest(body)
    switch (message.ask) {
      case 'ledger':
        // two nodes do not keep them at once
        if (this.#administrator() !== this.#host.self.slot) await this.#turns.take(() => this.#leave())
        return plain(this.#ledger.entries)
      case 'remember':
        this.#ledger.take(message.entries)
        return null
      case 'errand':
        return plain(await this.#desk.errands.run(decodeErrand(body)))
      default:
        return plain(await this.#do(message))
    }
  }

  #complain(error: unknown): void {
    if (!this.#closed && !isMatrixError(error, 'view-changed'))
      this.#host.log.warn({ error: String(error) }, 'the jobs cannot be kept at this moment; it is tried again')
  }
}

/** As the mesh carries it: no undefined. */
function plain(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value))
}
