/**
 * How a slot's lease is claimed: a delta lease (Chockler and Malkhi 2002), since a plain file has no compare-and-write.
 *
 *   1. Read the sector. A former owner that did not leave cleanly must surely be dead: its process is gone from this host, and
 *      what it had sent to a target is over (orphan-io.ts); or its sector has not changed for `observedDeadMs` of own watching. Else 'node-in-use'.
 *      Let t0 be the time at which the last read of it was issued.
 *   2. Write our record, incarnation + 1, state claiming; complete at t1.
 *   3. If t1 - t0 > settleMs, start over. Else wait settleMs, and read: still our record → the lease is ours.
 *
 * Two claims never both succeed: say B's write landed before A's. B succeeds only if it reads its record settleMs after its
 * write was complete, so A's landed later than that; but then A's t0, at most settleMs before, came after B's write, and A would
 * have seen it in step 1. A write that was too slow may have hidden B's record, though: so nobody trusts a record in state
 * claiming, not even its writer, before B has had the time to notice or to die (step 1, always by watching).
 *
 * Crash: before step 2 nothing has happened; after it the next claim finds a record in state claiming and has to watch.
 */
import { brokenRules } from '../base/broken-rules.ts'
import { MatrixError } from '../base/errors.ts'
import type { Incarnation } from '../base/ids.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import type { Timings } from '../base/timings.ts'
import { type Clock, sleep } from '../platform/clock.ts'
import type { Processes, ProcessIdentity } from '../platform/files.ts'
import type { Log } from '../platform/log.ts'
import { type LeaseSector, recordsOf } from './lease-sector.ts'
import { LEASE_OFFSET } from './lun-layout.ts'
import { orphansOver } from './orphan-io.ts'
import type { LeaseOwner, OwnSectors } from './own-sectors.ts'
import type { Partitions } from './partitions.ts'
import type { LeaseRegistration } from './registration.ts'
import { Sightings } from './sightings.ts'

/** Attempts of a claim whose I/O was too slow to be sure, before it is given up. */
const MAX_CLAIM_ATTEMPTS = 5

export type ClaimOptions = {
  readonly partitions: Partitions
  readonly clock: Clock
  readonly processes: Pick<Processes, 'state'>
  readonly timings: Timings
  readonly log: Log
  readonly owner: LeaseOwner
  /** How long commands to any LUN of the matrix may outlive their process, ms (orphan-io.ts). */
  readonly orphanIoMs: number
  /** Where LUNs are reserved: admits this life before its first write, once the former owner is surely dead; its last write is in `release`. */
  readonly registration?: Pick<LeaseRegistration, 'admit' | 'leave'> | undefined
}

/** What a claim has won: the lease counts from `issuedAt`, own clock, ms. */
export type Claim = { readonly incarnation: Incarnation; readonly issuedAt: number }

/** Rejects with MatrixError 'node-in-use', 'in-use' (the slot is another node's), 'config', 'lun-damaged', 'format-version', 'timeout', 'lun-io'. */
export async function claimSector(sectors: OwnSectors, options: ClaimOptions): Promise<Claim> {
  const { partitions, clock, timings, owner, log } = options
  const settleMs = timings.ioTimeoutMs
  checkOwner(owner)
  await checkNeighbours(options)
  for (let attempt = 1; attempt <= MAX_CLAIM_ATTEMPTS; attempt++) {
    const { former, readAt } = await awaitFormerOwner(sectors, options)
    const incarnation = (former?.incarnation ?? 0) + (former && brokenRules.incarnationGrows ? 0 : 1)
    await options.registration?.admit({ slot: owner.slot, incarnation })
    const issuedAt = clock.now()
    await sectors.write(incarnation, 'claiming')
    const tookMs = clock.now() - readAt
    if (tookMs > settleMs && !brokenRules.slowClaimStartsOver) {
      log.warn({ slot: owner.slot, tookMs, attempt }, 'claiming the disk lease took too long to be sure, starting over')
      continue
    }
    if (!brokenRules.claimSettles) await sleep(clock, settleMs)
    const settled = await sectors.read()
    const isOurs = (sector: LeaseSector) => sector.nonce === owner.nonce && sector.incarnation === incarnation
    // an older record on a partition that missed our write is nobody's claim
    const others = settled.filter((sector) => !isOurs(sector) && sector.incarnation >= incarnation)
    if (others.length > 0 || !settled.some(isOurs)) throw inUse(owner, others[0])
    if (clock.now() < issuedAt + timings.leaseMs) return { incarnation, issuedAt }
    log.warn({ slot: owner.slot, attempt }, 'this host stood still while it claimed the disk lease, starting over')
  }
  throw new MatrixError('timeout', `${partitions.identity}: too slow to claim a disk lease there`)
}

