/** The text of an answer that many ask for at the same time: made, encoded and compressed once for all of them. */
import { promisify } from 'node:util'
import { constants, gzip } from 'node:zlib'
import type { Context } from 'koa'
import { SharedAnswer } from './shared-answer.ts'

const compress = promisify(gzip)
/** What is shorter is sent as it is, bytes. */
const MIN_LENGTH = 1_400

type Encoded = { readonly bytes: Buffer; readonly packed: () => Promise<Buffer> }

export class SharedText {
  readonly #answer: SharedAnswer<Encoded>

  /** `freshMs`: as of SharedAnswer. */
  constructor(make: () => Promise<string>, now: () => number, freshMs: number) {
    this.#answer = new SharedAnswer(async () => encoded(await make()), now, freshMs)
  }

  /** As of SharedAnswer. */
  expire(): void {
    this.#answer.expire()
  }

  /** As it is, not compressed. */
  async bytes(): Promise<Buffer> {
    const { bytes } = await this.#answer.get()
    return bytes
  }

  async send(ctx: Context, type: string): Promise<void> {
    const { bytes, packed } = await this.#answer.get()
    ctx.type = type
    ctx.vary('Accept-Encoding')
    if (bytes.length < MIN_LENGTH || ctx.acceptsEncodings('gzip', 'identity') !== 'gzip') {
      ctx.body = bytes
      return
    }
    ctx.set('Content-Encoding', 'gzip')
    ctx.body = await packed()
  }
}

function encoded(text: string): Encoded {
  const bytes = Buffer.from(text)
  let packing: Promise<Buffer> | undefined
  return { bytes, packed: () => (packing ??= compress(bytes, { level: constants.Z_BEST_SPEED })) }
}
