/**
 * Simulated LUNs. A `SimDisk` is the medium that all hosts share; a `SimLun` is one host's way to it. The fault model:
 *
 * - An I/O takes a time drawn from the world's randomness. A write changes the medium at one moment of it ("lands"); a longer one
 *   sometimes lands in two parts, so that a reader sees some of its 512-byte sectors new and others old. Never less than a sector.
 * - What has landed is seen by every host. It is volatile (in the device's cache) until a flush that began afterwards, or its
 *   own `durable`, has completed.
 * - `powerLoss()`: of what was volatile a random part survives, whole writes or (one of them) torn at 512 bytes; what was under way
 *   is lost or torn. The order of arrival means nothing. Hosts are not told; crash them as well.
 * - A host that crashes leaves its writes under way undecided: each lands at its moment, or later, or never, or torn; but none
 *   after `ioLifeMs` from its issue. Nobody is answered. The process is gone only once all of them are decided, as a process is that
 *   hangs in a system call when it is killed; or at once, and they go on, as commands to an iSCSI target do (`SimHost.hasOrphans`).
 * - A paused host's writes land all the same; it hears of it when it goes on.
 * - `faults` may make any I/O fail or slow. A failed write has landed wholly, in part or not at all. A slow one still keeps to
 *   `ioLifeMs` unless the fault says otherwise. Or a write lands somewhere else than it should, and is answered as done.
 *
 * `onIssued` tells an oracle of every I/O, `onLanded` of every change of the medium, in order.
 */

