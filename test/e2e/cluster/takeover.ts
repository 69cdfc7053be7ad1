/**
 * Measures how the rest of a matrix goes on when something happens to some of its nodes: when it serves what those held, and how long it
 * lets others wait meanwhile.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../checker/clock.ts'
import type { RealNode } from './real-node.ts'
import { type Measured, type Scene, seconds } from './scenario.ts'
import { Holder, ServiceWatch, untilTakenOver, type WorstKind } from './service.ts'

const BEFORE_MS = 1000
/** Between calls of a survivor that asks again, ms. */
const ASK_EVERY_MS = 20
/** Longest that a take-over is waited for, ms. */
const TAKEOVER_LIMIT_MS = 45_000
/** The first node has taken over; others of its side may take so much longer, ms. */
const SIDE_LIMIT_MS = 5_000

export type Sides = {
  /** Each of these holds something that the other side will want. */
  readonly sides: readonly [readonly RealNode[], readonly RealNode[]]
  /** 'second': that one; else whichever. */
  readonly lost: 'second' | 'either'
  readonly fault: () => Promise<void> | void
  /**
   * Survivors ask again and again for so long after the fault, ms, and the longest that one had to wait counts: a node that cannot reach the LUNs may
   * still give up a lock at once, and take it again. Left out: they ask once.
   */
  readonly lastsMs?: number
}

export type TakenOver = {
  /** When the fault was done, and when the last node of the side that won had taken over. */
  readonly from: number
  readonly to: number
  readonly winner: 0 | 1
}

/** One of two sides is lost by the fault. Watches all, and measures at those that go on. */
export async function measureTakeover(
  scene: Scene,
  measured: Measured,
  { sides, lost, fault, lastsMs = 0 }: Sides,
): Promise<TakenOver> {
  const { matrix, resources } = scene
  const all = sides.flat()
  const holders = sides.map(([first]) => new Holder(matrix.access(first as RealNode), resources))
  const watches = all.map((node) => new ServiceWatch(matrix.access(node), resources))
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(), TAKEOVER_LIMIT_MS)
  try {
    await sleep(BEFORE_MS)
    await Promise.all(watches.map((watch) => watch.served(0)))
    const lives = new Map(all.map((node) => [node, node.life]))
    matrix.doom(all)
    const from = now()
    await fault()
    const [one, other] = sides
    const until = from + lastsMs
    const won = [sideTakesOver(scene, one, other[0] as RealNode, until, limit.signal)]
    if (lost === 'either') won.push(sideTakesOver(scene, other, one[0] as RealNode, until, limit.signal))
    const { winner, took } = await Promise.any(won.map(async (side, i) => ({ winner: i as 0 | 1, took: await side })))
    const to = now()
    measured.takeover.push(...took)
    const survivors = (sides[winner] as readonly RealNode[]).filter((node) => node.life === lives.get(node))
    const watched = watches.filter(({ node }) => survivors.some(({ name }) => name === node))
    await Promise.race([Promise.all(watched.map((watch) => watch.served(to))), sleep(SIDE_LIMIT_MS)])
    const lostNodes = (sides[1 - winner] as readonly RealNode[]).map(({ name }) => name)
    const worst = watched.map((watch) => watch.worst(from, now(), lostNodes))
    for (const kind of ['cached', 'untouched', 'orphaned'] as const)
      measured[kind].push(...worst.map((each) => each[kind]))
    const longest = (kind: WorstKind) => seconds(Math.max(0, ...worst.map((each) => each[kind])))
    const names = (sides[winner] as readonly RealNode[]).map(({ name }) => name).join(', ')
    scene.say(
      `  taken over by ${names} after ${took.map(seconds).join(', ')}; longest wait for cached files ${longest('cached')}, for untouched ones ${longest('untouched')}, made at the lost ${longest('orphaned')}`,
    )
    return { from, to, winner }
  } catch (error) {
    if (error instanceof AggregateError) throw new Error(`nobody has taken over within ${seconds(TAKEOVER_LIMIT_MS)}`)
    throw error
  } finally {
    clearTimeout(timer)
    limit.abort()
    for (const each of [...holders, ...watches]) each.close()
  }
}

/** Resolves once `side` serves what `victim` held, after `until`, with the longest wait at each node, ms; rejects when it does not. */
async function sideTakesOver(
  { matrix, resources }: Scene,
  side: readonly RealNode[],
  victim: RealNode,
  until: number,
  limit: AbortSignal,
): Promise<number[]> {
  const stopped = new AbortController()
  const stop = () => stopped.abort()
  limit.addEventListener('abort', stop)
  const took: number[] = []
  const all = side.map(async (node) => {
    let longest = 0
    do {
      const ms = await untilTakenOver(matrix.access(node), victim.name, resources, stopped.signal)
      if (ms === undefined) return
      longest = Math.max(longest, ms)
      await sleep(ASK_EVERY_MS)
    } while (now() < until)
    took.push(longest)
    setTimeout(stop, SIDE_LIMIT_MS).unref()
  })
  await Promise.all(all)
  limit.removeEventListener('abort', stop)
  if (took.length === 0) throw new Error('not taken over')
  return took
}
