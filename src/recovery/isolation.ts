/**
 * The administrator's judgement on a filesystem whose LUNs fail (R31, R61–R63): it is the filesystem that goes out of service then, and not the nodes that have others.
 *
 *   a mount ends by an I/O that failed, or cannot be opened ──suspect──▶ every member tries the LUNs of the filesystem, reading and writing
 *
 *   what they find                             what follows
 *   some LUN of it can be used by nobody       it is marked in error in the database, and every member isolates it in the recovery that follows
 *   some members cannot use one                these have to leave: their paths have failed, and the others serve what they held
 *   all can use all of them                    members whose mounts have ended have to leave, and come back
 *
 * A filesystem that is the only one in service is not isolated, since nobody has anything from that: its nodes end, and come back by themselves once the LUN does.
 *
 * Invariants
 *   1. A mount that has ended holds its locks until its filesystem is isolated everywhere or its node is fenced: nobody else gets them (lock-space.ts, `withdraw`).
 *   2. No life that has written to the journal of a filesystem mounts it again after it was isolated: its journal would have no seal. So `restore` waits until all of them
 *      have ended, and the lives after them have their journals read and sealed by recovery as ever.
 *
 * A crash of the administrator leaves a filesystem that is marked or not; mounts that have ended are told of to the next one again.
 */
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Slot } from '../base/ids.ts'
import { type Life, sameLife } from '../base/life.ts'
import { type Member, type Mesh, memberIn, type View } from '../cluster/index.ts'
import type { Log } from '../platform/index.ts'
import type { FilesystemRecord, MembershipDatabase } from '../san/index.ts'
import { decodeTrial, type LunTrial } from './lun-protocol.ts'
import { encodeRequest } from './protocol.ts'

/** A member tries each LUN for the longest lives of a few I/Os, ms; and is given up after so long. */
const TRY_LIMIT_MS = 60_000
const REFUSE_LIMIT_MS = 20_000

export type IsolationHost = {
  readonly mesh: Mesh
  readonly log: Log
  readDatabase(): Promise<MembershipDatabase>
  writeDatabase(next: MembershipDatabase): Promise<MembershipDatabase>
  /** A filesystem was marked in error. */
  inError(filesystem: string, error: string): void
  /** Recovers once more in `view`, soon, unless that is under way. */
  again(view: View): Promise<void>
  /** `work` is done beside no change of LUNs. */
  exclusive<T>(work: () => Promise<T>): Promise<T>
}

type Suspect = { reason: string; readonly ended: Life[] }
/** What a member finds of the LUNs of a filesystem. */
type Finding = { readonly member: Member; readonly trial: LunTrial }

export class Isolation {
  readonly #host: IsolationHost
  /** By filesystem. */
  readonly #suspects = new Map<number, Suspect>()

  constructor(host: IsolationHost) {
    this.#host = host
  }

  /** Something has to be judged. */
  get isPending(): boolean {
    return this.#suspects.size > 0
  }

  /** A filesystem cannot be used at a member. `ended`: its mount was, and has ended. */
  suspect(fsid: number, reason: string, ended?: Life): void {
    const suspect = this.#suspects.get(fsid) ?? { reason, ended: [] }
    if (ended && !suspect.ended.some((life) => sameLife(life, ended))) suspect.ended.push(ended)
    this.#suspects.set(fsid, suspect)
  }

  /** As `suspect`, told by the member in `slot`, whose mount has ended. */
  told(view: View, slot: Slot, fsid: number, reason: string): void {
    const member = memberIn(view, slot)
    if (!member) return
    this.suspect(fsid, reason, member)
    void this.#host.again(view)
  }

