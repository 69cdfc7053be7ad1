/**
 * What the whole matrix says, gathered when somebody asks and kept for a moment. All that is told of the matrix comes from here: the reports of its
 * members, the membership database, how every member sees the LUNs, and the locks by their masters.
 */
import type { Slot } from '../base/ids.ts'
import type { LunMembers } from '../recovery/index.ts'
import type { MembershipDatabase } from '../san/index.ts'
import type { AdminHost } from './admin-host.ts'
import type { LockReport, NodeReport, Sample } from './api/node-report.ts'
import { reportLocks, reportNode } from './node-reporter.ts'
import { type Answer, Reporter } from './reporter.ts'
import { SAMPLE_MS, Samples } from './samples.ts'
import { SharedAnswer } from './shared-answer.ts'

/** For how long an answer is fresh, ms. Looking at LUNs is I/O at every node. */
const REPORTS_FRESH_MS = 1_000
const DATABASE_FRESH_MS = 2_000
const SIGHTS_FRESH_MS = 10_000
/** Of a peer's samples, as of one's own. */
const PEER_SAMPLES_KEPT = 450

type Database = { readonly database: MembershipDatabase } | { readonly error: string }

export class Collector {
  readonly #host: AdminHost
  readonly #own: Samples
  readonly #startedAt: number
  readonly #reports: SharedAnswer<readonly Answer<NodeReport>[]>
  readonly #locks: SharedAnswer<readonly Answer<readonly LockReport[]>[]>
  readonly #database: SharedAnswer<Database>
  readonly #sights: SharedAnswer<Awaited<ReturnType<LunMembers['look']>> | string>
  readonly #samples: SharedAnswer<readonly Answer<readonly Sample[]>[]>
  /** By slot, as this node has been told. */
  readonly #told = new Map<Slot, Sample[]>()

  constructor(host: AdminHost) {
    const { clock, mesh, self } = host
    this.#host = host
    this.#startedAt = clock.wall()
    this.#own = new Samples(host, clock)
    const reporter = new Reporter(
      mesh,
      {
        node: () => this.own(),
        locks: () => reportLocks(host),
        samples: (since) => this.#own.since(since),
      },
      self,
    )
    const now = () => clock.now()
    this.#reports = new SharedAnswer(() => reporter.nodes(), now, REPORTS_FRESH_MS)
    this.#locks = new SharedAnswer(() => reporter.locks(), now, REPORTS_FRESH_MS)
    this.#database = new SharedAnswer(() => readDatabase(host), now, DATABASE_FRESH_MS)
    this.#sights = new SharedAnswer(() => host.lookAtLuns().catch((error) => String(error)), now, SIGHTS_FRESH_MS)
    this.#samples = new SharedAnswer(() => this.#gatherSamples(reporter), now, SAMPLE_MS / 2)
  }

  /** This node's own report. */
  own(): Promise<NodeReport> {
    return reportNode(this.#host, this.#startedAt, this.#own.pulse)
  }

  reports(): Promise<readonly Answer<NodeReport>[]> {
    return this.#reports.get()
  }

  locks(): Promise<readonly Answer<readonly LockReport[]>[]> {
    return this.#locks.get()
  }

  database(): Promise<Database> {
    return this.#database.get()
  }

  /** Or why not. */
  sights(): Promise<Awaited<ReturnType<LunMembers['look']>> | string> {
    return this.#sights.get()
  }

  /** Everything that is kept, of every member. */
  samples(): Promise<readonly Answer<readonly Sample[]>[]> {
    return this.#samples.get()
  }

  stop(): void {
    this.#own.stop()
  }

  async #gatherSamples(reporter: Reporter): Promise<readonly Answer<readonly Sample[]>[]> {
    const answers = await reporter.samples((slot) => this.#told.get(slot)?.at(-1)?.at ?? 0)
    return answers.map((answer): Answer<readonly Sample[]> => {
      if (answer.value === undefined) return answer
      const told = [...(this.#told.get(answer.slot) ?? []), ...answer.value].slice(-PEER_SAMPLES_KEPT)
      this.#told.set(answer.slot, told)
      return { slot: answer.slot, node: answer.node, value: told }
    })
  }
}

async function readDatabase(host: AdminHost): Promise<Database> {
  try {
    return { database: await host.readDatabase() }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}