function checkOwner({ nodeName, address }: LeaseOwner): void {
  if (nodeName === '' || Buffer.byteLength(nodeName) > 64) {
    throw new MatrixError('config', `node name "${nodeName}": must have 1 to 64 bytes`)
  }
  if (Buffer.byteLength(address.host) > 128) {
    throw new MatrixError('config', `mesh address "${address.host}" of node "${nodeName}": must have at most 128 bytes`)
  }
}

/**
 * A node has one slot, and all nodes of a matrix reckon with one base of timings: a sector that is in use, or whose owner did not
 * leave cleanly, with another one is refused.
 */
async function checkNeighbours({ partitions, timings, owner, log }: ClaimOptions): Promise<void> {
  const regions = await partitions.read(LEASE_OFFSET, MAX_SLOTS * SECTOR_SIZE)
  for (let slot = 0; slot < MAX_SLOTS; slot++) {
    const [sector] = recordsOf(slot, regions, log)
    if (!sector) continue
    if (slot !== owner.slot && sector.nodeName === owner.nodeName) {
      throw new MatrixError(
        'config',
        `node "${owner.nodeName}" has slot ${slot}, not ${owner.slot}; correct its configuration`,
      )
    }
    if (sector.state === 'clean' || sector.ioTimeoutMs === timings.ioTimeoutMs) continue
    throw new MatrixError(
      'config',
      `the timings differ: node "${sector.nodeName}" uses an I/O time-out of ${sector.ioTimeoutMs} ms, this node is configured with ${timings.ioTimeoutMs} ms; all nodes need the same one, and it changes only while all are stopped cleanly`,
    )
  }
}

/** The former record of the sector, once its owner is surely dead, and when the last read of it was issued (step 1). */
async function awaitFormerOwner(
  sectors: OwnSectors,
  options: ClaimOptions,
): Promise<{ former: LeaseSector | undefined; readAt: number }> {
  const { clock, timings, processes, owner, log, orphanIoMs } = options
  const firstReadAt = clock.now()
  const found = await sectors.read()
  let seenAt = clock.now()
  const sightings = new Sightings()
  const former = sightings.meet(found)
  if (!former) return { former, readAt: firstReadAt }
  if (former.nodeName !== owner.nodeName) {
    throw new MatrixError(
      'in-use',
      `slot ${owner.slot} belongs to node "${former.nodeName}" (host ${former.hostName}), not to "${owner.nodeName}"; correct the slot in its configuration`,
    )
  }
  if (former.state === 'clean') return { former, readAt: firstReadAt }
  // claims that failed side by side may each have left their record on another partition: none is newer
  const rivals = found.filter((each) => each.incarnation === former.incarnation && each.counter === former.counter)
  for (const rival of rivals) {
    // an earlier lease of this very process may have I/O under way: it is not gone, yet no rival either
    const isOwnProcess = sameIdentity(rival.process, owner.process)
    if (processes.state(rival.process) === 'running' && !isOwnProcess) throw inUse(owner, rival)
  }
  const isGone = (rival: LeaseSector) =>
    processes.state(rival.process) === 'gone' && (rival.state !== 'claiming' || brokenRules.claimingIsWatched)
  if (rivals.every(isGone)) {
    if (!(await orphansOver(clock, orphanIoMs))) return { former, readAt: firstReadAt }
    // a renewal may have been among what has landed meanwhile, or somebody else's claim
    const readAt = clock.now()
    if (!sightings.meet(await sectors.read())) return { former, readAt }
    return awaitFormerOwner(sectors, options)
  }
  const { hostName, process } = former
  log.info({ slot: owner.slot, host: hostName, pid: process.pid }, 'watching whether the former owner lives')
  const writers = new Set(found.map(({ nonce }) => nonce))
  for (;;) {
    await sleep(clock, timings.renewMs)
    const readAt = clock.now()
    const shown = sightings.meet(await sectors.read())
    if (shown && writers.has(shown.nonce)) throw inUse(owner, shown)
    if (shown) {
      // met for the first time, on a partition that was not among the first: from now on it is watched, too
      writers.add(shown.nonce)
      seenAt = clock.now()
    } else if (readAt - seenAt >= timings.observedDeadMs) return { former: sightings.newest, readAt }
  }
}

function inUse(owner: LeaseOwner, sector: LeaseSector | undefined): MatrixError {
  const who = sector ? `process ${sector.process.pid} on host ${sector.hostName}` : 'another process'
  return new MatrixError('node-in-use', `node "${owner.nodeName}" (slot ${owner.slot}) is already running: ${who}`)
}

function sameIdentity(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.bootId === b.bootId && a.pid === b.pid && a.startTime === b.startTime
}
