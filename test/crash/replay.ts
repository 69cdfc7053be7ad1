/**
 * Crashes of a recording: builds the LUNs as a crash at a moment leaves them, lets a peer take over, and judges what it finds.
 *
 * At each moment several states are possible, and several are tried: nothing survives but what is hard; the node dies and the
 * devices' caches live; random subsets, torn at sectors. The peer mounts as in a recovery (node.ts), runs fsck, reads everything,
 * and goes on: it makes files, publishes a checkpoint, and all of it must be sound, for it and for whoever reads the LUNs cold. Often
 * it crashes too, at a random moment of its own life, its recovery included, and a second peer takes over from both.
 */
import { isFsError } from '../../src/base/errors.ts'
import type { Life } from '../../src/base/life.ts'
import type { Prng } from '../../src/base/prng.ts'
import { formatVector } from '../../src/base/vector.ts'
import { DoneAlready, type MatrixFs } from '../../src/metadata/index.ts'
import { silentLog } from '../../src/platform/index.ts'
import { checkFilesystem, checkImage, type Mount } from '../../src/recovery/index.ts'
import type { FilesystemRecord, LeaseSector } from '../../src/san/index.ts'
import { durable } from '../sim/calls.ts'
import { SimHost, SimWorld } from '../sim/world.ts'
import { find, perform, requestOf } from './client.ts'
import { type CrashImage, drawFate, type Fate, type LoggedWrite, LunLog } from './lun-log.ts'
import { type CrashNode, kill, startNode } from './node.ts'
import { describe, type Operation } from './operation.ts'
import { type History, judge, judgeRequests, possiblePrefixes } from './oracle.ts'
import { crashLayout, crashRecord, DEAD, LUN_SIZES, prngOf, type Recording } from './recording.ts'
import { readTree, type Tree } from './tree.ts'

/** Random states tried at a moment, beside the extreme ones. */
const RANDOM_STATES = 3
const PEER: Life = { slot: 1, incarnation: 1 }
const SECOND_PEER: Life = { slot: 2, incarnation: 1 }
const RISEN: Life = { slot: DEAD.slot, incarnation: DEAD.incarnation + 1 }
/** Orphans and freed space are gone by then, virtual ms. */
const REAPING_MS = 1000
/** So often the peer crashes, too; so often its heir goes to work as it did. */
const PEER_CRASHES = 0.5
const HEIR_WORKS = 0.3
/** What the peer makes; no operation of a sequence uses the name. */
const PEER_DIR = 'peer'
const PEER_BYTES = Buffer.alloc(30_000, 'the peer was here;')
/** When there is room for no more. */
const FEW_PEER_BYTES = PEER_BYTES.subarray(0, 4000)

export type Counts = { points: number; states: number; secondCrashes: number; ghosts: number }

export type CrashPoint = { readonly moment: number; readonly states: readonly State[] }
type State = { readonly fates: readonly Fate[]; readonly powerLoss: boolean }

/** Every moment of the recording at which a crash could leave something else than at the moment before, or something else was promised. */
export function crashPoints({ log, history, from, to }: Recording, seed: number): CrashPoint[] {
  const out: CrashPoint[] = []
  let last = ''
  for (let moment = from; moment <= to; moment++) {
    const open = log.open(moment)
    const hard = log.writes.filter((write) => write.hard <= moment).length
    const under = open.map((write) => `${log.writes.indexOf(write)}${write.completed <= moment ? 'c' : ''}`)
    const promised = history.steps.filter(({ data }) => data && data.at <= moment).length
    const { least, most } = possiblePrefixes(history, moment)
    const key = [hard, ...under, promised, least, most].join()
    if (key === last) continue
    last = key
    out.push({ moment, states: statesAt(open, moment, prngOf(seed, moment)) })
  }
  return out
}

function statesAt(open: readonly LoggedWrite[], moment: number, prng: Prng): State[] {
  const landed = (write: LoggedWrite): Fate => ({ write, sectors: write.completed <= moment ? 'all' : 'none' })
  const states: State[] = [
    { powerLoss: true, fates: open.map((write) => ({ write, sectors: 'none' })) },
    { powerLoss: false, fates: open.map(landed) },
  ]
  if (open.length === 0) return states
  states.push({ powerLoss: true, fates: open.map((write) => ({ write, sectors: 'all' })) })
  for (let i = 0; i < RANDOM_STATES; i++) {
    const powerLoss = prng.chance(0.6)
    const fateOf = (write: LoggedWrite) =>
      !powerLoss && write.completed <= moment ? landed(write) : drawFate(write, prng)
    states.push({ powerLoss, fates: open.map(fateOf) })
  }
  const seen = new Set<string>()
  return states.filter(({ powerLoss, fates }) => {
    const key = JSON.stringify([powerLoss, fates.map(({ sectors }) => sectors)])
    return !seen.has(key) && seen.add(key)
  })
}

