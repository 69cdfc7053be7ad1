/**
 * How nodes ask each other what each knows of itself alone: requests on the mesh channel 'report', within the present view. Answers are checked
 * like any message; a node that does not answer in time is shown as one that has not answered.
 */
import * as v from 'valibot'
import { MatrixError } from '../base/errors.ts'
import type { Slot } from '../base/ids.ts'
import { MiB } from '../base/units.ts'
import { type Mesh, parseBody } from '../cluster/index.ts'
import { type LockReport, lockReport, type NodeReport, nodeReport, type Sample, sample } from './api/node-report.ts'

/** Longest wait for a node, ms: a viewer should learn soon that one is silent. */
const ANSWER_LIMIT_MS = 1_500

/** Longest answer, as JSON, bytes: far below what the mesh carries at once. */
const ANSWER_MAX = 4 * MiB

const question = v.variant('ask', [
  v.strictObject({ ask: v.literal('node') }),
  v.strictObject({ ask: v.literal('locks') }),
  v.strictObject({ ask: v.literal('samples'), since: v.number() }),
])
type Question = v.InferOutput<typeof question>

const locks = v.array(lockReport)
const samples = v.array(sample)

export type OwnReports = {
  node(): Promise<NodeReport>
  locks(): readonly LockReport[]
  samples(since: number): readonly Sample[]
}

/** What a member of the view has said, or why not. */
export type Answer<T> = { readonly slot: Slot; readonly node: string } & (
  | { readonly value: T; readonly error?: undefined }
  | { readonly error: string; readonly value?: undefined }
)

/** Locks go over the same link, and no answer may hold them up for long. Throws MatrixError 'busy'. */
function fitting<T>(answer: T): T {
  const bytes = Buffer.byteLength(JSON.stringify(answer))
  if (bytes > ANSWER_MAX)
    throw new MatrixError('busy', `it has ${bytes} bytes to say; ${ANSWER_MAX} are allowed at once`)
  return answer
}

export class Reporter {
  readonly #mesh: Mesh
  readonly #own: OwnReports
  readonly #self: { readonly slot: Slot; readonly name: string }

  constructor(mesh: Mesh, own: OwnReports, self: { readonly slot: Slot; readonly name: string }) {
    this.#mesh = mesh
    this.#own = own
    this.#self = self
    mesh.onRequest('report', async (_from, body) =>
      fitting(await this.#answer(parseBody(question, body, 'report request'))),
    )
  }

  nodes(): Promise<readonly Answer<NodeReport>[]> {
    return this.#all({ ask: 'node' }, (body) => parseBody(nodeReport, body, 'report of a node'))
  }

  locks(): Promise<readonly Answer<readonly LockReport[]>[]> {
    return this.#all({ ask: 'locks' }, (body) => parseBody(locks, body, 'report of locks'))
  }

  /** `since`: of each slot's own samples. */
  samples(since: (slot: Slot) => number): Promise<readonly Answer<readonly Sample[]>[]> {
    return this.#all(
      (slot) => ({ ask: 'samples', since: since(slot) }),
      (body) => parseBody(samples, body, 'samples'),
    )
  }

  /** Every member of the present view; this node alone while there is none. It asks itself without the mesh, which is closed between views. */
  #all<T>(asked: Question | ((slot: Slot) => Question), decode: (body: unknown) => T): Promise<readonly Answer<T>[]> {
    const members = this.#mesh.view?.members ?? []
    const all = members.some(({ slot }) => slot === this.#self.slot) ? members : [this.#self]
    return Promise.all(
      all.map(async ({ slot, name: node }): Promise<Answer<T>> => {
        const what = typeof asked === 'function' ? asked(slot) : asked
        try {
          const body =
            slot === this.#self.slot
              ? await this.#answer(what)
              : await this.#mesh.request(slot, 'report', what, ANSWER_LIMIT_MS)
          return { slot, node, value: decode(body) }
        } catch (error) {
          return { slot, node, error: error instanceof Error ? error.message : String(error) }
        }
      }),
    )
  }

  #answer(asked: Question): Promise<NodeReport> | readonly LockReport[] | readonly Sample[] {
    switch (asked.ask) {
      case 'node':
        return this.#own.node()
      case 'locks':
        return this.#own.locks()
      case 'samples':
        return this.#own.samples(asked.since)
    }
  }
}
