/**
 * Gives a target inputs until there have been enough, or the time is over. A run fails at the first input that is dealt with wrongly, takes
 * too long, or brings down the process (an error that nobody caught); and when the memory in use grows with the number of inputs.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { FuzzTarget } from './target.ts'

export type FuzzOptions = {
  readonly seed: number
  readonly inputs: number
  /** Ends it before, ms. */
  readonly limitMs?: number
  /** An input takes no longer, ms. */
  readonly hangMs?: number
  /** Called now and then. */
  readonly onProgress?: (done: number) => void
}

export type FuzzReport = {
  readonly seed: number
  readonly inputs: number
  readonly seconds: number
  /** How often each kind was given. */
  readonly kinds: ReadonlyMap<string, number>
  readonly slowestMs: number
  /** In use after a tenth of the inputs, and at the end: heap and buffers, bytes. */
  readonly memory: { readonly early: number; readonly late: number }
}

const HANG_MS = 5_000
/** What may be in use more at the end: caches fill up, bytes. */
const GROWTH_MAX = 96 * 1024 * 1024
const PROGRESS_EVERY = 10_000

/** An input that was dealt with wrongly. */
export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure'
}

export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzReport> {
  const { seed, inputs, limitMs = Number.POSITIVE_INFINITY, hangMs = HANG_MS, onProgress } = options
  const began = performance.now()
  const kinds = new Map<string, number>()
  let uncaught: unknown
  const note = (error: unknown) => (uncaught ??= error)
  process.on('uncaughtException', note)
  process.on('unhandledRejection', note)
  const run = await target.start(seed)
  const { lanes = 1 } = target
  const end = began + limitMs
  let slowestMs = 0
  let early = 0
  let done = 0
  let failed = false
  const lane = async (first: number) => {
    for (let number = first; number < inputs && !failed && performance.now() < end; number += lanes) {
      const at = performance.now()
      const kind = await inTime(run.input(number), hangMs).catch((error) => fail(target, seed, number, error))
      slowestMs = Math.max(slowestMs, performance.now() - at)
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
      if (uncaught) fail(target, seed, number, uncaught)
      if (done++ === Math.floor(inputs / 10)) early = memoryInUse()
      if (done % PROGRESS_EVERY === 0) onProgress?.(done)
    }
  }
  try {
    const running = Array.from({ length: lanes }, (_, first) => lane(first))
    await Promise.all(running).catch(async (error) => {
      failed = true
      await Promise.allSettled(running)
      throw error
    })
    await inTime(run.check(), 12 * hangMs).catch((error) => fail(target, seed, done, error))
    const late = memoryInUse()
    early ||= late
    if (late - early > GROWTH_MAX)
      fail(target, seed, done, new Error(`${late - early} bytes more in use than at first`))
    const seconds = (performance.now() - began) / 1000
    return { seed, inputs: done, seconds, kinds, slowestMs, memory: { early, late } }
  } finally {
    // what has failed may not be able to close either: then that it failed is told
    await run.close().catch(note)
    process.off('uncaughtException', note)
    process.off('unhandledRejection', note)
  }
}

function fail(target: FuzzTarget, seed: number, number: number, error: unknown): never {
  const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
  throw new FuzzFailure(`${target.name}, seed ${seed}, input ${number}: ${why}`)
}

async function inTime<T>(work: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not dealt with after ${limitMs} ms`)), limitMs)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function memoryInUse(): number {
  collect()
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return heapUsed + external + arrayBuffers
}
