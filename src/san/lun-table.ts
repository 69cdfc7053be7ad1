/**
 * The LUNs that a node has open, each behind a gate of its own (psd.ts), by the UUID on its label. It follows the list in the membership
 * database: what the list does not name is closed and not used, what it names and this node does not find is looked for again and again.
 *
 *   follow   at the start, and whenever the node is imported into a view: the list as it is
 *   add      the administrator has told of a LUN to be added: it is open, or there is a reason why not
 *   remove   ... to be removed: the gate is closed, what was under way is over, and the device is closed
 *   resize   ... of a LUN that has become larger: so much of it is used
 *   look     now and then, for LUNs of the list that were not found
 *
 * These go one after another. Each may be told twice; an add waits for nothing longer than `limitMs`, a removal no longer than the longest life
 * of an I/O: after that nothing of it can land. The others of the matrix wait for it.
 *
 * Invariants
 *   1. After `remove` nothing of this node reaches the LUN, until it is added again. (To find a LUN, labels are read; nothing else.)
 *   2. Once the table is fenced no gate of it is ever open.
 */

import { assert } from '../base/assert.ts'
import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Timings } from '../base/timings.ts'
import { Turns } from '../base/turns.ts'
import { formatSize } from '../base/units.ts'
import { type Clock, type Timer, within } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { LunRecord, MembershipDatabase } from './database.ts'
import { enlargeLabel, type Label, readLabel } from './label.ts'
import type { Lun } from './lun.ts'
import { membershipLuns } from './membership-luns.ts'
import { alwaysGoodLease, type IoCounters, type IoKind, type Lease, PseudoStorageDriver } from './psd.ts'
import type { Registration } from './registration.ts'

/** LUNs that are missing are looked for this often, ms. */
const LOOK_PERIOD_MS = 5_000

export type LabelledLun = { readonly label: Label; readonly lun: Lun }
/** `lun`: the bare device. */
export type TableEntry = LabelledLun & { readonly gate: PseudoStorageDriver }

/** Where a node looks for a LUN that it does not have open. */
export interface LunFinder {
  /** The LUN with this UUID on its label, opened; undefined when there is none in reach. `hint`: where another node has found it. */
  find(uuid: string, hint: string | undefined): Promise<LabelledLun | undefined>
  /** It is no LUN of the matrix any more. */
  forget(uuid: string): void
}

export type LunTableOptions = {
  readonly clock: Clock
  readonly lease: Lease
  readonly timings: Pick<Timings, 'guardMs' | 'ioLifeMs'>
  readonly log: Log
  readonly finder: LunFinder
  /** Of this life, at every LUN that is used; without it LUNs are used as they are. */
  readonly registration?: Registration | undefined
  /** A LUN refuses the writes of this node. */
  readonly onReserved?: (lun: Lun, reason: string) => void
}

export class LunTable {
  readonly #options: LunTableOptions
  readonly #entries = new Map<string, TableEntry>()
  readonly #matrixUuid: string
  readonly #partitionsAreAllHere: boolean
  /** As the database has it, as far as this node knows. */
  #listed: readonly LunRecord[] = []
  readonly #turns = new Turns()
  /** What was said of LUNs that are missing: once is enough. */
  readonly #whyMissing = new Map<string, string>()
  #looking: Timer | undefined
  #isLooking = false
  #closedBy: string | undefined

  /** `luns`: as `readLabels` gives them. */
  constructor(luns: readonly LabelledLun[], options: LunTableOptions) {
    this.#options = options
    this.#matrixUuid = (luns[0] as LabelledLun).label.matrixUuid
    for (const found of luns) this.#put(found)
    const { gates, expected } = this.bearing
    this.#partitionsAreAllHere = gates.length === expected
  }

  get matrixUuid(): string {
    return this.#matrixUuid
  }

