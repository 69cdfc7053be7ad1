/**
 * Recovery, as the administrator drives it (Figs 7B, 7C). It runs from the top after every change of membership, whoever came or
 * went, and again from the top when it is interrupted: every step may be repeated.
 *
 *   0  stop granting         (members did, when the view before this one was blocked); the view has an administrator (election.ts)
 *                            Until 5, members may have begun to grant again what concerns nobody outside the view (mount.ts, reopened)
 *   1  import                every member sees the database that the administrator sees, and its lease sector says 'active', before
 *                            anything is served under this view; one that cannot is refused, with the reason
 *   2  fence                 whoever is 'active' on disk and not in the view is fenced; repeated until a scan finds nobody. Then a
 *                            change of LUNs that is pending is finished with the members of this view (lun-change.ts)
 *   3  read journals         per filesystem, per slot with an unsealed dead incarnation: read its journal to its end
 *   4  seal                  where those journals end is written to the membership database, before any lock is granted
 *   5  recover               every member stops granting (again), takes the seals, applies the dead's journals up to them, says where its own ends;
 *                            what it cannot read for damage, another member may have in its image, and publishes as a checkpoint
 *   6  resume                every member rebuilds its lock spaces above the floor (all those ends), then grants again
 *   7  adopt                 orphans and freed space of slots that have no node are taken over, in the background
 *
 * Invariants
 *   1. Nothing is sealed, and no lock granted that a node outside the view may hold, before step 2 found no active node outside the view. Of
 *      two parts that cannot talk only the one with the SAN locks comes here, so only one fences the other.
 *   2. A seal is written once per incarnation and never moves.
 *   3. A filesystem whose recovery fails is marked in error in the database and left out; the others go on (R61, R62). It fails
 *      when no member has an image; a single one that cannot read it, whatever is published for it, is refused.
 *      So is one with a LUN that no member can use (isolation.ts), when others are in service: then it is looked at after step 2, also in a view that has resumed before.
 *   4. No view resumes while a change of LUNs from before is pending.
 *
 * A crash of the administrator at any step leaves: seals not yet written (the next one reads to the same ends, since
 * the dead write no more), or written (it finds them); members still frozen (the next view starts them over), or reopened until the
 * next one comes to step 5, however long that takes.
 */

import { brokenRules } from '../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Lsn, Slot, ViewId } from '../base/ids.ts'
import type { Life } from '../base/life.ts'
import { type MutableVector, raise } from '../base/vector.ts'
import type { Member, Mesh, View } from '../cluster/index.ts'
import { memberIn } from '../cluster/index.ts'
import type { Clock, Log } from '../platform/index.ts'
import { sleep } from '../platform/index.ts'
import type { FilesystemRecord, LeaseSector, MembershipDatabase, Seal } from '../san/index.ts'
import type { Fencing } from './fencing.ts'
import type { Isolation } from './isolation.ts'
import { decodeAnswer, encodeRequest, type Floor, type RecoverAnswer, type RecoveryRequest } from './protocol.ts'
import type { Timeline } from './timeline.ts'

/** A failed run is tried again after this long, ms: a LUN or a fence agent may come back. */
const RETRY_MS = 500
/** A member may take this long for a step (loading an image included) before the run is tried again, ms. */
const STEP_LIMIT_MS = 60_000

/** Checkpoints that are published for a member that finds damage, before it is refused. */
const MENDINGS = 3

export type RecoveryHost = {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  readonly timeline: Timeline
  /** All lease sectors ever claimed. */
  scanLeases(): Promise<readonly LeaseSector[]>
  readonly fencing: Pick<Fencing, 'fence' | 'hasFenced'>
  readDatabase(): Promise<MembershipDatabase>
  /** Writes the next generation, as the administrator; returns what was written. */
  writeDatabase(next: MembershipDatabase): Promise<MembershipDatabase>
  /**
   * Reads the journals of dead incarnations to their ends into the local image; the ends, in the order of `dead`. Their frames may
   * depend on those of any of `writers`. Rejects with 'journal-damaged' or 'checkpoint-damaged'.
   */
  readJournalsToEnd(record: FilesystemRecord, writers: readonly Life[], dead: readonly Life[]): Promise<readonly Lsn[]>
  /** Finishes the change of LUNs that is pending in `database`; gives the database as it is then. */
  finishPending(view: View, database: MembershipDatabase): Promise<MembershipDatabase>
  /** Judges filesystems whose LUNs fail (isolation.ts); gives the database as it is then. */
  readonly isolation: Pick<Isolation, 'judge' | 'suspect' | 'isPending'>
  /** Step 7, for slots that no member of the view has. */
  adopt(record: FilesystemRecord, slots: readonly Slot[]): void
}

