/** Dead properties (RFC 4918 4): read, changed, copied. They change neither times nor entity tag of their resource. */
import { FsError } from '../../../base/errors.ts'
import type { Ino } from '../../../base/ids.ts'
import { EX, inodeLock, PR } from '../../../locking/index.ts'
import { type Caller, R_OK, W_OK } from '../matrix-fs.ts'
import type { Op } from '../op.ts'
import { isOwner, need } from '../permission.ts'
import { changeAttributes } from '../setattr.ts'
import { needContent } from './covering.ts'
import { type DavPlace, MAX_ATTACHED_BYTES, MAX_DEAD_PROPERTIES, type PropertyPatch } from './dav-fs.ts'
import { existingAt } from './place.ts'

export function properties(op: Op, inos: readonly Ino[]): ReadonlyMap<Ino, ReadonlyMap<string, string>> {
  for (const ino of inos) op.want(inodeLock(ino), PR)
  op.ready()
  const { image } = op.mount.volume
  return new Map(inos.map((ino) => [ino, image.deadProperties(ino)]))
}

export function patchProperties(op: Op, caller: Caller, place: DavPlace, patch: PropertyPatch): void {
  const inode = existingAt(op, caller, place, EX)
  needContent(op, caller, inode, place.dir)
  if (Object.keys(patch.attributes).length > 0) changeAttributes(op, caller, inode, patch.attributes)
  if (patch.set.size > 0 || patch.remove.length > 0) {
    if (!isOwner(caller, inode)) need(caller, inode, W_OK)
    const now = op.mount.volume.image.deadProperties(inode.ino)
    for (const name of patch.remove) {
      if (now.delete(name)) op.push({ op: 'removeDeadProperty', ino: inode.ino, name })
    }
    for (const [name, value] of patch.set) {
      now.set(name, value)
      op.push({ op: 'putDeadProperty', ino: inode.ino, name, value })
    }
    needRoom(now)
  }
  op.commit()
}

export function copyProperties(op: Op, caller: Caller, from: Ino, to: Ino): void {
  op.want(inodeLock(from), PR)
  op.want(inodeLock(to), EX)
  op.ready()
  const source = op.inode(from, PR)
  need(caller, source, R_OK)
  const target = op.inode(to, EX)
  for (const [name, value] of op.mount.volume.image.deadProperties(source.ino)) {
    op.push({ op: 'putDeadProperty', ino: target.ino, name, value })
  }
  op.commit()
}

function needRoom(all: ReadonlyMap<string, string>): void {
  let bytes = 0
  for (const [name, value] of all) bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
  if (all.size > MAX_DEAD_PROPERTIES || bytes > MAX_ATTACHED_BYTES)
    throw new FsError(
      'ENOSPC',
      `a resource has at most ${MAX_DEAD_PROPERTIES} dead properties of ${MAX_ATTACHED_BYTES} bytes in all`,
    )
}
