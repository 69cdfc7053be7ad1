/**
 * Everything below a directory, for answers that are streamed: one batch of entries per level of the tree is in memory, whatever its size,
 * and other requests have their turn between batches. Links are not followed. Directories that the caller may not list, or enter, are reported
 * and left out, as are those that vanish meanwhile.
 */
import { FsError, isFsError } from '../base/errors.ts'
import type { Ino } from '../base/ids.ts'
import type { DirEntry } from '../metadata/index.ts'
import { DIR, R_OK, X_OK } from '../metadata/index.ts'
import type { ExportCall } from './call.ts'
import { HttpFailure } from './failure.ts'
import { MAX_TREE_DEPTH } from './limits.ts'
import { Disconnected } from './outlet.ts'
import { isTemporaryName } from './temporaries.ts'
import { listing } from './tree.ts'

export type Member = {
  /** The directory that it is in. */
  readonly dir: Ino
  readonly ino: Ino
  readonly type: number
  /** Names from the start of the walk to this member. */
  readonly path: readonly string[]
}

type Level = {
  readonly dir: Ino
  readonly path: readonly string[]
  readonly batches: AsyncGenerator<readonly DirEntry[]>
  batch: readonly DirEntry[]
  at: number
}

/** A directory comes before its members. `path` is where `dir` stands; it is the beginning of its members' paths. */
export async function* members(
  call: ExportCall,
  dir: Ino,
  path: readonly string[],
  onRefused: (path: readonly string[], error: unknown) => void,
): AsyncGenerator<Member> {
  const levels: Level[] = []
  const enter = async (ino: Ino, at: readonly string[]): Promise<void> => {
    try {
      if (levels.length > MAX_TREE_DEPTH) throw new HttpFailure(403, 'the tree is too deep')
      const { granted } = await call.fs.access(call.caller, ino, R_OK | X_OK)
      if (granted !== (R_OK | X_OK)) throw new FsError('EACCES')
      levels.push({ dir: ino, path: at, batches: listing(call.fs, call.caller, ino), batch: [], at: 0 })
    } catch (error) {
      refuse(at, error)
    }
  }
  const refuse = (at: readonly string[], error: unknown): void => {
    if (!(error instanceof HttpFailure) && !isFsError(error, 'EACCES', 'EPERM', 'ESTALE', 'ENOENT')) throw error
    onRefused(at, error)
  }
  await enter(dir, path)
  for (let level = levels.at(-1); level; level = levels.at(-1)) {
    const entry = level.batch[level.at++]
    if (!entry) {
      if (!(await nextBatch(call, level, refuse))) levels.pop()
      continue
    }
    if (isTemporaryName(entry.name)) continue
    const member = { dir: level.dir, ino: entry.ino, type: entry.type, path: [...level.path, entry.name] }
    yield member
    if (entry.type === DIR) await enter(entry.ino, member.path)
  }
}

async function nextBatch(
  call: ExportCall,
  level: Level,
  refuse: (path: readonly string[], error: unknown) => void,
): Promise<boolean> {
  await new Promise<void>((resolve) => call.workshop.clock.soon(resolve))
  if (call.res.destroyed || call.res.closed) throw new Disconnected()
  try {
    const { done, value } = await level.batches.next()
    if (done) return false
    level.batch = value
    level.at = 0
    return true
  } catch (error) {
    refuse(level.path, error)
    return false
  }
}