  get entries(): readonly TableEntry[] {
    return [...this.#entries.values()]
  }

  /** Those of the list that are not open. */
  get missing(): readonly LunRecord[] {
    return this.#listed.filter(({ uuid }) => !this.#entries.has(uuid))
  }

  has(uuid: string): boolean {
    return this.#entries.has(uuid)
  }

  /** The gates of the LUNs that bear the membership partitions, and how many the matrix has. */
  get bearing(): { readonly gates: readonly Lun[]; readonly expected: number } {
    const { bearing, expected } = membershipLuns(this.entries)
    return { gates: bearing.map(({ gate }) => gate), expected }
  }

  /** Why the LUN of the list cannot be used here; undefined when it is open. */
  whyNot({ uuid, name }: LunRecord): string | undefined {
    if (this.#entries.has(uuid)) return undefined
    return this.#whyMissing.get(uuid) ?? `LUN ${name} is not open here`
  }

  /** Throws MatrixError 'not-found'. */
  gate(uuid: string): PseudoStorageDriver {
    const entry = this.#entries.get(uuid)
    if (!entry) throw new MatrixError('not-found', `LUN ${uuid} is not among those that this node reaches`)
    return entry.gate
  }

  /** True also for a LUN that this node does not see while it does not see all membership partitions. */
  mayBearPartition(uuid: string): boolean {
    const entry = this.#entries.get(uuid)
    return entry ? entry.label.partitions > 0 : !this.#partitionsAreAllHere
  }

  /** Operations and bytes by purpose, of each LUN. */
  counters(): Record<string, Record<string, Readonly<IoCounters>>> {
    const of = (counters: ReadonlyMap<IoKind, Readonly<IoCounters>>) => Object.fromEntries(counters.entries())
    return Object.fromEntries(this.entries.map(({ label, gate }) => [label.lunName, of(gate.counters)]))
  }

  // ── the list changes ─────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Reads the database when it is its turn, and makes the table follow it, but for a change that is pending: of that the node is told. Gives
   * the database; rejects as `read` does.
   */
  follow(read: () => Promise<MembershipDatabase>): Promise<MembershipDatabase> {
    return this.#turns.take(async () => {
      const database = await read()
      const { pending } = database
      const changing = pending?.kind === 'add' || pending?.kind === 'remove' ? pending.lun.uuid : undefined
      this.#listed = database.luns.filter(({ uuid }) => uuid !== changing)
      for (const lun of this.#listed) await this.#followSize(lun)
      for (const { label } of this.entries) {
        const { lunUuid, partitions } = label
        if (partitions > 0 || lunUuid === changing || this.#listed.some(({ uuid }) => uuid === lunUuid)) continue
        this.#options.log.warn({ lun: label.lunName }, 'a LUN is not in the list of the matrix: it is not used')
        await this.#takeOut(lunUuid)
      }
      // what could not be found before is looked for later: whoever waits for this import shall not wait for that
      for (const lun of this.missing)
        if (!this.#whyMissing.has(lun.uuid)) this.#tell(lun, await this.#open(lun, undefined))
      this.#looking ??= this.#options.clock.every(LOOK_PERIOD_MS, () => void this.#lookAgain())
      return database
    })
  }

  /** Why this node cannot use it; undefined once it is open. `check` is called first, when it is its turn: what it throws is the outcome. */
  add(lun: LunRecord, hint: string | undefined, check: () => void): Promise<string | undefined> {
    return this.#turns.take(async () => {
      check()
      const refused = await this.#open(lun, hint)
      if (refused === undefined && !this.#listed.some(({ uuid }) => uuid === lun.uuid))
        this.#listed = [...this.#listed, lun]
      return refused
    })
  }

  /** The LUN is to be used in this size, larger than before or as before. Why this node cannot; `check` as in `add`. */
  resize(lun: LunRecord, check: () => void): Promise<string | undefined> {
    return this.#turns.take(async () => {
      check()
      const entry = this.#entries.get(lun.uuid)
      if (!entry) return this.whyNot(lun)
      const size = await this.#measure(entry)
      if (typeof size === 'string') return size
      if (size < lun.size) return `sees only ${formatSize(size)} of LUN ${lun.name}`
      entry.gate.resize(lun.size)
      this.#listed = this.#listed.map((each) => (each.uuid === lun.uuid ? lun : each))
      return undefined
    })
  }

  /** Bytes that the device has by now; or why nobody can tell. */
  measure(uuid: string): Promise<number | string> {
    const entry = this.#entries.get(uuid)
    return entry ? this.#measure(entry) : Promise.resolve('the LUN is not open here')
  }

  /** The administrator: all members use it in this size, after `before` bytes. Why the label could not be made to say so. */
  async relabel({ uuid, name, size }: LunRecord, before: number): Promise<string | undefined> {
    try {
      await enlargeLabel(this.gate(uuid), before, size)
      return undefined
    } catch (error) {
      if (!isMatrixError(error)) throw error
      return `cannot write the label of LUN ${name}: ${error.message}`
    }
  }