  /** A step of recovery: the database as it is once all that is suspected was judged. Rejects when a member has to leave, or does not answer. */
  async judge(view: View, database: MembershipDatabase): Promise<MembershipDatabase> {
    let judged = database
    for (const [fsid, suspect] of [...this.#suspects]) {
      const record = judged.filesystems.find((each) => each.fsid === fsid && each.error === undefined)
      if (record) judged = await this.#judgeOne(view, judged, record, suspect)
      this.#suspects.delete(fsid)
    }
    return judged
  }

  async #judgeOne(
    view: View,
    database: MembershipDatabase,
    record: FilesystemRecord,
    { reason, ended }: Suspect,
  ): Promise<MembershipDatabase> {
    const findings = await this.#tryAll(view, record)
    const failed = failedAtAll(record, findings)
    const others = database.filesystems.filter((each) => each !== record && each.error === undefined)
    if (failed && others.length > 0) {
      const lun = database.luns.find(({ uuid }) => uuid === failed.uuid)?.name ?? failed.uuid
      const error = `LUN ${lun} can be used by no node: ${failed.why}`
      this.#host.log.error(
        { filesystem: record.name, lun, error },
        'a LUN has failed: its filesystem is marked in error',
      )
      const filesystems = database.filesystems.map((each) => (each === record ? { ...record, error } : each))
      const written = await this.#host.writeDatabase({ ...database, filesystems })
      this.#host.inError(record.name, error)
      return written
    }
    const cannot = failed ? [] : findings.filter(({ trial }) => trial.failed.some((why) => why !== null))
    const leaving = view.members.filter(
      (member) => ended.some((life) => sameLife(life, member)) || cannot.some((finding) => finding.member === member),
    )
    this.#host.log.warn(
      {
        filesystem: record.name,
        reason,
        cannot: cannot.map(({ member }) => member.name),
        leaving: leaving.map(({ name }) => name),
      },
      'a filesystem has failed at nodes: they have to leave',
    )
    if (leaving.length === 0) return database
    this.#suspects.delete(record.fsid)
    await Promise.allSettled(
      leaving.map(({ slot, name }) => {
        const why =
          cannot.find(({ member }) => member.name === name)?.trial.failed.find((each) => each !== null) ?? reason
        const message = {
          kind: 'refuse',
          view: view.id,
          reason: `filesystem ${record.name} cannot be used here: ${why}`,
        } as const
        return this.#host.mesh.request(slot, 'recovery', encodeRequest(message), REFUSE_LIMIT_MS)
      }),
    )
    throw new MatrixError('view-changed', `${leaving.map(({ name }) => name).join(', ')} cannot use ${record.name}`)
  }

  /**
   * The filesystem is in service again, its LUNs having been mended. Rejects with 'not-found', with 'in-use' while nodes run that had it when it failed,
   * and with 'lun-io' while a member cannot use a LUN of it.
   */
  async restore(view: View, fsid: number): Promise<void> {
    await this.#host.exclusive(async () => {
      const { mesh, log } = this.#host
      const database = await this.#host.readDatabase()
      const record = database.filesystems.find((each) => each.fsid === fsid)
      if (!record) throw new MatrixError('not-found', `matrix ${database.matrixName} has no such filesystem any more`)
      if (record.error === undefined) return
      const findings = await this.#tryAll(view, record)
      const left = findings.filter(({ trial }) => trial.left.includes(fsid)).map(({ member }) => member.name)
      if (left.length > 0)
        throw new MatrixError(
          'in-use',
          `${record.name} was in use at ${left.join(', ')} when it failed: restart matrixd there first, one node after another`,
        )
      for (const { member, trial } of findings) {
        const at = trial.failed.findIndex((why) => why !== null)
        if (at < 0) continue
        const lun = database.luns.find(({ uuid }) => uuid === lunsOf(record)[at])?.name
        throw new MatrixError('lun-io', `${member.name} cannot use LUN ${lun}: ${trial.failed[at]}`)
      }
      if (mesh.view?.id !== view.id) throw new MatrixError('view-changed', `view ${view.id} has ended: ask again`)
      const filesystems = database.filesystems.map((each) => {
        const { error: _, ...sound } = each
        return each === record ? sound : each
      })
      await this.#host.writeDatabase({ ...database, filesystems })
      log.info({ filesystem: record.name }, 'a filesystem is no longer in error')
    })
    await this.#host.again(view)
  }

  #tryAll(view: View, record: FilesystemRecord): Promise<Finding[]> {
    const body = { kind: 'try', view: view.id, uuids: lunsOf(record) }
    return Promise.all(
      view.members.map(async (member) => {
        return { member, trial: decodeTrial(await this.#host.mesh.request(member.slot, 'lun', body, TRY_LIMIT_MS)) }
      }),
    )
  }
}

function lunsOf({ luns }: FilesystemRecord): string[] {
  return luns.filter((uuid) => uuid !== null)
}

/** A LUN that nobody can use, and why the first cannot. */
function failedAtAll(
  record: FilesystemRecord,
  findings: readonly Finding[],
): { uuid: string; why: string } | undefined {
  for (const [at, uuid] of lunsOf(record).entries()) {
    const whys = findings.map(({ trial }) => trial.failed[at] ?? null)
    if (whys.length > 0 && whys.every((why) => why !== null)) return { uuid, why: whys[0] as string }
  }
  return undefined
}

/** An error of a mount that comes from its LUNs. */
export function isLunFailure(error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++)
    if (isMatrixError(cause, 'lun-io')) return true
  return false
}
