/**
 * A matrix as its LUNs tell of it, without asking any node: labels, the membership database, the lease sectors. What it reads may
 * be read while nodes run; whatever writes calls `refuseWhenInUse` first, because the membership partition belongs to them then.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { defaultTimings, timingsFrom } from '../base/timings.ts'
import { realClock } from '../platform/real/clock.ts'
import { realHost } from '../platform/real/host.ts'
import { realProcesses } from '../platform/real/processes.ts'
import {
  type LabelRead,
  type LeaseSector,
  LeaseWatch,
  type Lun,
  labelledPart,
  type MembershipDatabase,
  MembershipStore,
  membershipLuns,
  openLun,
  openPartitions,
  orphanIoMs,
  orphansOver,
  type Partitions,
  readLabel,
} from '../san/index.ts'
import { toolLog } from './tool-log.ts'

export type OpenLun = LabelRead & { readonly url: string; readonly lun: Lun }

/**
 * `down`: left cleanly. `running`, `died`: known by its process, or by its lease moving. `silent`: on another host, and its
 * lease did not move while we looked; it may be dead, or we looked too briefly.
 */
export type NodeState = 'down' | 'joining' | 'running' | 'died' | 'silent'
export type NodeSeen = LeaseSector & { readonly seen: NodeState }

export class OfflineMatrix {
  readonly luns: readonly OpenLun[]
  readonly #partitions: Partitions
  readonly #store: MembershipStore

  private constructor(luns: readonly OpenLun[]) {
    this.luns = luns
    this.#partitions = toolPartitions(luns)
    this.#store = new MembershipStore(this.#partitions, toolLog)
  }

  /**
   * Opens LUNs of one matrix; a majority of its membership partitions has to be on them. Rejects with what `readLabel` rejects with, 'config'
   * when they are of several matrices or the membership partition is missing. `mayMiss`: LUNs that fail are told and left out, as long
   * as there is a database.
   */
  static async open(urls: readonly string[], { mayMiss = false } = {}): Promise<OfflineMatrix> {
    const luns: OpenLun[] = []
    let failure: unknown
    try {
      for (const url of urls) {
        try {
          luns.push(await openLabelled(url, luns[0]?.label.matrixUuid))
        } catch (error) {
          if (!mayMiss || !isMatrixError(error, 'lun-io', 'not-found')) throw error
          failure ??= error
          process.stderr.write(`matrix: ${error.message}\n`)
        }
      }
      return new OfflineMatrix(luns)
    } catch (error) {
      for (const { lun } of luns) await lun.close()
      throw failure ?? error
    }
  }

  readDatabase(): Promise<MembershipDatabase> {
    return this.#store.read()
  }

  /** Only after `refuseWhenInUse`. */
  writeDatabase(database: MembershipDatabase): Promise<MembershipDatabase> {
    return this.#store.write(database)
  }

  /** The first database of a membership partition that was just formatted. */
  createDatabase(database: Omit<MembershipDatabase, 'generation' | 'term'>): Promise<MembershipDatabase> {
    return this.#store.create(database)
  }