export class Recovery {
  #host: RecoveryHost
  /** Checkpoints published for a life that found damage, by life and filesystem. */
  readonly #mendings = new Map<string, number>()
  #resumed: ViewId | undefined
  /** The view in which a run is under way. */
  #running: ViewId | undefined
  /** The view in which one begins when it is its turn. */
  #waiting: ViewId | undefined

  constructor(host: RecoveryHost) {
    this.#host = host
  }

  /** The last view that this node has brought to its end: if it is the present one, nothing of recovery is under way in it. */
  get resumed(): ViewId | undefined {
    return this.#resumed
  }

  /** `view` has resumed, and something has to be judged: a run begins soon, `inTurn` with other writers of the database, unless one is under way. Resolves at its end. */
  async again(view: View, inTurn: (work: () => Promise<void>) => Promise<void>): Promise<void> {
    if (this.#running === view.id || this.#waiting === view.id || this.#host.mesh.view?.id !== view.id) return
    this.#waiting = view.id
    // no change of LUNs goes on from here
    if (this.#resumed === view.id) this.#resumed = undefined
    await inTurn(async () => {
      this.#waiting = undefined
      if (this.#running !== view.id) await this.run(view)
    })
  }

  /** Runs until `view` has resumed, or another view has replaced it. Never rejects. */
  async run(view: View): Promise<void> {
    this.#running = view.id
    await this.#run(view)
    if (this.#running === view.id) this.#running = undefined
  }

  async #run(view: View): Promise<void> {
    const { mesh, clock, log, isolation } = this.#host
    const current = () => mesh.view?.id === view.id
    while (current()) {
      try {
        await this.#once(view, current)
        if (!isolation.isPending) return
      } catch (error) {
        if (!current()) return
        log.warn({ view: view.id, error: String(error) }, 'recovery failed, trying again')
        await sleep(clock, RETRY_MS)
      }
    }
  }

  async #once(view: View, current: () => boolean): Promise<void> {
    const { timeline, log } = this.#host
    const step = <T>(name: string, work: () => Promise<T>) => timeline.step(view, current, name, work)

    let sectors: readonly LeaseSector[] = []
    let database = await step('read database', () => this.#host.readDatabase())
    const { generation } = database
    if (!brokenRules.activateBeforeScan)
      await step('import', () => this.#ask(view, { kind: 'import', view: view.id, generation }))
    for (;;) {
      sectors = await step('scan', () => this.#host.scanLeases())
      const strangers = sectors.filter((sector) => sector.state === 'active' && !isMember(view, sector))
      const unfenced = strangers.filter((sector) => !this.#host.fencing.hasFenced(sector))
      if (unfenced.length === 0 || brokenRules.fenceBeforeRecovery) break
      await step(`fence ${unfenced.map((sector) => sector.nodeName).join(', ')}`, () =>
        Promise.all(unfenced.map((victim) => this.#host.fencing.fence(victim))),
      )
    }

    if (!brokenRules.pendingBeforeResume) database = await this.#host.finishPending(view, database)
    if (this.#host.isolation.isPending) {
      const before = database
      database = await step('judge failed LUNs', () => this.#host.isolation.judge(view, before))
    }
    const found = database
    const filesystems = await step('read journals', () => this.#readJournals(view, found, sectors))
    if (filesystems.some((record, i) => record !== found.filesystems[i])) {
      database = await step('seal', () => this.#host.writeDatabase({ ...found, filesystems }))
    }

    const usable = filesystems.filter((record) => !record.error)
    const answers = await step('recover', async () => {
      const bodies = await this.#ask(view, { kind: 'recover', view: view.id, filesystems: usable })
      return bodies.map(decodeAnswer)
    })
    for (const [i, { failed }] of answers.entries())
      for (const { fsid, reason, ended } of failed)
        this.#host.isolation.suspect(fsid, reason, ended ? view.members[i] : undefined)
    if (answers.some(({ failed }) => failed.length > 0))
      throw new MatrixError('lun-io', 'a filesystem cannot be used at a member, and is judged')
    for (const record of usable) {
      const damaged = view.members.flatMap((member, i) => {
        const found = answers[i]?.damaged.find(({ fsid }) => fsid === record.fsid)
        return found ? [{ member, reason: found.reason }] : []
      })
      if (damaged.length === 0) continue
      if (damaged.length === view.members.length) {
        const { reason } = damaged[0] as { readonly reason: string }
        log.error({ filesystem: record.name, error: reason }, 'recovery failed: filesystem marked in error')
        const marked = filesystems.map((each) => (each === record ? { ...record, error: reason } : each))
        await step('mark in error', () => this.#host.writeDatabase({ ...database, filesystems: marked }))
      } else await step(`mend ${record.name}`, () => this.#mend(view, record, damaged))
      throw new MatrixError('checkpoint-damaged', `${record.name}: ${damaged[0]?.reason}`)
    }
    const floors = usable.map((record) => floorOf(record, view, answers))
    await step('resume', () => this.#ask(view, { kind: 'resume', view: view.id, floors }))
    this.#resumed = view.id
    log.info({ view: view.id, members: view.members.map((member) => member.name) }, 'serving')

    for (const record of usable) {
      const absent = [...new Set(record.seals.map((seal) => seal.slot))].filter((slot) => !memberIn(view, slot))
      if (absent.length) this.#host.adopt(record, absent)
    }
  }

  /** Steps 3: the records with the seals that were missing, or with the error that stopped their recovery; an unchanged record is the same object. */
  async #readJournals(
    view: View,
    database: MembershipDatabase,
    sectors: readonly LeaseSector[],
  ): Promise<readonly FilesystemRecord[]> {
    const out: FilesystemRecord[] = []
    for (const record of database.filesystems) {
      if (record.error) {
        out.push(record)
        continue
      }
      try {
        const dead = unsealed(record, view, sectors)
        const read = () => this.#host.readJournalsToEnd(record, lastWriters(record, view, sectors), dead)
        const ends = dead.length === 0 ? [] : await read().catch((error) => this.#readMended(view, record, error, read))
        const seals: Seal[] = dead.map((life, i) => ({ ...life, lsn: ends[i] as Lsn }))
        for (const seal of seals)
          this.#host.log.info({ filesystem: record.name, ...seal }, 'journal of a dead node read to its end')
        out.push(seals.length ? { ...record, seals: sortSeals([...record.seals, ...seals]) } : record)
      } catch (error) {
        if (isMatrixError(error, 'lun-io', 'withdrawn')) {
          const self = memberIn(view, this.#host.mesh.self)
          this.#host.isolation.suspect(record.fsid, error.message, error.code === 'withdrawn' ? self : undefined)
        }
        if (!isMatrixError(error, 'journal-damaged', 'checkpoint-damaged')) throw error
        this.#host.log.error(
          { filesystem: record.name, error: error.message },
          'recovery failed: filesystem marked in error',
        )
        out.push({ ...record, error: error.message })
      }
    }
    return out
  }

  /** What this node cannot read for damage, the others may have in their images. Rejects with `error` when that does not help. */
  async #readMended<T>(
    view: View,
    { fsid, name }: FilesystemRecord,
    error: unknown,
    read: () => Promise<T>,
  ): Promise<T> {
    if (!isMatrixError(error, 'journal-damaged', 'checkpoint-damaged')) throw error
    this.#host.log.error({ filesystem: name, error: error.message }, 'the administrator finds damage')
    try {
      await this.#publish(view, fsid)
    } catch (cause) {
      if (isMatrixError(cause, 'checkpoint-damaged')) throw error
      throw cause
    }
    return read()
  }

  /** Has a checkpoint published for those who cannot read what is on the LUNs; refuses whom that has not helped. */
  async #mend(view: View, { fsid, name }: FilesystemRecord, damaged: readonly Damaged[]): Promise<void> {
    for (const { member, reason } of damaged) {
      const key = `${member.slot}/${member.incarnation}/${fsid}`
      const done = this.#mendings.get(key) ?? 0
      this.#mendings.set(key, done + 1)
      if (done < MENDINGS) continue
      const why = `filesystem ${name} cannot be read there, although others have published ${done} checkpoints: ${reason}`
      this.#host.log.error(
        { node: member.name, filesystem: name, error: reason },
        'a member is refused: it finds damage',
      )
      await this.#tell(member.slot, { kind: 'refuse', view: view.id, reason: why })
      return
    }
    await this.#publish(view, fsid)
  }

  /** Every member in turn publishes what it has beyond the newest checkpoint. Rejects when none could. */
  async #publish(view: View, fsid: number): Promise<void> {
    await this.#ask(view, { kind: 'hold-checkpoints', view: view.id, fsid })
    const errors: string[] = []
    for (const { slot, name } of view.members) {
      await this.#tell(slot, { kind: 'publish', view: view.id, fsid }).catch((error) =>
        errors.push(`${name}: ${error instanceof Error ? error.message : String(error)}`),
      )
    }
    if (errors.length === view.members.length)
      throw new MatrixError('checkpoint-damaged', `no member could publish a checkpoint: ${errors.join('; ')}`)
  }

  #tell(to: Slot, message: RecoveryRequest): Promise<unknown> {
    return this.#host.mesh.request(to, 'recovery', encodeRequest(message), STEP_LIMIT_MS)
  }

  /** Sends one request to every member, in parallel; their answers in the members' order. */
  #ask(view: View, message: RecoveryRequest): Promise<unknown[]> {
    const body = encodeRequest(message)
    return Promise.all(
      view.members.map((member) => this.#host.mesh.request(member.slot, 'recovery', body, STEP_LIMIT_MS)),
    )
  }
}

type Damaged = { readonly member: Member; readonly reason: string }

function isMember(view: View, sector: LeaseSector): boolean {
  return memberIn(view, sector.slot)?.incarnation === sector.incarnation
}

/**
 * The dead incarnations of a filesystem's slots that have no seal yet. A slot's journal is taken over only through a seal of
 * what came before, so at most one incarnation per slot, the last that lived before the present member, can have written.
 */
export function unsealed(record: FilesystemRecord, view: View, sectors: readonly LeaseSector[]): readonly Life[] {
  const out: Life[] = []
  for (const { slot, incarnation } of lastWriters(record, view, sectors)) {
    const member = memberIn(view, slot)
    const dead = member?.incarnation === incarnation ? incarnation - 1 : incarnation
    const seals = record.seals.filter((seal) => seal.slot === slot)
    if (dead > Math.max(0, ...seals.map((seal) => seal.incarnation)) || (dead > 0 && brokenRules.sealedOnce))
      out.push({ slot, incarnation: dead })
  }
  return out
}

/** The latest life of each slot that can have written to its journal: one that is still on its way into a view has not. */
function lastWriters(record: FilesystemRecord, view: View, sectors: readonly LeaseSector[]): readonly Life[] {
  return sectors
    .filter((sector) => sector.slot < record.slots)
    .map((sector) => {
      const waiting =
        !brokenRules.newcomerIsUnsealed &&
        (sector.state === 'claiming' || sector.state === 'joining') &&
        !isMember(view, sector)
      return { slot: sector.slot, incarnation: waiting ? sector.incarnation - 1 : sector.incarnation }
    })
    .filter(({ incarnation }) => incarnation > 0)
}

function sortSeals(seals: readonly Seal[]): readonly Seal[] {
  return [...seals].sort((a, b) => a.slot - b.slot || a.incarnation - b.incarnation)
}

/** The end of every journal: seals for the absent, what they answered for the members (ARCHITECTURE.md 2, floors). */
function floorOf(record: FilesystemRecord, view: View, answers: readonly RecoverAnswer[]): Floor {
  const vector: MutableVector = new Map()
  if (brokenRules.floor) return { fsid: record.fsid, vector }
  for (const seal of record.seals) raise(vector, new Map([[seal.slot, seal.lsn]]))
  view.members.forEach((member, i) => {
    const end = answers[i]?.ends.find((candidate) => candidate.fsid === record.fsid)
    if (!end) throw new MatrixError('protocol', `${member.name} does not know the filesystem ${record.name}`)
    raise(vector, new Map([[member.slot, end.lsn]]))
  })
  return { fsid: record.fsid, vector }
}
