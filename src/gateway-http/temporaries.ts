/**
 * Hidden names. What is uploaded, copied or moved out of the way lives under one of these in the target's directory until a
 * single rename puts it into its place, so that nobody ever sees half of it. Listings do not show them, paths do not reach them.
 *
 * A node that dies in the middle leaves its temporary behind; the first listing that meets it after a day removes it.
 */
import { randomBytes } from 'node:crypto'
import { isFsError, isMatrixError } from '../base/errors.ts'
import type { Ino } from '../base/ids.ts'
import type { Inode } from '../metadata/index.ts'
import { DIR } from '../metadata/index.ts'
import type { ExportCall } from './call.ts'
import { STALE_TEMPORARY_MS } from './limits.ts'

const PREFIX = '.~put-'
const form = /^\.~put-[0-9a-f]{24}$/

export function newTemporaryName(): string {
  return temporaryName(randomBytes(12).toString('hex'))
}

/** `id`: 24 hexadecimal digits. */
export function temporaryName(id: string): string {
  return PREFIX + id
}

export function isTemporaryName(name: string): boolean {
  return name.startsWith(PREFIX) && form.test(name)
}

/** Removes a temporary after a failure; what cannot be removed now is left to a later listing. */
export async function discard({ workshop, share, fs, unbound }: ExportCall, dir: Ino, name: string): Promise<void> {
  try {
    await fs.remove(unbound, dir, name)
  } catch (error) {
    if (isFsError(error, 'ENOENT', 'ESTALE')) return
    if (!isFsError(error) && !isMatrixError(error)) throw error
    workshop.log.warn({ export: share.name, dir, name, error }, 'a temporary could not be removed')
  }
}

/** Called for every temporary that a listing meets. What counts is the time of its last change: its modification time may be one that its client has given it. */
export function sweep(call: ExportCall, dir: Ino, name: string, inode: Inode | undefined): void {
  const { workshop, share } = call
  if (!inode || inode.type === DIR || share.readOnly) return
  if (workshop.clock.wall() - inode.ctimeS * 1000 < STALE_TEMPORARY_MS) return
  workshop.log.info({ export: share.name, dir, name }, 'a temporary of an upload that never ended is removed')
  void discard(call, dir, name)
}
