/** What a page lists: the entries of a directory, read and put into order. */
import { isFsError } from '../../base/errors.ts'
import { isPromise } from '../../base/maybe-promise.ts'
import { DIR, type Inode, LNK, REG } from '../../metadata/index.ts'
import type { ExportCall } from '../call.ts'
import { HttpFailure } from '../failure.ts'
import { LISTING_BATCH, MAX_PAGE_ENTRIES } from '../limits.ts'
import { displayName } from '../paths.ts'
import { find } from '../resolve.ts'
import { isTemporaryName, sweep } from '../temporaries.ts'

export type Entry = {
  /** Names from the directory that the page is about; one, except for what a search found. */
  readonly path: readonly string[]
  readonly isDir: boolean
  readonly size: number
  /** NaN: nobody knows. */
  readonly modifiedS: number
}

export function entryOf(path: readonly string[], inode: Inode): Entry {
  const isDir = inode.type === DIR
  return { path, isDir, size: isDir ? 0 : inode.size, modifiedS: inode.mtimeS }
}

/** Not `complete`: the directory has more. Links show as what they point to; those that lead nowhere are left out. */
export async function readEntries(
  call: ExportCall,
  dir: Inode,
): Promise<{ readonly entries: readonly Entry[]; readonly complete: boolean }> {
  const { fs, caller, workshop } = call
  const ino = dir.ino
  const found: Entry[] = []
  for (let cookie = 0; ; ) {
    const answer = fs.readdirplus(caller, ino, cookie, LISTING_BATCH)
    const { entries, eof } = isPromise(answer) ? await answer : answer
    const links: string[] = []
    // All of a batch is taken over before anything is awaited: inodes go on changing.
    for (const { name, inode } of entries) {
      if (name === '.' || name === '..' || !inode) continue
      if (isTemporaryName(name)) sweep(call, ino, name, inode)
      else if (inode.type === LNK) links.push(name)
      else if (inode.type === REG || inode.type === DIR) found.push(entryOf([name], inode))
    }
    const last = entries.at(-1)
    if (last) cookie = last.cookie
    for (const name of links) {
      const target = await linkTarget(call, name)
      if (target) found.push(entryOf([name], target))
    }
    if (found.length > MAX_PAGE_ENTRIES) return { entries: found.slice(0, MAX_PAGE_ENTRIES), complete: false }
    if (eof || !last) return { entries: found, complete: true }
    await new Promise<void>((resolve) => workshop.clock.soon(resolve))
  }
}

async function linkTarget({ fs, caller, path }: ExportCall, name: string): Promise<Inode | undefined> {
  try {
    const { inode } = await find(fs, caller, [...path, name])
    return inode.type === REG || inode.type === DIR ? inode : undefined
  } catch (error) {
    if (error instanceof HttpFailure || isFsError(error)) return undefined
    throw error
  }
}

export type Column = 'name' | 'size' | 'modified'
export type Sorting = { readonly column: Column; readonly order: 'asc' | 'desc' }

export function sortingOf(query: URLSearchParams): Sorting {
  const sort = query.get('sort')
  const column: Column = sort === 'size' || sort === 'modified' ? sort : 'name'
  return { column, order: query.get('order') === 'desc' ? 'desc' : 'asc' }
}

const collator = new Intl.Collator('en', { numeric: true })

/** Directories first, whatever the order: people look for them there. */
export function sorted(entries: readonly Entry[], { column, order }: Sorting): readonly Entry[] {
  const sign = order === 'asc' ? 1 : -1
  const rows = entries.map((entry) => ({ entry, name: displayName(entry.path.at(-1) as string) }))
  rows.sort((a, b) => {
    if (a.entry.isDir !== b.entry.isDir) return a.entry.isDir ? -1 : 1
    const difference =
      column === 'size'
        ? a.entry.size - b.entry.size
        : column === 'modified'
          ? a.entry.modifiedS - b.entry.modifiedS
          : 0
    return sign * (difference || collator.compare(a.name, b.name))
  })
  return rows.map(({ entry }) => entry)
}
