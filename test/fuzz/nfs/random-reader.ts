/**
 * Values of any XDR type, drawn at random: a reader that has no record and makes up whatever it is asked for. What a table decodes from it is a
 * value of the table's type, so the protocol's own tables are the generators.
 */
import { XdrError, XdrReader } from '../../../src/gateway-nfs/xdr/reader.ts'
import type { Xdr } from '../../../src/gateway-nfs/xdr/types.ts'

/** Where draws come from: a seeded generator, or fast-check, which can shrink them. */
export interface Draw {
  /** 0 … bound-1 */
  below(bound: number): number
}

/** Things of the world that make a call go further than its first check. */
export type Known = { readonly handles: readonly Buffer[]; readonly names: readonly string[] }

const NUMBERS = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 22, 23, 64, 100, 111, 4096, 100_003, 100_021, 0x7fffffff, 0x80000000, 0xffffffff,
]
const SMALL = 24
/** Handles are this long: what else is, is no concern. */
const HANDLE_LIMIT = 64
const NETOBJ_LIMIT = 1024
const TRIES = 200

export class RandomReader extends XdrReader {
  readonly #draw: Draw
  readonly #known: Known

  constructor(draw: Draw, known: Known) {
    super()
    this.#draw = draw
    this.#known = known
  }

  /** A value of a type; a union whose arm is not there is drawn again. */
  value<T>(type: Xdr<T>): T {
    for (let tries = 0; ; tries++) {
      try {
        return type.decode(this)
      } catch (error) {
        if (!(error instanceof XdrError) || tries === TRIES) throw error
      }
    }
  }

  override get remaining(): number {
    return Number.MAX_SAFE_INTEGER
  }

  override uint32(): number {
    const { below } = this
    const dice = below(10)
    if (dice < 7) return below(dice < 5 ? 3 : 24)
    return dice < 9 ? (NUMBERS[below(NUMBERS.length)] as number) : below(2 ** 32)
  }

  override int32(): number {
    return this.uint32() | 0
  }

  override uint64(): number {
    const { below } = this
    const offsets = [0, 1, 4096, 65_536, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER, below(1_000_000)]
    return offsets[below(offsets.length)] as number
  }

  override bool(): boolean {
    return this.below(2) === 1
  }

  override upTo(most: number): number {
    return this.below(most + 1)
  }

  override fixed(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => (this.below(4) === 0 ? this.below(256) : 0)))
  }

  override opaque(limit: number): Buffer {
    const { handles } = this.#known
    if ((limit === HANDLE_LIMIT || limit === NETOBJ_LIMIT) && this.below(10) > 0 && handles.length > 0)
      return handles[this.below(handles.length)] as Buffer
    return this.fixed(this.count(limit))
  }

  override string(limit: number): string {
    const { names } = this.#known
    if (this.below(10) > 0) return (names[this.below(names.length)] as string).slice(0, limit)
    return Array.from({ length: this.count(limit) }, () => String.fromCharCode(1 + this.below(255))).join('')
  }

  /** Mostly short; now and then as long as may be. */
  override count(limit: number): number {
    if (this.below(100) === 0) return Math.min(limit, 70_000)
    return this.below(Math.min(limit, SMALL) + 1)
  }

  readonly below = (bound: number): number => this.#draw.below(bound)
}
