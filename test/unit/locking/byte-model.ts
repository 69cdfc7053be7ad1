/** Byte-range locks as anybody would write them down who had all the time in the world: who has which byte, byte by byte; and a line. */
import type { ByteRange, RangeLock, RangeMode, RangeOwner } from '../../../src/locking/index.ts'

type Byte = Map<string, RangeMode>

const key = ({ client, owner }: RangeOwner) => JSON.stringify([client, owner])

export class ByteModel {
  readonly #bytes: readonly Byte[]
  line: RangeLock[] = []

  constructor(size: number) {
    this.#bytes = Array.from({ length: size }, () => new Map())
  }

  isFree(request: RangeLock): boolean {
    return this.#of(request).every((byte) =>
      [...byte].every(([owner, mode]) => owner === key(request) || (mode === 'shared' && request.mode === 'shared')),
    )
  }

  set(owner: RangeOwner, range: ByteRange, mode: RangeMode | undefined): void {
    for (const byte of this.#of(range)) {
      if (mode) byte.set(key(owner), mode)
      else byte.delete(key(owner))
    }
  }

  /** Whoever has nobody in the way, the earliest first, has what it waits for; gives those. */
  serve(): RangeLock[] {
    const served: RangeLock[] = []
    for (let next = this.#next(); next; next = this.#next()) {
      this.line = this.line.filter((other) => other !== next)
      this.set(next, next, next.mode)
      served.push(next)
    }
    return served
  }

  #next(): RangeLock | undefined {
    return this.line.find((request) => this.isFree(request))
  }

  /** What each owner has, as the fewest ranges. */
  held(): RangeLock[] {
    const out: (RangeLock & { end: number })[] = []
    for (const [at, byte] of this.#bytes.entries()) {
      for (const [name, mode] of byte) {
        const [client, owner] = JSON.parse(name)
        const before = out.find((lock) => key(lock) === name && lock.end === at - 1 && lock.mode === mode)
        if (before) before.end = at
        else out.push({ client, owner, start: at, end: at, mode })
      }
    }
    return sorted(out)
  }

  #of({ start, end }: ByteRange): Byte[] {
    return this.#bytes.slice(start, end + 1)
  }
}

export function sorted(locks: Iterable<RangeLock>): RangeLock[] {
  return [...locks]
    .map(({ client, owner, start, end, mode }) => ({ client, owner, start, end, mode }))
    .sort((a, b) => a.start - b.start || key(a).localeCompare(key(b)))
}
