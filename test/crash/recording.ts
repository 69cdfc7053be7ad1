/**
 * One run of a sequence at a node, with everything that the LUNs were told and everything that was answered: from it every crash
 * of that node can be built and judged.
 *
 * Pacing: a 'patient' client waits after each operation until it is answered as stable, as NFS answers; a 'hasty' one goes on at
 * the verb's answer, as on a local mount, and hears later, if at all. At the end some time passes, so that the background
 * cleans what is dirty, and then everything is synced.
 */

import { crc32c } from '../../src/base/crc32c.ts'
import { isFsError } from '../../src/base/errors.ts'
import type { Life } from '../../src/base/life.ts'
import { BLOCK_SIZE } from '../../src/base/limits.ts'
import { Prng } from '../../src/base/prng.ts'
import { KiB, MiB } from '../../src/base/units.ts'
import { FsLayout, formatFilesystem } from '../../src/metadata/index.ts'
import type { FilesystemRecord } from '../../src/san/index.ts'
import { SparseBytes } from '../helpers/sparse-bytes.ts'
import { durable } from '../sim/calls.ts'
import { SimHost, SimWorld } from '../sim/world.ts'
import { smallRecord } from '../unit/metadata/fixture.ts'
import { perform, requestOf } from './client.ts'
import { type CrashImage, type Lie, LunLog } from './lun-log.ts'
import { Model } from './model.ts'
import { type CrashNode, kill, startNode, timings } from './node.ts'
import { describe, type Operation } from './operation.ts'
import type { History, Step } from './oracle.ts'
import type { Sequence } from './sequences.ts'

/** Small, so that journals wrap and space is used again: two LUNs with a few dozen blocks of data. */
export const crashRecord: FilesystemRecord = {
  ...smallRecord,
  luns: [...smallRecord.luns, '00000000-0000-4000-8000-0000000000bb'],
  journalBytes: 16 * KiB,
  groupBlocks: 16,
}
export const LUN_SIZES = [13 * MiB + 49 * BLOCK_SIZE, 4 * MiB + 57 * BLOCK_SIZE]
export const crashLayout = new FsLayout(crashRecord, LUN_SIZES)
export const DEAD: Life = { slot: 0, incarnation: 1 }

/** Blocks that a nearly full filesystem has left: what is freed is soon used again. */
const BLOCKS_LEFT = 44
/** Blocks that a full one has left: enough for a peer and its heir to go on. */
const LAST_BLOCKS = 2

export type Conditions = {
  readonly pacing: 'patient' | 'hasty'
  /** 'late': the journal is about to wrap, and a checkpoint to be due. */
  readonly journal: 'fresh' | 'late'
  /** 'full': what is written next needs the space that was just freed. */
  readonly space: 'empty' | 'scarce' | 'full'
  readonly lie?: Lie | undefined
}

export type Recording = {
  readonly log: LunLog
  readonly history: History
  /** First and last moment to crash at. */
  readonly from: number
  readonly to: number
  /** The journal began anew at the start of its ring meanwhile. */
  readonly wrapped: boolean
  readonly checkpoints: number
}

export function prngOf(...numbers: readonly number[]): Prng {
  return new Prng(crc32c(Buffer.from(numbers.join())))
}

/** The LUNs as formatted. */
export async function formatted(): Promise<CrashImage> {
  const world = new SimWorld(1)
  const nothing = { hard: LUN_SIZES.map(() => new SparseBytes()), cached: [], late: [] }
  const log = new LunLog(nothing, LUN_SIZES, new Prng(1))
  await world.settle(formatFilesystem(log.luns(new SimHost(world, 'format')), crashRecord, { now: 1_700_000_000_000 }))
  const landed = log.open(log.moment).map((write) => ({ write, sectors: 'all' as const }))
  return log.crash(log.moment, landed, true)
}

export async function record(
  base: CrashImage,
  sequence: Sequence,
  { pacing, journal, space, lie }: Conditions,
  prng: Prng,
): Promise<Recording> {
  const world = new SimWorld(prng.uint32())
  const log = new LunLog(base, LUN_SIZES, prng.fork(), lie)
  const host = new SimHost(world, 'victim')
  const starting = startNode({
    ...{ world, host, luns: log.luns(host), record: crashRecord, life: DEAD, dead: [], prng: prng.fork() },
  })
  const node = await world.settle(starting)
  const victim = new Victim(world, node, log)
  if (space === 'scarce') await victim.fillSpace(BLOCKS_LEFT)
  for (const operation of sequence.setup) await victim.do(operation, true)
  if (space === 'full') await victim.fillSpace(LAST_BLOCKS)
  if (journal === 'late') await victim.fillJournal(prng.between(500, 3500))
  await world.settle(node.mount.fs.sync())
  await world.run(world.now + 100)
  const checkpointsBefore = node.mount.volume.stats().checkpoint
  const lapBefore = Math.floor(victim.journalEnd / crashRecord.journalBytes)
  const from = log.mark()

  for (const operation of sequence.operations) await victim.do(operation, pacing === 'patient')
  await world.run(world.now + prng.pick([0, 5, 1.5 * timings.cleanAfterMs]))
  await victim.do({ op: 'sync' }, true)
  await victim.finish()
  const to = log.moment
  const { checkpoint } = node.mount.volume.stats()
  const wrapped = Math.floor(victim.journalEnd / crashRecord.journalBytes) > lapBefore
  kill(node)
  return { log, history: victim.history(), from, to, wrapped, checkpoints: checkpoint - checkpointsBefore }
}