/** Throws an error that says what is wrong; `counts` grows. */
export async function replay(
  recording: Recording,
  { moment, states }: CrashPoint,
  seed: number,
  counts: Counts,
): Promise<void> {
  counts.points++
  for (const [i, state] of states.entries()) {
    counts.states++
    try {
      await takeOver(recording, moment, state, prngOf(seed, moment, i), counts)
    } catch (error) {
      throw new Error(`${describeState(recording, moment, state)}\n${error instanceof Error ? error.stack : error}`)
    }
  }
}

async function takeOver(recording: Recording, moment: number, state: State, prng: Prng, counts: Counts): Promise<void> {
  const { log, history } = recording
  const world = new SimWorld(prng.uint32())
  const image = log.crash(moment, state.fates, state.powerLoss)
  const peer = new Survivor(world, image, prng.fork())
  await peer.start(PEER, crashRecord, [DEAD])
  const prefix = judge(history, moment, await peer.tree())
  peer.checkImage()
  await peer.asksAgain(history, moment)

  // what the dead had under way lands although its journal is sealed: only in places that nobody else writes
  if (prng.chance(0.7))
    for (const write of image.late)
      if (write.purpose !== 'data') {
        peer.log.land(write)
        counts.ghosts++
      }
  await peer.work()
  judge(history, moment, await peer.tree(), prefix)
  await peer.checkAtRest()

  if (!prng.chance(PEER_CRASHES)) return
  counts.secondCrashes++
  const second = prng.below(peer.log.moment + 1)
  const powerLoss = prng.chance(0.6)
  const open = peer.log.open(second)
  const fates = open.map((write): Fate => {
    if (!powerLoss && write.completed <= second) return { write, sectors: 'all' }
    return drawFate(write, prng)
  })
  const heir = new Survivor(world, peer.log.crash(second, fates, powerLoss), prng.fork())
  const sealed = peer.sealedAt <= second
  // the second peer, or the dead node that comes back: its journal goes on where it was sealed
  const life = sealed && prng.chance(0.5) ? RISEN : SECOND_PEER
  try {
    await heir.start(life, sealed ? peer.record : crashRecord, sealed ? [PEER] : [DEAD, PEER])
    const tree = await heir.tree()
    judge(history, moment, tree, sealed ? prefix : undefined)
    if (peer.workedAt <= second) await heir.mustHaveWork()
    if (prng.chance(HEIR_WORKS)) {
      await heir.work()
      judge(history, moment, await heir.tree(), sealed ? prefix : undefined)
    }
    await heir.checkAtRest()
  } catch (error) {
    const when = sealed ? 'after' : 'before'
    throw new Error(
      `the peer crashed at moment ${second} of its ${peer.log.moment}, ${when} it had sealed the journal, ${powerLoss ? 'with' : 'without'} a power loss\n${error instanceof Error ? error.stack : error}`,
    )
  }
}

/** A peer that takes over the LUNs of the dead. */
class Survivor {
  readonly log: LunLog
  readonly #world: SimWorld
  readonly #prng: Prng
  #node: CrashNode | undefined
  #sealedRecord: FilesystemRecord = crashRecord
  sealedAt = Infinity
  /** Its own files were answered as stable. */
  workedAt = Infinity

  constructor(world: SimWorld, image: CrashImage, prng: Prng) {
    this.#world = world
    this.#prng = prng
    this.log = new LunLog(image, LUN_SIZES, prng.fork())
  }

  get record(): FilesystemRecord {
    return this.#sealedRecord
  }

  get #mount(): Mount {
    return (this.#node as CrashNode).mount
  }

