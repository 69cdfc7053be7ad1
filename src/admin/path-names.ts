/**
 * Where inodes are found, for people who look at locks: asked of the image in one go, remembered for a moment. A path may be out of date by that, and
 * what takes long to find is there for whoever asks next.
 */
import { type Clock, within } from '../platform/index.ts'
import type { ImageReader } from './image-reader.ts'

const FRESH_MS = 15_000
const LIMIT_MS = 10_000
/** Nobody waits longer for an ornament, ms. */
const PATIENCE_MS = 400
const MOST = 200
const REMEMBERED = 5_000

type Known = { readonly path: string | undefined; readonly until: number }

export class PathNames {
  readonly #reader: ImageReader
  readonly #clock: Clock
  readonly #known = new Map<string, Known>()
  #looking: Promise<void> | undefined

  constructor(reader: ImageReader, clock: Clock) {
    this.#reader = reader
    this.#clock = clock
  }

  /** Of those that have one and are known by now. Never rejects. */
  async of(file: string, fsid: number, inos: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const now = this.#clock.now()
    const asked = inos.filter((ino) => (this.#known.get(`${fsid}:${ino}`)?.until ?? 0) < now).slice(0, MOST)
    if (asked.length > 0) {
      this.#looking ??= this.#look(file, fsid, asked).finally(() => {
        this.#looking = undefined
      })
      await within(this.#clock, this.#looking, PATIENCE_MS)
    }
    return new Map(
      inos.flatMap((ino) => {
        const path = this.#known.get(`${fsid}:${ino}`)?.path
        return path === undefined ? [] : [[ino, path] as const]
      }),
    )
  }

  async #look(file: string, fsid: number, inos: readonly number[]): Promise<void> {
    // where it is too slow, or too much is asked, they have no path for a while
    const found = new Map(await this.#reader.paths(file, inos, LIMIT_MS).catch((): [number, string][] => []))
    if (this.#known.size > REMEMBERED) this.#known.clear()
    const until = this.#clock.now() + FRESH_MS
    for (const ino of inos) this.#known.set(`${fsid}:${ino}`, { path: found.get(ino), until })
  }
}