  /** Resolves once nothing of this node reaches it any more. `check` as in `add`. */
  remove(lun: LunRecord, check: () => void): Promise<undefined> {
    return this.#turns.take(async () => {
      check()
      this.#listed = this.#listed.filter(({ uuid }) => uuid !== lun.uuid)
      await this.#takeOut(lun.uuid)
      return undefined
    })
  }

  // ── the end of the node ──────────────────────────────────────────────────────────────────────────────────────────

  /** Closes every gate, also those that are yet to come. */
  fence(reason: string): void {
    this.#closedBy ??= reason
    this.#looking?.cancel()
    for (const { gate } of this.#entries.values()) gate.fence(reason)
  }

  /** Resolves once nothing that was handed to a device is under way any more. */
  async drained(): Promise<void> {
    await Promise.all(this.entries.map(({ gate }) => gate.drained()))
  }

  /** Closes the devices, after `fence`. */
  async close(): Promise<void> {
    await Promise.all(this.entries.map(({ gate }) => gate.close()))
  }

  // ── within ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** `size`: how much of it the list uses. */
  #put({ label, lun }: LabelledLun, size = label.size): void {
    const { clock, lease, timings, onReserved } = this.#options
    const gate = new PseudoStorageDriver(lun, {
      ...{ clock, lease, guardMs: timings.guardMs, size },
      onReserved: (reason) => onReserved?.(lun, reason),
    })
    this.#entries.set(label.lunUuid, { label, lun, gate })
    this.#whyMissing.delete(label.lunUuid)
  }

  /** A LUN that is open is used in the size that the list has. Rejects with 'config' when it is smaller here. */
  async #followSize(lun: LunRecord): Promise<void> {
    const entry = this.#entries.get(lun.uuid)
    if (!entry || entry.gate.size === lun.size) return
    const size = await this.#measure(entry)
    if (typeof size === 'string') throw new MatrixError('lun-io', size)
    if (size < lun.size)
      throw new MatrixError(
        'config',
        `LUN ${lun.name} has ${formatSize(size)} at this node, the matrix uses ${formatSize(lun.size)} of it: have the device looked for again`,
      )
    entry.gate.resize(lun.size)
  }

  async #measure({ lun, label }: LabelledLun): Promise<number | string> {
    const { clock, timings } = this.#options
    const measuring = (lun.measure?.() ?? Promise.resolve(lun.size)).catch((error) => {
      if (!isMatrixError(error)) throw error
      return `cannot tell the size of LUN ${label.lunName}: ${error.message}`
    })
    const size = await within(clock, measuring, 2 * timings.ioLifeMs)
    return size === 'late' ? `LUN ${label.lunName} does not tell its size` : size
  }

  /** Why not. */
  async #open(lun: LunRecord, hint: string | undefined): Promise<string | undefined> {
    const open = this.#entries.get(lun.uuid)
    if (open) return this.#objection(lun, open)
    return this.#use(lun, await this.#find(lun, hint))
  }

  #use(lun: LunRecord, found: LabelledLun | string): string | undefined {
    if (typeof found === 'string') return found
    const objection = this.#closedBy ?? this.#objection(lun, found)
    if (objection === undefined) this.#put(found, lun.size)
    else this.#discard(found.lun)
    return objection
  }

  async #find({ uuid, name }: LunRecord, hint: string | undefined): Promise<LabelledLun | string> {
    const { clock, finder, timings } = this.#options
    const limitMs = 2 * timings.ioLifeMs
    let over = false
    const finding = this.#admitted(finder.find(uuid, hint)).then(
      (found) => {
        if (over && found) this.#discard(found.lun)
        return found ?? `does not find LUN ${name}: add its URL under luns in the configuration of this node`
      },
      (error) => {
        if (!isMatrixError(error)) throw error
        return `cannot read LUN ${name}: ${error.message}`
      },
    )
    const found = await within(clock, finding, limitMs)
    over = true
    return found === 'late' ? `LUN ${name} has not answered for ${limitMs} ms` : found
  }

  #discard(lun: Lun): void {
    this.#options.registration?.forget(lun)
    closeQuietly(lun)
  }

  async #admitted(finding: Promise<LabelledLun | undefined>): Promise<LabelledLun | undefined> {
    const found = await finding
    try {
      if (found?.label.matrixUuid === this.#matrixUuid) await this.#options.registration?.admit(found.lun)
      return found
    } catch (error) {
      if (found) this.#discard(found.lun)
      throw error
    }
  }

  #objection(lun: LunRecord, { label, lun: device }: LabelledLun): string | undefined {
    const what = `finds LUN ${lun.name} at ${device.identity}, whose label`
    if (label.matrixUuid !== this.#matrixUuid) return `${what} is of matrix ${label.matrixName} (${label.matrixUuid})`
    if (label.lunName !== lun.name) return `${what} says ${label.lunName}, not ${lun.name}`
    // the list says how much is used: the label may be ahead of it, or have been damaged and repaired with what it said before
    if (device.size < lun.size)
      return `finds LUN ${lun.name} at ${device.identity} with only ${formatSize(device.size)} of ${formatSize(lun.size)}`
    return undefined
  }

  async #takeOut(uuid: string): Promise<void> {
    const { clock, log, timings, finder, registration } = this.#options
    const entry = this.#entries.get(uuid)
    finder.forget(uuid)
    if (!entry) return
    const { label, lun, gate } = entry
    assert(label.partitions === 0, `LUN ${label.lunName} bears a membership partition and is to be removed`)
    gate.fence(`LUN ${label.lunName} is none of the matrix any more`)
    const drained = gate.drained()
    void drained.then(async () => {
      await registration
        ?.leave(lun)
        .catch((error) => log.warn({ lun: label.lunName, error }, 'a registration could not be taken back'))
      closeQuietly(lun)
    })
    if (!brokenRules.drainedBeforeRemoved && (await within(clock, drained, timings.ioLifeMs)) === 'late')
      log.warn({ lun: label.lunName }, 'I/O to a LUN that is removed has not ended within its longest life')
    this.#entries.delete(uuid)
    log.info({ lun: label.lunName }, 'a LUN is closed')
  }

  /** Not in turn: a LUN that hangs must hold up nobody. What is found is used only if it is missing still. */
  async #lookAgain(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      for (const lun of this.missing) {
        const found = await this.#find(lun, undefined)
        await this.#turns.take(async () => {
          if (this.missing.some(({ uuid }) => uuid === lun.uuid)) this.#tell(lun, this.#use(lun, found))
          else if (typeof found !== 'string') this.#discard(found.lun)
        })
      }
    } finally {
      this.#isLooking = false
    }
  }

  #tell(lun: LunRecord, refused: string | undefined): void {
    const { log } = this.#options
    if (refused === undefined) log.info({ lun: lun.name }, 'a LUN is open')
    else if (this.#whyMissing.get(lun.uuid) !== refused) {
      log.warn({ lun: lun.name, why: refused }, 'a LUN of the matrix is not in reach of this node')
      this.#whyMissing.set(lun.uuid, refused)
    }
  }
}

