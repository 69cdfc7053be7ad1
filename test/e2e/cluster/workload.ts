/**
 * The load of a scenario: the clients of the coherence checker (checker/), by NFS and HTTP at every node, from `start` to `stop`, whatever
 * happens to the nodes meanwhile. `judge` says whether one order explains what they were told.
 */
import { Prng } from '../../../src/base/prng.ts'
import { Client } from '../checker/client.ts'
import { now } from '../checker/clock.ts'
import type { Death, Operation } from '../checker/history.ts'
import { HttpDriver } from '../checker/http-driver.ts'
import { type Judgement, judge } from '../checker/judge.ts'
import { NfsDriver } from '../checker/nfs-driver.ts'
import { prepare } from '../checker/run.ts'
import type { RealMatrix } from './real-matrix.ts'
import type { RealNode } from './real-node.ts'

const protocols = ['nfs', 'http'] as const
/** Between calls of a client, ms: nodes that start again share the processors of this machine with all others and the clients. */
const PAUSE_MS = 10
/** Clients may take so much longer than the run for their last calls, ms. */
const LAST_CALLS_MS = 60_000

/** A client lost its connection, or got no answer that it could use. */
export type Trouble = { readonly node: string; readonly time: number; readonly what: string }

export class Workload {
  readonly troubles: Trouble[] = []
  readonly #matrix: RealMatrix
  readonly #operations: Operation[] = []
  readonly #began = now()
  #goesOn = true
  #clients: Promise<unknown> = Promise.resolve()

  /** Makes what the clients share, and starts them. `clients`: per node and protocol. */
  static async start(matrix: RealMatrix, seed: number, clients = 1): Promise<Workload> {
    await prepare(matrix.description)
    const workload = new Workload(matrix)
    workload.#start(seed, clients)
    return workload
  }

  private constructor(matrix: RealMatrix) {
    this.#matrix = matrix
  }

  /** With the life of its node that each was done at. */
  get operations(): readonly Operation[] {
    return this.#operations.map((operation) => this.#atLife(operation))
  }

  /** Calls answered so far. */
  get answered(): number {
    return this.#operations.reduce((sum, { answer }) => sum + (answer === undefined ? 0 : 1), 0)
  }

  /** No call begins any more; resolves once all are over. */
  async stop(): Promise<void> {
    this.#goesOn = false
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('some client had no answer long after the end')), LAST_CALLS_MS)
    })
    await Promise.race([this.#clients, late]).finally(() => clearTimeout(timer))
  }

  /** After `stop`. */
  judge(): Judgement {
    return judge(this.operations, this.#deaths())
  }

  #start(seed: number, clients: number): void {
    const work: Promise<void>[] = []
    for (const node of this.#matrix.nodes) {
      const access = this.#matrix.access(node)
      for (const [p, protocol] of protocols.entries()) {
        for (let i = 0; i < clients; i++) {
          const name = `${protocol[0]}${node.number}${String.fromCharCode(97 + i)}`
          let connections = 0
          const connect = () => {
            if (connections++ > 0) this.#trouble(node.name, 'connects again')
            return protocol === 'nfs' ? NfsDriver.connect(access) : HttpDriver.connect(access)
          }
          const record = (operation: Operation) => {
            this.#operations.push(operation)
            if (operation.answer === undefined) this.#trouble(node.name, operation.why ?? 'no answer')
          }
          const prng = new Prng(seed * 1000 + node.number * 100 + p * 10 + i)
          const goesOn = () => this.#goesOn
          const options = { name, node: node.name, protocol, prng, connect, record, goesOn }
          work.push(new Client({ ...options, hasLogs: false, pauseMs: PAUSE_MS }).run())
        }
      }
    }
    this.#clients = Promise.all(work)
    this.#clients.catch(() => {}) // reported by stop
  }

  #trouble(node: string, what: string): void {
    this.troubles.push({ node, time: now(), what })
  }

  /** What a life that has ended left open was decided when its process was gone. */
  #atLife(operation: Operation): Operation {
    const { lives } = this.#matrix.node(operation.at)
    const index = lives.findIndex(({ endedAt = Number.POSITIVE_INFINITY }) => operation.start < endedAt)
    const at = `${operation.at}@${index < 0 ? lives.length + 1 : index + 1}`
    const gone = lives[index]?.endedAt
    if (gone === undefined || operation.answer !== undefined) return { ...operation, at }
    return { ...operation, at, end: Math.min(operation.end, Math.max(operation.start, gone)) }
  }

  #deaths(): Death[] {
    return this.#matrix.nodes.flatMap((node) => deathsOf(node).filter(({ time }) => time > this.#began))
  }
}

/** Lives that did not end cleanly: from when they were doomed, what they had not made durable may be undone. */
function deathsOf({ name, lives }: RealNode): Death[] {
  return lives.flatMap(({ endedAt, doomedAt, ending }, index) => {
    if (endedAt === undefined || ending === 'exit code 0') return []
    return [{ at: `${name}@${index + 1}`, time: Math.min(endedAt, doomedAt ?? endedAt) }]
  })
}
