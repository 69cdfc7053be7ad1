/** The WebDAV verbs of a mounted filesystem, each run as any other verb (run.ts). */
import type { Ino } from '../../../base/ids.ts'
import { ROOT_INO } from '../../../base/ids.ts'
import type { MaybePromise } from '../../../base/maybe-promise.ts'
import { EX, inodeLock, PR } from '../../../locking/index.ts'
import type { Caller } from '../caller.ts'
import type { Op } from '../op.ts'
import { write } from '../write.ts'
import { locksFromAbove, needContent, needMembership, needTree, ownLocks } from './covering.ts'
import type { DavChange, DavFs, DavLock, DavLocked, DavLockRequest, DavPlace, PropertyPatch } from './dav-fs.ts'
import { lock } from './lock.ts'
import { inodeAt } from './place.ts'
import { copyProperties, patchProperties, properties } from './properties.ts'
import { refresh, unlock } from './unlock.ts'

export class DavVerbs implements DavFs {
  readonly #run: <T>(verb: (op: Op) => T) => MaybePromise<T>

  constructor(run: <T>(verb: (op: Op) => T) => MaybePromise<T>) {
    this.#run = run
  }

  locks(dir: Ino, inos: readonly Ino[]): MaybePromise<ReadonlyMap<Ino, readonly DavLock[]>> {
    return this.#run((op) => locks(op, dir, inos))
  }

  check(caller: Caller, place: DavPlace, change: DavChange): MaybePromise<void> {
    return this.#run((op) => check(op, caller, place, change))
  }

  write(caller: Caller, dir: Ino, ino: Ino, offset: number, data: Buffer): MaybePromise<void> {
    return this.#run((op) => {
      needContent(op, caller, op.inode(ino, EX), dir)
      write(op, caller, ino, offset, data, true)
    })
  }

  lock(caller: Caller, place: DavPlace, request: DavLockRequest): MaybePromise<DavLocked> {
    return this.#run((op) => lock(op, caller, place, request))
  }

  refresh(caller: Caller, place: DavPlace, token: string, timeoutMs: number): MaybePromise<DavLock | undefined> {
    return this.#run((op) => refresh(op, caller, place, token, timeoutMs))
  }

  unlock(caller: Caller, place: DavPlace, token: string): MaybePromise<boolean> {
    return this.#run((op) => unlock(op, caller, place, token))
  }

  properties(inos: readonly Ino[]): MaybePromise<ReadonlyMap<Ino, ReadonlyMap<string, string>>> {
    return this.#run((op) => properties(op, inos))
  }

  patchProperties(caller: Caller, place: DavPlace, patch: PropertyPatch): MaybePromise<void> {
    return this.#run((op) => patchProperties(op, caller, place, patch))
  }

  copyProperties(caller: Caller, from: Ino, to: Ino): MaybePromise<void> {
    return this.#run((op) => copyProperties(op, caller, from, to))
  }
}

function locks(op: Op, dir: Ino, inos: readonly Ino[]): ReadonlyMap<Ino, readonly DavLock[]> {
  for (const ino of inos) op.want(inodeLock(ino), PR)
  op.ready()
  const above = locksFromAbove(op, dir)
  return new Map(inos.map((ino) => [ino, ino === ROOT_INO ? ownLocks(op, ino) : [...ownLocks(op, ino), ...above]]))
}

function check(op: Op, caller: Caller, place: DavPlace, change: DavChange): void {
  const inode = inodeAt(op, caller, place, PR)
  if (place.name !== '' && (!inode || change === 'tree')) needMembership(op, caller, op.directory(place.dir, PR))
  if (!inode) return
  if (change === 'tree') needTree(op, caller, inode, place.dir)
  else needContent(op, caller, inode, place.dir)
}
