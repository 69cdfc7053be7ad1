/** The locks of the matrix as their masters keep them: those somebody waits for, then the hottest, then others. */
import type { AdminHost } from '../admin-host.ts'
import type { Lock, Locks } from '../api/answers.ts'
import type { LockReport } from '../api/node-report.ts'
import type { Collector } from '../collector.ts'
import { wantedFirst } from '../node-reporter.ts'
import type { PathNames } from '../path-names.ts'
import { namesOf, nodeAnswer } from './matrix-answer.ts'

const MOST = 200

/** What the other types cover is in docs/architecture.md. */
const meanings: Record<string, (number: number) => string> = {
  I: (number) => `inode ${number}, found by no name now`,
  G: (number) => `free space of allocation group ${number}`,
  N: (number) => `inode numbers, orphans and freed space of slot ${number}`,
  S: () => 'settings, and which blocks of each LUN are in use',
  R: () => 'renames of directories across directories',
  O: (number) => `open file: nobody deletes inode ${number}`,
  C: () => 'the right to publish a checkpoint',
}
const OF_INODES = new Set(['I', 'O'])

export async function answerLocks(host: AdminHost, collector: Collector, names: PathNames): Promise<Locks> {
  const [answers, reports] = await Promise.all([collector.locks(), collector.reports()])
  const all = answers
    .flatMap(({ value = [] }) => value)
    .sort(wantedFirst)
    .slice(0, MOST)
  const paths = await pathsOf(host, all, names)
  const nameOf = namesOf(reports)
  return {
    masters: answers.map(nodeAnswer),
    locks: all.map(
      (lock): Lock => ({
        ...lock,
        path: (OF_INODES.has(lock.type) && paths.get(lock.filesystem)?.get(lock.number)) || null,
        meaning: meanings[lock.type]?.(lock.number) ?? lock.type,
        holders: lock.holders.map(({ slot, mode, absent }) => ({ node: nameOf(slot), mode, absent })),
        waiters: lock.waiters.map(({ slot, ...rest }) => ({ node: nameOf(slot), ...rest })),
      }),
    ),
  }
}

async function pathsOf(
  { mounts }: AdminHost,
  locks: readonly LockReport[],
  names: PathNames,
): Promise<ReadonlyMap<string, ReadonlyMap<number, string>>> {
  const here = mounts().filter(({ state }) => state !== 'withdrawn')
  const found = here.map(async ({ record, volume }) => {
    const inos = locks
      .filter(({ filesystem, type }) => filesystem === record.name && OF_INODES.has(type))
      .map(({ number }) => number)
    return [record.name, await names.of(volume.imageFile, record.fsid, [...new Set(inos)])] as const
  })
  return new Map(await Promise.all(found))
}