import { crc32c } from '../../src/base/crc32c.ts'
import { MatrixError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { Lun, WriteOptions, WritePurpose } from '../../src/san/lun.ts'
import type { Reservations } from '../../src/san/reservations.ts'
import { SparseBytes } from '../helpers/sparse-bytes.ts'
import { SimReservations } from './reservations.ts'
import type { SimHost, SimWorld } from './world.ts'

const ATOM = 512

/** A change of the medium. */
export type Landed = {
  readonly host: string
  /** The life of that host which issued it. */
  readonly by: SimHost
  readonly offset: number
  readonly bytes: Buffer
  readonly purpose: WritePurpose
  /** Virtual time at which it was issued, ms. */
  readonly issuedAt: number
}

export type SimIo = {
  readonly host: string
  readonly op: 'read' | 'write' | 'flush' | 'reservation'
  /** Of writes only. */
  readonly purpose?: WritePurpose
  readonly offset: number
  readonly bytes: number
}

/**
 * What a fault does to an I/O: fail it; make it take this much longer (beyond `ioLifeMs` only when `beyondLife`), and then perhaps fail;
 * or let a write land at another offset.
 */
export type SimFault =
  | 'error'
  | { readonly slowMs: number; readonly beyondLife?: boolean; readonly fails?: boolean }
  | { readonly landsAt: number }

/** Asked for every I/O when it is issued. */
export type FaultHook = (io: SimIo, by: SimHost) => SimFault | undefined

/** The `nth` I/O (from 1) that matches fails; `fired` tells whether there was one: for fault sweeps. */
export function nthFault(
  nth: number,
  match: Partial<SimIo>,
  fault: SimFault = 'error',
): FaultHook & { fired: boolean } {
  let seen = 0
  const hook = (io: SimIo): SimFault | undefined => {
    for (const key of Object.keys(match) as (keyof SimIo)[]) if (io[key] !== match[key]) return undefined
    if (++seen !== nth) return undefined
    hook.fired = true
    return fault
  }
  hook.fired = false
  return hook
}

export type SimDiskOptions = {
  /** Shortest and longest ordinary time of an I/O, ms. */
  readonly latencyMs?: readonly [number, number]
  /** No write lands later than this after its issue, ms: the promise of `Timings.ioLifeMs`. */
  readonly ioLifeMs?: number
  /** How often a write longer than a sector lands in two parts. */
  readonly splitChance?: number
}

export class SimDisk {
  readonly world: SimWorld
  readonly name: string
  size: number
  readonly options: Required<SimDiskOptions>
  readonly prng: Prng
  /** Any number of hooks; the first that answers decides. */
  readonly faults = new Set<FaultHook>()
  /** Asked before a write lands: one that is barred changes nothing, and its host hears that it failed. */
  readonly bars = new Set<(write: Landed) => boolean>()
  readonly reservations: SimReservations
  onLanded: ((landed: Landed) => void) | undefined
  onIssued: ((io: SimIo, by: SimHost) => void) | undefined
  /** Told what the device does that nobody asked it to, by name. */
  onOddity: (what: string) => void = () => {}
  /** I/Os so far, by host: R47's counters at the LUN. */
  readonly counts = new Map<string, { reads: number; writes: number; flushes: number; reservations: number }>()
  #seen = new SparseBytes()
  #stable = new SparseBytes()
  #volatile: Landed[] = []
  /** Raised by a power loss: what was under way then never lands any more. */
  powerCycle = 0

  constructor(
    world: SimWorld,
    size: number,
    {
      latencyMs = [0.05, 1],
      ioLifeMs = 4000,
      splitChance = 0.1,
      name = 'disk',
    }: SimDiskOptions & { name?: string } = {},
  ) {
    this.world = world
    this.name = name
    this.size = size
    this.reservations = new SimReservations(world, name)
    this.options = { latencyMs, ioLifeMs, splitChance }
    this.prng = world.prng.fork()
  }

  /** What any host would read now: for oracles. */
  peek(offset: number, length: number): Buffer {
    const out = Buffer.alloc(length)
    this.#seen.read(offset, out)
    return out
  }

  /** Changes the medium behind everybody's back, durably: for damage tests. */
  poke(offset: number, bytes: Uint8Array): void {
    this.#seen.write(offset, bytes)
    this.#stable.write(offset, bytes)
  }

  read(offset: number, into: Buffer): void {
    this.#seen.read(offset, into)
  }

  land(write: Landed, durable: boolean): void {
    this.#seen.write(write.offset, write.bytes)
    if (durable) {
      // what it overwrites may not come back at a power loss
      const end = write.offset + write.bytes.length
      const overlaps = (w: Landed) => w.offset < end && write.offset < w.offset + w.bytes.length
      for (const earlier of this.#volatile) if (overlaps(earlier)) this.#stable.write(earlier.offset, earlier.bytes)
      this.#volatile = this.#volatile.filter((earlier) => !overlaps(earlier))
      this.#stable.write(write.offset, write.bytes)
    } else {
      this.#volatile.push(write)
    }
    this.world.trace(
      `${this.name} ${write.host} ${write.purpose} ${write.offset}+${write.bytes.length} ${crc32c(write.bytes)}`,
    )
    this.onLanded?.(write)
  }

  /** Why a write does not land, if it does not. */
  refusal(write: Landed): MatrixError | undefined {
    const refused = (code: 'lun-io' | 'lun-reserved', why: string) =>
      new MatrixError(code, `sim:${this.name}: write at ${write.offset} failed: ${why}`)
    if (this.reservations.refuses(write.by)) return refused('lun-reserved', 'reservation conflict')
    for (const bars of this.bars) if (bars(write)) return refused('lun-io', 'the storage refuses this host')
    return undefined
  }

  /** What has landed until now; `harden` makes it durable. */
  flushPoint(): readonly Landed[] {
    return [...this.#volatile]
  }

  harden(landed: readonly Landed[]): void {
    const set = new Set(landed)
    for (const write of this.#volatile) if (set.has(write)) this.#stable.write(write.offset, write.bytes)
    this.#volatile = this.#volatile.filter((write) => !set.has(write))
  }

  /** The device loses power and comes back at once, with what the fault model leaves. */
  powerLoss(): void {
    this.powerCycle++
    const torn = this.prng.below(this.#volatile.length || 1)
    this.#volatile.forEach((write, i) => {
      this.onOddity(i === torn ? 'unflushed write torn by power loss' : 'unflushed write at power loss')
      if (i === torn) for (const part of tear(write, this.prng)) this.#stable.write(part.offset, part.bytes)
      else if (this.prng.chance(0.5)) this.#stable.write(write.offset, write.bytes)
    })
    this.#volatile = []
    this.#seen = this.#stable.copy()
    this.world.trace(`${this.name} loses power`)
  }
}

/** Some sectors of a write, at random: each is wholly there or not at all. */
function tear(write: Landed, prng: Prng): Landed[] {
  const parts: Landed[] = []
  for (let at = 0; at < write.bytes.length; at += ATOM) {
    if (prng.chance(0.5))
      parts.push({ ...write, offset: write.offset + at, bytes: write.bytes.subarray(at, at + ATOM) })
  }
  return parts
}

const countKeys = { read: 'reads', write: 'writes', flush: 'flushes', reservation: 'reservations' } as const

/** One host's access to a disk. */
export class SimLun implements Lun {
  readonly #disk: SimDisk
  readonly #host: SimHost
  readonly #prng: Prng
  #closed = false
  readonly reservations: Reservations

  constructor(disk: SimDisk, host: SimHost) {
    this.#disk = disk
    this.#host = host
    this.reservations = disk.reservations.path(host, (run) => this.#command(run))
    this.#prng = disk.prng.fork()
  }

  get identity(): string {
    return `sim:${this.#disk.name}`
  }

  get size(): number {
    return this.#disk.size
  }

  async measure(): Promise<number> {
    return this.#disk.size
  }

  read(offset: number, buffer: Buffer): Promise<void> {
    const io = { op: 'read', offset, bytes: buffer.length } as const
    return this.#io(io, (tookMs, cycle, answer) => {
      this.#later(tookMs, () => {
        if (cycle !== this.#disk.powerCycle) return answer(this.#failed('read', offset))
        this.#disk.read(offset, buffer)
        answer()
      })
    })
  }

  write(offset: number, buffers: readonly Uint8Array[], { purpose, durable = false }: WriteOptions): Promise<void> {
    const bytes = Buffer.concat(buffers) // what is handed over is what lands, whatever its owner does to the buffers
    if (offset % ATOM !== 0 || bytes.length % ATOM !== 0) {
      return Promise.reject(this.#failed('write', offset, `${bytes.length} bytes are not whole sectors`))
    }
    const issuedAt = this.#disk.world.now
    return this.#io({ op: 'write', purpose, offset, bytes: bytes.length }, (tookMs, cycle, answer, fails, landsAt) => {
      const write: Landed = { host: this.#host.name, by: this.#host, offset: landsAt, bytes, purpose, issuedAt }
      this.#host.writesUnderWay++
      const decided = (): void => {
        if (cycle === this.#disk.powerCycle) this.#host.writesUnderWay--
      }
      const land = (parts: readonly Landed[]): void => {
        if (cycle !== this.#disk.powerCycle || this.#disk.refusal(write)) return
        for (const part of parts) this.#disk.land(part, durable)
      }
      const split = bytes.length > ATOM && this.#prng.chance(this.#disk.options.splitChance)
      if (split) this.#later(tookMs * this.#prng.float(), () => this.#host.alive && land(tear(write, this.#prng)))
      this.#later(tookMs, () => {
        if (!this.#host.alive) return this.#undecided(write, land, decided)
        decided()
        const refusal = this.#disk.refusal(write)
        if (refusal) return answer(refusal)
        if (fails) {
          land(this.#prng.pick([[], [write], tear(write, this.#prng)]))
          return answer()
        }
        land([write])
        if (cycle === this.#disk.powerCycle) answer()
        else answer(this.#failed('write', offset, 'the device lost power'))
      })
    })
  }

  flush(): Promise<void> {
    return this.#io({ op: 'flush', offset: 0, bytes: 0 }, (tookMs, cycle, answer, fails) => {
      const point = this.#disk.flushPoint()
      this.#later(tookMs, () => {
        if (cycle !== this.#disk.powerCycle) return answer(this.#failed('flush', 0, 'the device lost power'))
        if (!fails && this.#host.alive) this.#disk.harden(point)
        answer()
      })
    })
  }

  /** One that fails was executed or not; one of a host that has died, too. */
  async #command<T>(run: () => T): Promise<T> {
    let result: T | undefined
    let refused: MatrixError | undefined
    await this.#io({ op: 'reservation', offset: 0, bytes: 0 }, (tookMs, cycle, answer, fails) => {
      this.#later(tookMs, () => {
        if (cycle !== this.#disk.powerCycle) return answer(this.#failed('reservation', 0, 'the device lost power'))
        if ((fails || !this.#host.alive) && this.#prng.chance(0.5)) return answer()
        try {
          result = run()
        } catch (error) {
          refused = error as MatrixError
        }
        answer(fails ? undefined : refused)
      })
    })
    return result as T
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  /** A write whose host died: now, later, never or torn; never beyond the life of an I/O. */
  #undecided(write: Landed, land: (parts: readonly Landed[]) => void, decided: () => void): void {
    const fate = this.#prng.pick(['now', 'later', 'never', 'torn'] as const)
    this.#disk.onOddity(`write of the dead: ${fate}`)
    const parts = fate === 'never' ? [] : fate === 'torn' ? tear(write, this.#prng) : [write]
    const end = (): void => {
      land(parts)
      decided()
    }
    const leftMs = write.issuedAt + this.#disk.options.ioLifeMs - this.#disk.world.now
    if (fate === 'later') this.#later(Math.max(0, leftMs) * this.#prng.float(), end)
    else end()
  }

  /** Draws the time and the fault of an I/O, counts it, and answers on its host. */
  #io(
    what: Omit<SimIo, 'host'>,
    run: (
      tookMs: number,
      cycle: number,
      answer: (error?: MatrixError) => void,
      fails: boolean,
      landsAt: number,
    ) => void,
  ): Promise<void> {
    const io: SimIo = { ...what, host: this.#host.name }
    const { options, faults, counts, powerCycle } = this.#disk
    if (this.#closed || io.offset < 0 || io.offset + io.bytes > this.size) {
      return Promise.reject(this.#failed(io.op, io.offset, this.#closed ? 'the LUN is closed' : 'beyond its end'))
    }
    let count = counts.get(io.host)
    if (!count) counts.set(io.host, (count = { reads: 0, writes: 0, flushes: 0, reservations: 0 }))
    count[countKeys[io.op]]++
    this.#disk.onIssued?.(io, this.#host)

    let fault: SimFault | undefined
    for (const hook of faults) if ((fault = hook(io, this.#host))) break
    const [least, most] = options.latencyMs
    let tookMs = least + (most - least) * this.#prng.float()
    let fails = fault === 'error'
    if (typeof fault === 'object' && 'slowMs' in fault) {
      fails = fault.fails === true
      tookMs += fault.slowMs
      if (!fault.beyondLife) tookMs = Math.min(tookMs, options.ioLifeMs)
    }
    const landsAt = typeof fault === 'object' && 'landsAt' in fault ? fault.landsAt : io.offset
    return new Promise((resolve, reject) => {
      const answer = (error?: MatrixError): void =>
        this.#host.enter(() => {
          if (error || fails) reject(error ?? this.#failed(io.op, io.offset, 'injected fault'))
          else resolve()
        })
      run(tookMs, powerCycle, answer, fails, landsAt)
    })
  }

  #later(delayMs: number, run: () => void): void {
    this.#disk.world.at(delayMs, run)
  }

  #failed(what: string, offset: number, why = 'the device failed'): MatrixError {
    return new MatrixError('lun-io', `${this.identity}: ${what} at ${offset} failed: ${why}`)
  }
}
