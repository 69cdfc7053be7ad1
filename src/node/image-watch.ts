/**
 * The files of the metadata images: where they go, and whether they are still what they were. SQLite notices damage when it reads a damaged page; a file that somebody has deleted,
 * replaced or cut it goes on with, on pages that nobody else sees. A node whose image is not what it was withdraws; at its next start
 * it builds the image anew.
 */
import { rmSync, type Stats, statSync } from 'node:fs'
import { join } from 'node:path'
import { MatrixError } from '../base/errors.ts'
import type { Clock, Timer } from '../platform/index.ts'

const PERIOD_MS = 2_000
/** Files that SQLite keeps beside a database. */
const BESIDE = ['', '-wal', '-shm', '-journal']
/** Of each image built by this process: the former one may still be in use. */
let built = 0

/** Where the next image of a filesystem goes. Nothing is there any more: what an earlier life left is worthless, and may be damaged. */
export function newImageFile(stateDir: string, filesystem: string): string {
  const path = join(stateDir, `${filesystem}.sqlite${built++ % 2 === 0 ? '' : '-b'}`)
  for (const suffix of BESIDE) rmSync(`${path}${suffix}`, { force: true })
  return path
}

/** The image of one mounted filesystem. */
export interface WatchedImage {
  readonly filesystem: string
  /** Another one once the image was built anew beside the old one. */
  readonly file: string
  withdraw(error: MatrixError): void
}

type Seen = { readonly file: string; readonly ino: number; readonly size: number }

export class ImageWatch {
  readonly #images: () => readonly WatchedImage[]
  readonly #seen = new Map<string, Seen>()
  readonly #timer: Timer

  constructor(images: () => readonly WatchedImage[], clock: Clock) {
    this.#images = images
    this.#timer = clock.every(PERIOD_MS, () => this.look())
    this.look()
  }

  stop(): void {
    this.#timer.cancel()
  }

  /** An image only grows. */
  look(): void {
    for (const image of this.#images()) {
      const { filesystem, file } = image
      const before = this.#seen.get(filesystem)
      const stat = tryStat(file)
      if (stat && (!before || before.file !== file || (before.ino === stat.ino && before.size <= stat.size))) {
        this.#seen.set(filesystem, { file, ino: stat.ino, size: stat.size })
        continue
      }
      const what = !stat ? 'is gone' : before?.ino !== stat.ino ? 'was replaced' : 'was cut'
      image.withdraw(new MatrixError('image-damaged', `the image ${file} ${what}; the next start builds it anew`))
    }
  }
}

function tryStat(file: string): Stats | undefined {
  try {
    return statSync(file)
  } catch {
    return undefined
  }
}