type OpenStep = { -readonly [Key in keyof Step]: Step[Key] }

/** The node that will have died, and the model beside it. */
class Victim {
  readonly #world: SimWorld
  readonly #node: CrashNode
  readonly #log: LunLog
  readonly #model = new Model()
  readonly #steps: OpenStep[] = []
  readonly #snapshots = [this.#model.snapshot()]
  #checkpointing: Promise<void> = Promise.resolve()

  constructor(world: SimWorld, node: CrashNode, log: LunLog) {
    this.#world = world
    this.#node = node
    this.#log = log
  }

  get journalEnd(): number {
    return this.#node.mount.volume.endOf(DEAD.slot)
  }

  history(): History {
    return { steps: this.#steps, snapshots: this.#snapshots, events: this.#model.events }
  }

  async finish(): Promise<void> {
    await this.#world.settle(this.#checkpointing)
  }

  /** Small changes until only `bytes` are left before the journal's ring begins anew. */
  async fillJournal(bytes: number): Promise<void> {
    const ring = crashRecord.journalBytes
    while (ring - (this.journalEnd % ring) > bytes) {
      await this.do({ op: 'create', path: 'spare' }, true)
      await this.do({ op: 'unlink', path: 'spare' }, true)
    }
  }

  /** Leaves so many blocks of data free. */
  async fillSpace(blocks: number): Promise<void> {
    const { freeBytes } = await this.#node.mount.fs.statfs()
    await this.do({ op: 'create', path: 'ballast' }, true)
    const bytes = freeBytes - blocks * BLOCK_SIZE
    await this.do({ op: 'write', path: 'ballast', at: 0, bytes, stable: true }, true)
  }

  /** A rename of two names of one object, which changes nothing. */
  #isSameName(operation: Operation, number: number): boolean {
    if (operation.op !== 'rename') return false
    const before = this.#snapshots[number - 1]
    return before?.get(operation.path)?.id === before?.get(operation.to)?.id
  }

  /** `patient`: resolves once it is answered as stable. */
  async do(operation: Operation, patient: boolean): Promise<void> {
    const { fs } = this.#node.mount
    const step: OpenStep = { began: this.#log.mark(), stable: Infinity }
    const number = this.#steps.push(step)
    const bytes = this.#model.bytesOf(operation, number)
    const file = 'path' in operation ? this.#model.resolve(operation.path)?.id : undefined
    const expected = this.#model.run(operation, number)
    this.#snapshots.push(this.#model.snapshot())
    if (expected === undefined && isRecorded(operation) && !this.#isSameName(operation, number))
      step.recorded = operation

    if (operation.op === 'age') return this.#world.run(this.#world.now + 1.5 * timings.cleanAfterMs)
    if (operation.op === 'checkpoint') {
      this.#checkpointing = this.#node.mount.checkpoint()
      if (patient) await this.#world.settle(this.#checkpointing)
      return
    }
    const answer = await this.#world.settle(codeOf(perform(fs, operation, bytes, requestOf(number))))
    if (answer !== expected)
      throw new Error(`${describe(operation)} answered ${answer ?? 'success'} instead of ${expected ?? 'success'}`)
    if (operation.op === 'sync') step.data = { file: 'all', at: this.#log.mark() }
    const stableData = operation.op === 'commit' || (operation.op === 'write' && operation.stable)
    if (stableData && file !== undefined && answer === undefined) step.data = { file, at: this.#log.mark() }
    // data that is not yet durable is nothing that a later answer could make so
    if (operation.op === 'write' && !operation.stable) return
    const told = durable(fs).then(() => {
      step.stable = this.#log.mark()
    })
    told.catch(() => {}) // the node was killed first
    if (patient) await this.#world.settle(told)
  }
}

/** Those whose change is one transaction, and that are asked for with a request that may come again. */
function isRecorded({ op }: Operation): boolean {
  return !['write', 'store', 'commit', 'sync', 'checkpoint', 'age', 'truncate'].includes(op)
}

async function codeOf(promise: Promise<void>): Promise<string | undefined> {
  try {
    await promise
    return undefined
  } catch (error) {
    if (isFsError(error)) return error.code
    throw error
  }
}
