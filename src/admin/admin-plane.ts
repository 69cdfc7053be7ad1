/** The admin plane of one node: it reports to its peers in any case, and serves people and programs where it is told to listen. */
import type { MatrixdConfig } from '../../config/index.ts'
import { MatrixError } from '../base/errors.ts'
import type { TimelineEntry } from '../recovery/index.ts'
import type { AdminHost } from './admin-host.ts'
import { AdminServer } from './admin-server.ts'
import type { SqlAnswer } from './api/answers.ts'
import { Collector } from './collector.ts'
import type { Desk } from './endpoint.ts'
import { endpoints } from './endpoints.ts'
import { EventStream } from './event-stream.ts'
import { ImageReader } from './image-reader.ts'
import { Jobs } from './jobs/jobs.ts'
import { PathNames } from './path-names.ts'
import { runSql } from './sql.ts'

/** How often it is looked whether view or administrator are others, ms. */
const STATE_LOOK_MS = 500

export class AdminPlane {
  readonly #host: AdminHost
  readonly #collector: Collector
  readonly #reader: ImageReader
  readonly #events: EventStream
  readonly #desk: Desk
  readonly #looking: { cancel(): void }
  readonly jobs: Jobs
  #server: AdminServer | undefined
  #state = ''

  constructor(host: AdminHost) {
    const { clock, logTail } = host
    this.#host = host
    this.#collector = new Collector(host)
    this.#reader = new ImageReader(clock)
    this.#events = new EventStream(clock)
    const names = new PathNames(this.#reader, clock)
    this.jobs = new Jobs(host, (job) => this.#events.send('job', job))
    this.#desk = { host, collector: this.#collector, reader: this.#reader, names, jobs: this.jobs }
    this.#looking = clock.every(STATE_LOOK_MS, () => this.#tellState())
    logTail.onLine = (line) => this.#events.send('log', line)
  }

  /** Rejects with MatrixError 'in-use', or 'config' when certificate or users cannot be read. */
  async listen({
    listen,
    ...served
  }: NonNullable<MatrixdConfig['admin']>): Promise<{ readonly port: number; readonly url: string }> {
    this.#server = new AdminServer(this.#desk, this.#events, served)
    return this.#server.listen(listen.host, listen.port)
  }

  /** A step of a change of membership, for those who listen. */
  noteTimeline(entry: TimelineEntry): void {
    this.#events.send('timeline', entry)
  }

  /** As the API answers at `path`; rejects as it refuses. */
  async report(path: string): Promise<unknown> {
    const endpoint = endpoints.find((each) => each.path === path && each.method === 'get')
    if (!endpoint) throw new MatrixError('not-found', `the admin plane has no ${path}`)
    return endpoint.run(this.#desk, new URLSearchParams(), undefined, {})
  }

  /** Rejects as `runSql`. */
  sql(question: { readonly filesystem?: string; readonly sql: string; readonly maxRows?: number }): Promise<SqlAnswer> {
    return runSql(this.#host, this.#reader, question)
  }

  async close(): Promise<void> {
    this.#looking.cancel()
    this.#host.logTail.onLine = () => {}
    this.#collector.stop()
    await this.jobs.close()
    this.#reader.close()
    this.#events.close()
    await this.#server?.close()
  }

  #tellState(): void {
    const { phase, view } = this.#host.cluster()
    const administrator = this.#host.administrator()
    const node = view?.members.find(({ slot }) => slot === administrator?.slot)
    const state = { view: view?.id ?? null, phase, administrator: node?.name ?? null }
    const told = JSON.stringify(state)
    if (told === this.#state) return
    this.#state = told
    this.#events.send('state', state)
  }
}
