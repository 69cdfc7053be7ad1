/**
 * What clients were told, held against what they see. Each name in a directory, and each file's content, is a register: writes
 * carry values never used twice, with the times of call and answer. A read is explained when some single order of the
 * operations explains it (linearizability of a register with unique values, Gibbons and Korach 1997, as interval rules):
 *
 *   1. the value read was written by a call that began before the read ended;
 *   2. no other write began after that write had ended and ended before the read began (the value would be stale);
 *   3. reads do not go back: once a read that has ended saw a value, a later read sees that one or one written later.
 *
 * A write whose node died unanswered may take effect at any later time or never; one answered as stable is for ever. Its own node
 * may have shown it before it was durable: what was read there, and nowhere else, proves nothing once that life is over.
 */
export type Value = string

/** The life of a node at which an operation is done. */
export type AtLife = {
  readonly name: string
  over(): boolean
  /** When it began to be powerless, at the earliest: its process was gone, or its lease over; undefined while it lives. */
  readonly endedAt: number | undefined
  /** When its process was gone. */
  readonly goneAt: number | undefined
}

type Write = { readonly value: Value; readonly began: number; ended: number; readonly at: AtLife | undefined }
type Seen = { readonly value: Value; readonly ended: number; readonly at: AtLife | undefined }

class Register {
  readonly name: string
  #writes = new Map<Value, Write>()
  /** The read of each value that began last, and the write it implies as a lower bound for later reads. */
  #seen: Seen[] = []

  constructor(name: string, initial: Value) {
    this.name = name
    this.#writes.set(initial, { value: initial, began: -1, ended: -1, at: undefined })
  }

  begin(value: Value, now: number, at: AtLife | undefined): Write {
    const write = { value, began: now, ended: Number.POSITIVE_INFINITY, at }
    this.#writes.set(value, write)
    return write
  }

  /** The call failed for sure: as if it had never been. */
  withdraw(write: Write): void {
    this.#writes.delete(write.value)
  }

  check(value: Value, began: number, ended: number, at: AtLife | undefined): void {
    const write = this.#writes.get(value)
    if (!write) throw new Error(`${this.name}: read "${value}", which nobody wrote`)
    if (write.began > ended) throw new Error(`${this.name}: read "${value}" before it was written`)
    for (const other of this.#writes.values()) {
      if (other.began > write.ended && other.ended < began) {
        throw new Error(
          `${this.name}: read "${value}" (written ${write.began}…${write.ended}) at ${began}…${ended}, although "${other.value}" was written ${other.began}…${other.ended}`,
        )
      }
    }
    for (const seen of this.#seen) {
      const later = this.#writes.get(seen.value)
      if (later && mayBeLost(later, seen)) continue
      if (later && later !== write && seen.ended < began && write.ended < later.began) {
        throw new Error(
          `${this.name}: read "${value}" at ${began} after "${seen.value}" had been read by ${seen.ended}`,
        )
      }
    }
    this.#seen = this.#seen.filter((seen) => seen.value !== value || seen.at !== at).slice(-16)
    this.#seen.push({ value, ended, at })
  }
}

function mayBeLost(write: Write, { at }: Seen): boolean {
  return write.ended === Number.POSITIVE_INFINITY && at !== undefined && at === write.at && at.over()
}

/** All registers of a run. Times are virtual milliseconds, made unique by the caller's order. */
export class Oracle {
  #registers = new Map<string, Register>()
  #tick = 0
  writes = 0
  reads = 0

  /** A point in time after all earlier ones. */
  now(): number {
    return ++this.#tick
  }

  #register(name: string, initial: Value): Register {
    let register = this.#registers.get(name)
    if (!register) {
      register = new Register(name, initial)
      this.#registers.set(name, register)
    }
    return register
  }

  /** Notes a write under way; call one of the returned functions at most once. */
  beginWrite(name: string, value: Value, initial: Value, at?: AtLife): { ended(): void; failed(): void } {
    const register = this.#register(name, initial)
    const write = register.begin(value, this.now(), at)
    return {
      ended: () => {
        this.writes++
        write.ended = this.now()
      },
      failed: () => register.withdraw(write),
    }
  }

  /** Checks what a read that began at `began` (from `now()`) has found. */
  checkRead(name: string, value: Value, initial: Value, began: number, at?: AtLife): void {
    this.reads++
    this.#register(name, initial).check(value, began, this.now(), at)
  }
}
