/** Hidden names at the target: what is copied has one until it is whole. */
import { randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path/posix'

const PREFIX = '.~replica-'

/** In the same directory. */
export function temporaryFor(path: string): string {
  return join(dirname(path), PREFIX + randomBytes(12).toString('hex'))
}

export function isTemporary(name: string): boolean {
  return name.startsWith(PREFIX) && /^[0-9a-f]{24}$/.test(name.slice(PREFIX.length))
}