function closeQuietly(lun: Lun): void {
  // nothing is lost with it: all I/O to it is over
  lun.close().catch(() => {})
}

/** Reads the label of every device: all belong to the matrix of that name. Rejects with MatrixError 'lun-foreign', 'config', or as `readLabel`. */
export async function readLabels(
  devices: readonly Lun[],
  matrixName: string,
  { clock, timings }: Pick<LunTableOptions, 'clock' | 'timings'>,
): Promise<readonly LabelledLun[]> {
  const out: LabelledLun[] = []
  for (const device of devices) {
    const reader = new PseudoStorageDriver(device, { clock, lease: alwaysGoodLease, guardMs: timings.guardMs })
    const { label } = await readLabel(reader)
    if (label.matrixName !== matrixName) {
      throw new MatrixError(
        'lun-foreign',
        `${device.identity} belongs to matrix "${label.matrixName}", this node to "${matrixName}": take it out of the configuration, or correct matrix.name`,
      )
    }
    const other = out.find((lun) => lun.label.matrixUuid !== label.matrixUuid)
    if (other)
      throw new MatrixError(
        'lun-foreign',
        `${device.identity} and ${other.lun.identity} belong to two different matrices named "${matrixName}"`,
      )
    const twin = out.find((lun) => lun.label.lunUuid === label.lunUuid)
    if (twin)
      throw new MatrixError(
        'config',
        `${device.identity} and ${twin.lun.identity} are the same LUN "${label.lunName}": name it once`,
      )
    out.push({ label, lun: device })
  }
  return out
}
