/**
 * The victim of `npm run e2e:fence`: a process that registers at every LUN as a node does, and then writes increasing numbers into its blocks as fast as it
 * can. Unlike a node it heeds nothing: no lease, no gate, and a write that was refused is followed by the next.
 */
import { isMatrixError } from '../../src/base/errors.ts'
import { timingsFrom } from '../../src/base/timings.ts'
import { realHost } from '../../src/platform/real/host.ts'
import { type Lun, openLun, Registration } from '../../src/san/index.ts'

/** Where its blocks begin, one for each lane. */
export const BLOCKS_AT = 1024 * 1024
/** Of whoever does I/O here: generous, since the machine may be busy, and so that nothing is given up which could still land. */
export const IO_TIMEOUT_MS = 8000

export type VictimOrder =
  | {
      readonly kind: 'write'
      readonly urls: readonly string[]
      readonly slot: number
      readonly incarnation: number
      readonly lanes: number
      readonly blockBytes: number
    }
  | { readonly kind: 'end' }

type WriteOrder = Extract<VictimOrder, { kind: 'write' }>

/** Times are of the machine's monotonic clock, ms. */
export type LunReport = {
  readonly acknowledged: number
  /** When the last write began that was answered as done. */
  readonly lastBegunAt: number
  readonly refused: number
  readonly firstRefusedAt: number | undefined
  /** Whatever else was answered. */
  readonly otherErrors: number
  readonly lastOther: string | undefined
}

export type VictimMessage =
  | { readonly kind: 'ready' }
  /** Every lane has written. */
  | { readonly kind: 'writing' }
  /** Every LUN has refused a write. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'report'; readonly luns: readonly LunReport[] }
  | { readonly kind: 'failed'; readonly why: string }

export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

class Writer {
  readonly #lun: Lun
  readonly #incarnation: number
  readonly #blockBytes: number
  readonly #lanes: Promise<void>[] = []
  #isEnding = false
  #acknowledged = 0
  #lastBegunAt = 0
  #refused = 0
  #firstRefusedAt: number | undefined
  #otherErrors = 0
  #lastOther: string | undefined

  constructor(lun: Lun, { incarnation, blockBytes }: Pick<WriteOrder, 'incarnation' | 'blockBytes'>) {
    this.#lun = lun
    this.#incarnation = incarnation
    this.#blockBytes = blockBytes
  }

  /** Resolves once every lane has written. */
  async start(lanes: number, onRefused: () => void): Promise<void> {
    const firsts = Array.from({ length: lanes }, (_, lane) => {
      return new Promise<void>((resolve) => this.#lanes.push(this.#write(lane, resolve, onRefused)))
    })
    await Promise.all(firsts)
  }

  async end(): Promise<LunReport> {
    this.#isEnding = true
    await Promise.all(this.#lanes)
    return {
      ...{ acknowledged: this.#acknowledged, lastBegunAt: this.#lastBegunAt },
      ...{ refused: this.#refused, firstRefusedAt: this.#firstRefusedAt },
      ...{ otherErrors: this.#otherErrors, lastOther: this.#lastOther },
    }
  }

  async #write(lane: number, onFirst: () => void, onRefused: () => void): Promise<void> {
    for (let number = 1; !this.#isEnding; number++) {
      const begunAt = monotonicMs()
      const block = Buffer.alloc(this.#blockBytes, `victim ${this.#incarnation}, number ${number}. `)
      try {
        await this.#lun.write(BLOCKS_AT + lane * this.#blockBytes, [block], { purpose: 'data', durable: true })
        this.#acknowledged++
        this.#lastBegunAt = Math.max(this.#lastBegunAt, begunAt)
        onFirst()
      } catch (error) {
        if (isMatrixError(error, 'lun-reserved')) {
          this.#refused++
          this.#firstRefusedAt ??= monotonicMs()
          onRefused()
        } else {
          this.#otherErrors++
          this.#lastOther = String(error)
          await new Promise((resolve) => setImmediate(resolve)) // others have their turn where everything fails at once
        }
      }
    }
  }
}

let luns: Lun[] = []
let writers: Writer[] = []

function say(message: VictimMessage): void {
  process.send?.(message)
}

async function begin(order: WriteOrder): Promise<void> {
  const { urls, slot, incarnation, lanes } = order
  luns = await Promise.all(urls.map((url) => openLun(url, realHost, { timings: timingsFrom(IO_TIMEOUT_MS) })))
  const registration = new Registration({ slot, incarnation })
  for (const lun of luns) await registration.admit(lun)
  writers = luns.map((lun) => new Writer(lun, order))
  const refused = new Set<Writer>()
  const starts = writers.map((writer) =>
    writer.start(lanes, () => {
      if (refused.size === writers.length) return
      refused.add(writer)
      if (refused.size === writers.length) say({ kind: 'refused' })
    }),
  )
  await Promise.all(starts)
  say({ kind: 'writing' })
}

async function end(): Promise<void> {
  const reports = await Promise.all(writers.map((writer) => writer.end()))
  await Promise.all(luns.map((lun) => lun.close()))
  say({ kind: 'report', luns: reports })
}

if (import.meta.main) {
  process.on('disconnect', () => process.exit())
  process.on('message', (order: VictimOrder) => {
    const work = order.kind === 'write' ? begin(order) : end()
    work.catch((error) => say({ kind: 'failed', why: String(error) }))
  })
  say({ kind: 'ready' })
}
