/** Names of directory entries: byte strings of 1 … 255 bytes without NUL and '/' (POSIX 3.170, RFC 1813 2.5). */
import { FsError } from '../../base/errors.ts'
import { NAME_MAX, SYMLINK_MAX } from '../../base/limits.ts'
import type { FileName } from '../image/mutation.ts'

/** Throws EINVAL or ENAMETOOLONG for what can name nothing. "." and ".." pass. */
export function checkName(name: FileName): void {
  if (name.length === 0) throw new FsError('EINVAL', 'empty name')
  if (name.length > NAME_MAX) throw new FsError('ENAMETOOLONG')
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (code === 0 || code === 47 || code > 255) throw new FsError('EINVAL', 'a name has no NUL and no slash')
  }
}

export function isDotName(name: FileName): boolean {
  return name === '.' || name === '..'
}

/** A name to be made: "." and ".." exist already. */
export function checkNewName(name: FileName): void {
  checkName(name)
  if (isDotName(name)) throw new FsError('EEXIST')
}

/** Throws for what cannot be a symbolic link's target. */
export function checkTarget(target: string): void {
  if (target.length === 0) throw new FsError('EINVAL', 'empty target')
  if (target.length > SYMLINK_MAX) throw new FsError('ENAMETOOLONG')
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i)
    if (code === 0 || code > 255) throw new FsError('EINVAL', 'a target has no NUL')
  }
}
