/**
 * LUNs that remember everything that was written to them, so that afterwards the contents at any moment can be built anew.
 *
 * One `LunLog` stands for all LUNs of a filesystem. It counts *moments*: every issue and every completion of a write or flush is
 * one, and so is every `mark` of whoever watches. Between two moments nothing changes, so a crash "at" a moment, after it
 * and before the next, stands for every crash there can be.
 *
 *     write issued ─────── completed ── … ── flush issued ─────── completed
 *       any of its sectors may      all of them have, but in the      all of them, for ever ("hard")
 *       have landed                 device's cache: a power loss
 *                                   may take any of them back
 *
 * A write with `durable` is hard at its completion. A flush hardens what was completed on its LUN when it was issued. At a
 * crash what is hard is there; of the rest any subset of the 512-byte sectors may be, in whatever order it was written. When
 * only the node dies, what had survived so far is in the device's cache still: the log of the next life starts with it.
 *
 * Reads see what has completed. Contents handed over are copied at the issue.
 */
import { MatrixError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { Lun, WriteOptions, WritePurpose } from '../../src/san/index.ts'
import type { SparseBytes } from '../helpers/sparse-bytes.ts'
import type { SimHost } from '../sim/world.ts'

const SECTOR = 512
/** Shortest and longest time of an I/O, virtual ms; and of those that are slow, so that what was begun later ends earlier. */
const LATENCY_MS = [0.05, 1] as const
const SLOW_MS = [2, 15] as const
const SLOW_SHARE = 0.15

/** Rules of the contract of `Lun` that a lying device breaks: for proving that the crash replay notices. */
export type Lie = 'durable-writes-are-not' | 'flushes-do-nothing'

export type LoggedWrite = {
  readonly lun: number
  readonly offset: number
  readonly bytes: Buffer
  readonly purpose: WritePurpose
  readonly durable: boolean
  readonly issued: number
  completed: number
  hard: number
}

/** What survives a crash of a write that was not hard: the sectors at these places of it. */
export type Fate = { readonly write: LoggedWrite; readonly sectors: 'all' | 'none' | readonly boolean[] }

/** Contents of all LUNs after a crash. */
export type CrashImage = {
  /** Survives every further crash. */
  readonly hard: readonly SparseBytes[]
  /** Lies in the devices' caches, in the order in which it came: landed, and lost again at a power loss. */
  readonly cached: readonly { readonly lun: number; readonly offset: number; readonly bytes: Buffer }[]
  /** What was under way and has not landed. */
  readonly late: readonly LoggedWrite[]
}

export class LunLog {
  readonly writes: LoggedWrite[] = []
  readonly #base: readonly SparseBytes[]
  readonly #seen: readonly SparseBytes[]
  readonly #sizes: readonly number[]
  readonly #prng: Prng
  readonly #lie: Lie | undefined
  #moment = 0

  constructor(image: CrashImage, sizes: readonly number[], prng: Prng, lie?: Lie) {
    this.#base = image.hard
    this.#seen = image.hard.map((bytes) => bytes.copy())
    this.#sizes = sizes
    this.#prng = prng
    this.#lie = lie
    for (const { lun, offset, bytes } of image.cached) {
      this.writes.push({ lun, offset, bytes, purpose: 'data', durable: false, issued: 0, completed: 0, hard: Infinity })
      this.#seen[lun]?.write(offset, bytes)
    }
  }

  get moment(): number {
    return this.#moment
  }

  /** A moment of whoever watches: something was answered, something begun. */
  mark(): number {
    return ++this.#moment
  }

  /** The LUNs as `host` sees them: nothing of theirs completes once it is dead. */
  luns(host: SimHost): readonly Lun[] {
    return this.#sizes.map((size, lun) => ({
      identity: `logged:${lun}`,
      size,
      read: async (offset, buffer) => {
        this.#check(lun, offset, buffer.length)
        await this.#pass(host)
        this.#seen[lun]?.read(offset, buffer)
      },
      write: (offset, buffers, options) => this.#write(host, lun, offset, buffers, options),
      flush: () => this.#flush(host, lun),
      close: async () => {},
    }))
  }

  /** What is not hard at `moment` of what was issued by then; the order is that in which it would land. */
  open(moment: number): readonly LoggedWrite[] {
    return this.writes
      .filter((write) => write.issued <= moment && write.hard > moment)
      .sort((a, b) => landing(a, moment) - landing(b, moment) || a.issued - b.issued)
  }

  /**
   * The contents after a crash at `moment`, where `fates` says what becomes of each of `open(moment)`. With `powerLoss` the
   * devices' caches are gone, too: what survived is hard.
   */
  crash(moment: number, fates: readonly Fate[], powerLoss: boolean): CrashImage {
    const hard = this.#base.map((bytes) => bytes.copy())
    const fateOf = new Map(fates.map((fate) => [fate.write, fate.sectors]))
    const issued = this.writes.filter((write) => write.issued <= moment)
    issued.sort((a, b) => landing(a, moment) - landing(b, moment) || a.issued - b.issued)
    const cached: { lun: number; offset: number; bytes: Buffer }[] = []
    for (const write of issued) {
      const { lun, offset, bytes } = write
      if (write.hard <= moment) {
        // what it overwrites does not come back: also not what lies in the cache
        for (const earlier of cached)
          if (
            earlier.lun === lun &&
            earlier.offset < offset + bytes.length &&
            offset < earlier.offset + earlier.bytes.length
          )
            hard[lun]?.write(earlier.offset, earlier.bytes)
        hard[lun]?.write(offset, bytes)
        for (let i = cached.length - 1; i >= 0; i--) {
          const earlier = cached[i] as (typeof cached)[number]
          if (
            earlier.lun === lun &&
            earlier.offset < offset + bytes.length &&
            offset < earlier.offset + earlier.bytes.length
          )
            cached.splice(i, 1)
        }
        continue
      }
      for (const part of survivors(write, fateOf.get(write) ?? 'none')) {
        if (powerLoss) hard[lun]?.write(part.offset, part.bytes)
        else cached.push({ lun, ...part })
      }
    }
    const late = powerLoss ? [] : issued.filter((write) => write.completed > moment && fateOf.get(write) === 'none')
    return { hard, cached, late }
  }

  /** A write of an earlier life, issued before its death, lands now. */
  land({ lun, offset, bytes, purpose }: LoggedWrite): void {
    const now = ++this.#moment
    this.writes.push({ lun, offset, bytes, purpose, durable: false, issued: now, completed: now, hard: Infinity })
    this.#seen[lun]?.write(offset, bytes)
  }

  async #write(
    host: SimHost,
    lun: number,
    offset: number,
    buffers: readonly Uint8Array[],
    { purpose, durable = false }: WriteOptions,
  ): Promise<void> {
    const bytes = Buffer.concat(buffers)
    this.#check(lun, offset, bytes.length)
    if (offset % SECTOR !== 0 || bytes.length % SECTOR !== 0) throw new MatrixError('lun-io', 'unaligned write')
    const issued = ++this.#moment
    const write: LoggedWrite = { lun, offset, bytes, purpose, durable, issued, completed: Infinity, hard: Infinity }
    this.writes.push(write)
    await this.#pass(host)
    write.completed = ++this.#moment
    if (durable && this.#lie !== 'durable-writes-are-not') write.hard = write.completed
    this.#seen[lun]?.write(offset, bytes)
  }

  async #flush(host: SimHost, lun: number): Promise<void> {
    const issued = ++this.#moment
    await this.#pass(host)
    const now = ++this.#moment
    if (this.#lie === 'flushes-do-nothing') return
    for (const write of this.writes)
      if (write.lun === lun && write.completed < issued && write.hard > now) write.hard = now
  }

  #pass(host: SimHost): Promise<void> {
    const [least, most] = this.#prng.chance(SLOW_SHARE) ? SLOW_MS : LATENCY_MS
    return new Promise((resolve) => host.clock.after(least + (most - least) * this.#prng.float(), resolve))
  }

  #check(lun: number, offset: number, bytes: number): void {
    if (offset < 0 || offset + bytes > (this.#sizes[lun] as number))
      throw new MatrixError('lun-io', 'beyond the end of the LUN')
  }
}

/** When it landed, as seen from `moment`: what is under way comes last. */
function landing(write: LoggedWrite, moment: number): number {
  return write.completed <= moment ? write.completed : moment + 1
}

/** Runs of sectors that are there. */
function survivors({ offset, bytes }: LoggedWrite, sectors: Fate['sectors']): { offset: number; bytes: Buffer }[] {
  if (sectors === 'none') return []
  if (sectors === 'all') return [{ offset, bytes }]
  const out: { offset: number; bytes: Buffer }[] = []
  for (let i = 0; i < sectors.length; i++) {
    if (!sectors[i]) continue
    let end = i + 1
    while (sectors[end]) end++
    out.push({ offset: offset + i * SECTOR, bytes: bytes.subarray(i * SECTOR, end * SECTOR) })
    i = end
  }
  return out
}

/** Draws what becomes of a write that is not hard: there, lost, or torn: a prefix or any subset of its sectors. */
export function drawFate(write: LoggedWrite, prng: Prng): Fate {
  const count = write.bytes.length / SECTOR
  const k = prng.float()
  if (k < 0.35 || (count === 1 && k < 0.5)) return { write, sectors: 'all' }
  if (k < 0.6 || count === 1) return { write, sectors: 'none' }
  if (k < 0.8) {
    const length = prng.between(1, count - 1)
    return { write, sectors: Array.from({ length: count }, (_, i) => i < length) }
  }
  const density = prng.pick([0.1, 0.5, 0.9])
  return { write, sectors: Array.from({ length: count }, () => prng.chance(density)) }
}
