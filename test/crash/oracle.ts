/**
 * Judges what a peer finds after a crash, against what was answered before it.
 *
 * Names and attributes: the tree is the one after some prefix of the operations, which holds at least those that were
 * answered as stable. Nothing is half-there.
 *
 * Bytes of a file: data becomes durable at its own time, so every 512-byte sector may be that of any version since the last
 * one that was answered as stable; but
 *  - the size is that of one of these versions, and no sector is older than that version: no size covers what was not written;
 *  - content that came with its name (store) is whole wherever the name is there;
 *  - a block that was a hole is a hole still, or it is written whole: never in part, never what somebody else left there.
 */
import { BLOCK_SIZE } from '../../src/base/limits.ts'
import { CHR, REG } from '../../src/metadata/index.ts'
import { type Content, changed, type DataEvent, DEVICE, NOTHING, type Snapshot } from './model.ts'
import type { Operation } from './operation.ts'
import type { Seen, Tree } from './tree.ts'

const SECTOR = 512
/** Fewer than are remembered of a client. */
const MOST_REQUESTS = 400
const ZEROES = Buffer.alloc(BLOCK_SIZE)

/** An operation in the history of the filesystem that died. Moments are those of the LUN log; Infinity: never. */
export type Step = {
  readonly began: number
  /** Its change of names and attributes was answered as stable. */
  readonly stable: number
  /** All data written before its end, to this file or (`'all'`) to any, was answered as stable. */
  /** What was asked for, when it changes names or attributes and should succeed: then that it is done is recorded with it. */
  readonly recorded?: Operation
  readonly data?: { readonly file: number | 'all'; readonly at: number }
}

export type History = {
  /** Operation k is steps[k - 1]. */
  readonly steps: readonly Step[]
  /** snapshots[k]: after k operations. */
  readonly snapshots: readonly Snapshot[]
  readonly events: ReadonlyMap<number, readonly DataEvent[]>
}

/** Which prefixes of the history may be found after a crash at `moment`. */
export function possiblePrefixes({ steps }: History, moment: number): { least: number; most: number } {
  const least = steps.findLastIndex(({ stable }) => stable <= moment) + 1
  const most = steps.findLastIndex(({ began }) => began <= moment) + 1
  return { least, most: Math.max(least, most) }
}

/** The prefix that `tree` shows after a crash at `moment`; throws an error that says what no prefix explains. */
export function judge(history: History, moment: number, tree: Tree, only?: number): number {
  const { least, most } = possiblePrefixes(history, moment)
  const problems: string[] = []
  for (let k = only ?? least; k <= (only ?? most); k++) {
    const problem = compare(history, moment, tree, k, most)
    if (problem === undefined) return k
    problems.push(`  after ${k} operations: ${problem}`)
  }
  throw new Error(`the tree is none of those after ${least} to ${most} operations\n${problems.join('\n')}`)
}

/**
 * The requests that are recorded as done are those of the operations that are there, neither more nor fewer: `isDone` says of an
 * operation's number whether it is recorded. Gives the last one.
 */
export function judgeRequests(
  history: History,
  moment: number,
  tree: Tree,
  isDone: (step: number) => boolean,
): { step: number; operation: Operation } | undefined {
  const steps = history.steps.flatMap(({ recorded }, i) => (recorded ? [{ step: i + 1, operation: recorded }] : []))
  const recent = steps.slice(-MOST_REQUESTS)
  const lastDone = recent.findLastIndex(({ step }) => isDone(step))
  const missing = recent.slice(0, lastDone + 1).find(({ step }) => !isDone(step))
  if (missing) throw new Error(`operation ${missing.step} is not recorded as done, a later one is`)
  const { least, most } = possiblePrefixes(history, moment)
  const from = Math.max(least, recent[lastDone]?.step ?? 0)
  const to = Math.min(most, (recent[lastDone + 1]?.step ?? Infinity) - 1)
  const problems: string[] = []
  for (let k = from; k <= to; k++) {
    const problem = compare(history, moment, tree, k, most)
    if (problem === undefined) return recent[lastDone]
    problems.push(`  after ${k} operations: ${problem}`)
  }
  const last = recent[lastDone]?.step ?? 'none'
  throw new Error(
    `the last operation recorded as done is ${last}, and the tree is none of those after ${from} to ${to} operations\n${problems.join('\n')}`,
  )
}