  get #fs(): MatrixFs {
    return this.#mount.fs
  }

  async start(life: Life, record: FilesystemRecord, dead: readonly Life[]): Promise<void> {
    const host = new SimHost(this.#world, `peer ${life.slot}`)
    const starting = startNode({
      ...{ world: this.#world, host, luns: this.log.luns(host), record, life, dead, prng: this.#prng.fork() },
      onSealed: (sealed) => {
        this.#sealedRecord = sealed
        this.sealedAt = this.log.mark()
      },
    })
    this.#node = await this.#world.settle(starting)
  }

  /** Without what peers made. */
  async tree(): Promise<Tree> {
    const tree = await this.#world.settle(readTree(this.#fs))
    return new Map([...tree].filter(([path]) => path.split('/')[0] !== PEER_DIR))
  }

  checkImage(): void {
    const findings = checkImage(this.#mount.volume.image, crashLayout)
    if (findings.length > 0)
      throw new Error(
        `after the recovery fsck finds\n${findings.map(({ check, detail }) => `  ${check}: ${detail}`).join('\n')}`,
      )
  }

  /** The client of the dead node asks the peer again for what it had asked last: nothing is done a second time. */
  async asksAgain(history: History, moment: number): Promise<void> {
    const { done } = this.#mount.volume.image
    const tree = await this.tree()
    const last = judgeRequests(history, moment, tree, (step) => done.find(requestOf(step)) !== undefined)
    if (!last) return
    const { step, operation } = last
    const again = perform(this.#fs, operation, Buffer.alloc(0), requestOf(step)).then(
      () => 'done again',
      // a path of it may be gone: then there is nothing to ask for
      (error) => (error instanceof DoneAlready || isFsError(error, 'ENOENT') ? undefined : String(error)),
    )
    const wrong = await this.#world.settle(again)
    if (wrong !== undefined) throw new Error(`${describe(operation)}, asked for again, was answered: ${wrong}`)
  }

  /** Makes and changes things, publishes a checkpoint, and lets orphans and freed space go where they belong. */
  async work(): Promise<void> {
    const { slot } = (this.#node as CrashNode).life
    const file = `${PEER_DIR}/file${slot}`
    const run = (operation: Operation, bytes: Buffer = Buffer.alloc(0)) =>
      this.#world.settle(perform(this.#fs, operation, bytes))
    const there = await this.#world.settle(find(this.#fs, PEER_DIR).catch(() => undefined))
    if (there === undefined) await run({ op: 'mkdir', path: PEER_DIR })
    await run({ op: 'create', path: file })
    const { freeBytes } = await this.#fs.statfs()
    const bytes = freeBytes > 2 * PEER_BYTES.length ? PEER_BYTES : FEW_PEER_BYTES
    await run({ op: 'write', path: file, at: 0, bytes: bytes.length, stable: true }, bytes)
    await this.#world.settle(durable(this.#fs))
    this.workedAt = this.log.mark()
    await this.#world.settle(this.#mount.checkpoint())
    await run({ op: 'rename', path: file, to: `${file}.new` })
    await this.#world.settle(this.#fs.sync())
    await this.#world.run(this.#world.now + REAPING_MS)
    await this.#world.settle(this.#fs.sync())
    const orphans = this.#mount.volume.image.rows('SELECT slot, ino FROM orphan')
    if (orphans.length > 0) throw new Error(`orphans are left: ${JSON.stringify(orphans)}`)
  }

  /** What the first peer had been promised is there, under its old name or its new one. */
  async mustHaveWork(): Promise<void> {
    const tree = await this.#world.settle(readTree(this.#fs))
    const name = `${PEER_DIR}/file${PEER.slot}`
    const seen = tree.get(name) ?? tree.get(`${name}.new`)
    if (!seen) throw new Error(`${name} of the first peer is lost`)
    if (![PEER_BYTES, FEW_PEER_BYTES].some((bytes) => seen.bytes?.equals(bytes)))
      throw new Error(`${name} of the first peer has not the content that was answered as stable`)
  }

  /** The node dies with nothing under way; whoever reads nothing but the LUNs gets to where it was, and fsck finds nothing. */
  async checkAtRest(): Promise<void> {
    const { life } = this.#node as CrashNode
    await this.#world.settle(this.#fs.sync())
    const vector = formatVector(this.#mount.volume.image.vector)
    kill(this.#node as CrashNode)
    const host = new SimHost(this.#world, 'fsck')
    const report = await this.#world.settle(
      checkFilesystem({
        luns: this.log.luns(host),
        record: this.#sealedRecord,
        sectors: [{ ...life } as LeaseSector],
        isDead: () => true,
        clock: host.clock,
        log: silentLog,
      }),
    )
    if (report.findings.length > 0) throw new Error(`from the LUNs alone fsck finds ${JSON.stringify(report.findings)}`)
    if (formatVector(report.vector) !== vector)
      throw new Error(`the LUNs alone give the vector ${formatVector(report.vector)}, the peer had ${vector}`)
  }
}

function describeState({ log }: Recording, moment: number, { fates, powerLoss }: State): string {
  const lines = fates.map(({ write, sectors }) => {
    const what = typeof sectors === 'string' ? sectors : sectors.map((there) => (there ? '1' : '0')).join('')
    const state = write.completed <= moment ? 'completed' : 'under way'
    return `  ${write.purpose} on LUN ${write.lun} at ${write.offset}+${write.bytes.length}, ${state}: ${what}`
  })
  return [
    `${powerLoss ? 'power loss' : 'death of the node'} at moment ${moment} of ${log.moment}; not hard:`,
    ...lines,
  ].join('\n')
}
