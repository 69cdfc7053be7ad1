/**
 * The kernel's side of a session, without a kernel: requests laid out by the generic codec of the message tables (the session
 * reads them by offset), replies taken apart by the same.
 */
import type { Layout } from '../../../src/base/layout.ts'
import { isPromise, type MaybePromise } from '../../../src/base/maybe-promise.ts'
import { Session } from '../../../src/gateway-fuse/session.ts'
import { type OpcodeName, opcodes } from '../../../src/gateway-fuse/wire/constants.ts'
import { inHeader, initIn, initOut, interruptIn, outHeader } from '../../../src/gateway-fuse/wire/layouts.ts'
import { Request } from '../../../src/gateway-fuse/wire/request.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'
import { silentLog } from '../../../src/platform/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'

export type Answer = { readonly errno: number; readonly body: Buffer }
export type Who = { readonly uid?: number; readonly gid?: number }

let kernels = 0

export class FakeKernel {
  readonly session: Session
  readonly #buffer = Buffer.alloc(1024 * 1024 + 4096)
  readonly #request = new Request(this.#buffer)
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #unique = 2 ** 40
  /** Replies that nobody waited for any more, as the device would say: the next one is. */
  refuseNext = false

  constructor(fs: MatrixFs) {
    this.session = new Session({
      ...{ fs, name: `kernel ${++kernels}`, clock: realClock, log: silentLog },
      send: (parts) => {
        const message = Buffer.concat(parts)
        const { len, error, unique } = outHeader.decode(message)
        if (len !== message.length) throw new Error(`a reply of ${message.length} bytes says ${len}`)
        const refused = this.refuseNext
        this.refuseNext = false
        const take = this.#waiting.get(unique)
        if (!take) throw new Error(`a reply to ${unique}, which nobody asked`)
        this.#waiting.delete(unique)
        take({ errno: -error, body: message.subarray(outHeader.size) })
        return refused ? 'unwanted' : 'sent'
      },
    })
  }

  /** How many requests have no answer yet. */
  get unanswered(): number {
    return this.#waiting.size
  }

  /** The answer, at once when the session gives it at once. */
  ask(name: OpcodeName | number, nodeid: number, parts: readonly Buffer[] = [], who: Who = {}): MaybePromise<Answer> {
    const unique = this.#unique++
    const body = Buffer.concat(parts)
    const opcode = typeof name === 'number' ? name : opcodes[name]
    const { uid = 0, gid = 0 } = who
    const header = {
      len: inHeader.size + body.length,
      opcode,
      unique,
      nodeid,
      uid,
      gid,
      pid: 1,
      total_extlen: 0,
      padding: 0,
    }
    inHeader.encodeInto(this.#buffer, 0, header)
    body.copy(this.#buffer, inHeader.size)
    let answer: Answer | undefined
    let settle: ((answer: Answer) => void) | undefined
    this.#waiting.set(unique, (given) => {
      answer = given
      settle?.(given)
    })
    this.session.serve(this.#request.take(header.len))
    this.#buffer.fill(0xee) // the next read overwrites it
    if (answer) return answer
    return new Promise((resolve) => {
      settle = resolve
    })
  }

  /** For requests that have no answer. */
  tell(name: OpcodeName, nodeid: number, parts: readonly Buffer[]): void {
    const before = this.unanswered
    void this.ask(name, nodeid, parts)
    if (this.unanswered !== before + 1) throw new Error(`${name} was answered`)
    this.#waiting.clear()
  }

  /** Of the last request. */
  get lastUnique(): number {
    return this.#unique - 1
  }

  /** Whoever asked that has got a signal. There is no reply. */
  interrupt(unique: number): void {
    const waiting = new Map(this.#waiting)
    void this.ask('INTERRUPT', 0, [record(interruptIn, { unique })])
    this.#waiting.delete(this.lastUnique)
    if (waiting.size !== this.#waiting.size) throw new Error('an interrupt was answered')
  }

  init(given: { major?: number; minor?: number; flags?: number; flags2?: number } = {}) {
    const record = { major: 7, minor: 45, max_readahead: 131_072, flags: 0xffff_ffff, flags2: 0xffff_ffff, ...given }
    const answer = this.ask('INIT', 0, [initIn.encode(record), Buffer.alloc(44)])
    if (isPromise(answer)) throw new Error('INIT is answered at once')
    return { errno: answer.errno, ...(answer.errno === 0 && { agreed: initOut.decode(answer.body) }) }
  }
}

/** A record with everything zero but what is given. */
export function record<R>(layout: Layout<R>, given: Partial<R>): Buffer {
  const zeroes: Record<string, unknown> = {}
  for (const { name, type } of layout.describe()) if (type !== 'reserved') zeroes[name] = 0
  return layout.encode({ ...zeroes, ...given } as R)
}

export function name(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1')
}