function compare(history: History, moment: number, tree: Tree, k: number, most: number): string | undefined {
  const expected = history.snapshots[k] as Snapshot
  const inoOf = new Map<number, number>()
  const idOf = new Map<number, number>()
  for (const path of tree.keys()) if (!expected.has(path)) return `${path} should not be there`
  for (const [path, entry] of expected) {
    const seen = tree.get(path)
    if (!seen) return `${path} is missing`
    for (const key of ['type', 'mode', 'nlink', 'uid', 'gid', 'target'] as const)
      if (seen[key] !== entry[key]) return `${path} has ${key} ${seen[key]} instead of ${entry[key]}`
    if (entry.type === CHR && (seen.rdev.major !== DEVICE.major || seen.rdev.minor !== DEVICE.minor))
      return `${path} is device ${seen.rdev.major}, ${seen.rdev.minor}`
    // two names of one object, or of two
    if ((inoOf.get(entry.id) ?? seen.ino) !== seen.ino) return `${path} is another object than its other name`
    if ((idOf.get(seen.ino) ?? entry.id) !== entry.id) return `${path} is the same object as another file`
    inoOf.set(entry.id, seen.ino)
    idOf.set(seen.ino, entry.id)
    const events = (history.events.get(entry.id) ?? []).filter(({ step }) => step <= most)
    if (entry.mtime && !events.some(({ step }) => step > k)) {
      if (seen.mtime.s !== entry.mtime.s || seen.mtime.ns !== entry.mtime.ns)
        return `${path} has mtime ${seen.mtime.s}.${seen.mtime.ns} instead of ${entry.mtime.s}.${entry.mtime.ns}`
    }
    if (entry.type !== REG) continue
    const problem = compareBytes(seen, versions(history, moment, entry.id, events, k))
    if (problem !== undefined) return `${path}: ${problem}`
  }
  return undefined
}

/** What the file may hold, oldest first, when the names are those after `k` operations. */
function versions(history: History, moment: number, id: number, events: readonly DataEvent[], k: number): Content[] {
  // what everything before the end of this operation has made durable
  let stable = 0
  history.steps.forEach(({ data }, i) => {
    if (data && data.at <= moment && (data.file === 'all' || data.file === id)) stable = i + 1
  })
  let out: Content[] = [NOTHING]
  for (const event of events) {
    const latest = changed(out.at(-1) as Content, event)
    if (event.step <= stable || event.kind === 'store') out = [latest]
    else if (event.kind === 'write') out.push(latest)
    // a new size is journaled in its order among the names, whatever data of before is late
    else if (event.step <= k) out = out.map((content) => changed(content, event))
    else out.push(...out.map((content) => changed(content, event)))
  }
  return out
}

function compareBytes({ bytes = NOTHING.bytes }: Seen, all: readonly Content[]): string | undefined {
  const first = all.findIndex((content) => content.bytes.length === bytes.length)
  if (first < 0)
    return `${bytes.length} bytes; it should have ${all.map((content) => content.bytes.length).join(' or ')}`
  const from = all.slice(first)
  for (let block = 0; block * BLOCK_SIZE < bytes.length; block++) {
    const start = block * BLOCK_SIZE
    const end = Math.min(start + BLOCK_SIZE, bytes.length)
    if (
      from.some(({ written }) => !written.has(block)) &&
      bytes.subarray(start, end).equals(ZEROES.subarray(0, end - start))
    )
      continue
    const written = from.filter((content) => content.written.has(block))
    for (let at = start; at < end; at += SECTOR) {
      const sector = bytes.subarray(at, Math.min(at + SECTOR, end))
      if (!written.some((content) => sameSector(sector, content.bytes, at)))
        return `the sector at byte ${at} of ${bytes.length} is of no version that may be there: ${show(sector)}`
    }
  }
  return undefined
}

/** What a version does not reach is zeroes in it. */
function sameSector(sector: Buffer, content: Buffer, at: number): boolean {
  const there = content.subarray(at, at + sector.length)
  return (
    sector.subarray(0, there.length).equals(there) &&
    sector.subarray(there.length).equals(ZEROES.subarray(0, sector.length - there.length))
  )
}

function show(sector: Buffer): string {
  return JSON.stringify(sector.subarray(0, 40).toString('latin1'))
}