  /** Every slot that was ever used, ascending. Takes a few renewal periods when nodes of other hosts have to be watched. */
  nodes(): Promise<NodeSeen[]> {
    return nodesOn(this.#partitions)
  }

  /** Rejects with MatrixError 'in-use' unless every node is surely down; that may take as long as a take-over would. */
  async refuseWhenInUse(): Promise<void> {
    await refuseWhenInUse(
      this.#partitions,
      this.luns.map(({ url }) => url),
    )
  }

  async close(): Promise<void> {
    for (const { lun } of this.luns) await lun.close()
  }
}

async function openLabelled(url: string, matrixUuid: string | undefined): Promise<OpenLun> {
  const lun = await openLun(url, realHost)
  try {
    const read = await readLabel(lun, matrixUuid)
    return { url, ...read, lun: labelledPart({ label: read.label, lun }) }
  } catch (error) {
    await lun.close()
    throw error
  }
}

/** Renewal periods that a node of another host is watched for before it counts as silent. */
const PATIENCE = 3

/** The membership partitions on some LUNs of a matrix. Throws MatrixError 'config' when they are no majority. */
export function toolPartitions(luns: readonly OpenLun[]): Partitions {
  const { bearing, expected } = membershipLuns(luns)
  const there = bearing.map(({ lun }) => lun)
  return openPartitions(there, expected, { clock: realClock, timings: defaultTimings })
}

/** As the method `nodes`, for membership partitions by themselves. */
export function nodesOn(membership: Partitions): Promise<NodeSeen[]> {
  return watchNodes(membership, PATIENCE)
}

/** As the method `refuseWhenInUse`, for membership partitions by themselves; `urls`: where the LUNs are. */
export async function refuseWhenInUse(membership: Partitions, urls: readonly string[]): Promise<void> {
  let nodes = await nodesOn(membership)
  const silent = nodes.filter(({ seen }) => seen === 'silent')
  if (silent.length > 0 && !nodes.some(isAlive)) {
    const names = silent.map(({ nodeName, hostName }) => `${nodeName} on ${hostName}`).join(', ')
    process.stderr.write(`matrix: watching the leases until it is sure that ${names} is down\n`)
    nodes = await watchNodes(membership, Number.POSITIVE_INFINITY)
  }
  const alive = nodes.filter(isAlive)
  if (alive.length === 0) {
    const dead = nodes.filter(({ seen }) => seen === 'died')
    const lives = dead.map(({ ioTimeoutMs }) => orphanIoMs(urls, timingsFrom(ioTimeoutMs)))
    await orphansOver(realClock, Math.max(0, ...lives))
    return
  }
  const names = alive.map(({ nodeName, hostName, process: { pid } }) => `${nodeName} (pid ${pid} on ${hostName})`)
  throw new MatrixError('in-use', `${names.join(', ')} is running; stop every node of the matrix first`)
}

function isAlive({ seen }: NodeSeen): boolean {
  return seen === 'running' || seen === 'joining'
}

/** Watches for `renewals` renewal periods of the slowest node, or until every life is surely over or seen to move. */
async function watchNodes(partitions: Partitions, renewals: number): Promise<NodeSeen[]> {
  const look = new LeaseWatch({ partitions, clock: realClock, timings: timingsFrom(1), log: toolLog })
  const first = await look.scan()
  const undecided = first.filter((sector) => judge(sector) === undefined)
  const timings = timingsFrom(Math.max(1, ...undecided.map(({ ioTimeoutMs }) => ioTimeoutMs)))
  const watch = new LeaseWatch({ partitions, clock: realClock, timings, log: toolLog })
  const start = await watch.scan()
  const limitMs = undecided.length === 0 ? 0 : Math.min(renewals * timings.renewMs, timings.observedDeadMs)
  const begun = realClock.now()
  const seenOf = (sector: LeaseSector): NodeState => {
    const known = judge(sector)
    if (known) return known
    const before = start.find(({ slot }) => slot === sector.slot)
    if (before?.incarnation !== sector.incarnation || before.counter !== sector.counter) return aliveAs(sector)
    return watch.certainlyDead(sector) ? 'died' : 'silent'
  }
  for (;;) {
    const nodes = (await watch.scan()).map((sector) => ({ ...sector, seen: seenOf(sector) }))
    if (nodes.every(({ seen }) => seen !== 'silent') || realClock.now() - begun > limitMs) return nodes
    await sleep(timings.renewMs / 2)
  }
}

/** What can be told at once: by the state, or by the process when it is of this host. */
function judge(sector: LeaseSector): NodeState | undefined {
  if (sector.state === 'clean') return 'down'
  const process = realProcesses.state(sector.process)
  if (process === 'elsewhere') return undefined
  return process === 'gone' ? 'died' : aliveAs(sector)
}

function aliveAs(sector: LeaseSector): NodeState {
  return sector.state === 'joining' ? 'joining' : 'running'
}
