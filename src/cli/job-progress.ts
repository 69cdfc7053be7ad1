/** A job as it goes on, on standard error: a bar on a terminal, lines elsewhere. */
import type { Job } from '../admin/index.ts'

const BAR_CELLS = 24
/** Where nobody sees a bar move, a line is written when so much is new, percent. */
const LINE_STEP = 10

export function progressBar(percent: number): string {
  const full = Math.round((percent / 100) * BAR_CELLS)
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CELLS - full)}] ${String(Math.floor(percent)).padStart(3)} %`
}

export class JobProgress {
  readonly #out: NodeJS.WriteStream
  #shown = ''
  #told = { percent: Number.NEGATIVE_INFINITY, state: '' }

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  show({ percent, sentence, state, cancelling }: Job): void {
    const how = cancelling ? 'is being cancelled' : state
    if (this.#out.isTTY) {
      const width = Math.max(20, (this.#out.columns ?? 80) - 1)
      const line = `${progressBar(percent)}  ${how}${sentence === '' ? '' : `: ${sentence}`}`.slice(0, width)
      if (line === this.#shown) return
      this.#shown = line
      this.#out.write(`\r\x1b[K${line}`)
      return
    }
    if (how === this.#told.state && percent < this.#told.percent + LINE_STEP) return
    this.#told = { percent, state: how }
    this.#out.write(`${how}, ${Math.floor(percent)} %${sentence === '' ? '' : `: ${sentence}`}\n`)
  }

  /** The bar goes: what comes next is the result. */
  end(): void {
    if (this.#out.isTTY) this.#out.write('\r\x1b[K')
  }
}
