/** Where inodes are found, for people who look at locks: asked of the image in one go, remembered for a moment. A path may be out of date by that. */
import type { Clock } from '../platform/index.ts'
import type { ImageReader } from './image-reader.ts'

const FRESH_MS = 15_000
const LIMIT_MS = 1_000
const MOST = 200
const REMEMBERED = 5_000

type Known = { readonly path: string | undefined; readonly until: number }

export class PathNames {
  readonly #reader: ImageReader
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()

  constructor(reader: ImageReader, clock: Clock) {
    this.#reader = reader
    this.#clock = clock
  }

  /** Of those that have one and could be found in time. Never rejects: a path is an ornament. */
  async of(file: string, fsid: number, inos: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const now = this.#clock.now()
    const key = (ino: number) => `${fsid}:${ino}`
    const asked = inos.filter((ino) => (this.#known.get(key(ino))?.until ?? 0) < now).slice(0, MOST)
    if (asked.length > 0) {
      try {
        const found = new Map(await this.#reader.paths(file, asked, LIMIT_MS))
        if (this.#known.size > REMEMBERED) this.#known.clear()
        for (const ino of asked) this.#known.set(key(ino), { path: found.get(ino), until: now + FRESH_MS })
      } catch {
        // too slow, or too much is asked: what is not known has no path this time
        for (const ino of asked) this.#known.set(key(ino), { path: undefined, until: now + FRESH_MS })
      }
    }
    return new Map(
      inos.flatMap((ino) => {
        const path = this.#known.get(key(ino))?.path
        return path === undefined ? [] : [[ino, path] as const]
      }),
    )
  }
}
