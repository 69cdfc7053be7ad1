/**
 * Gives freed space back. A transaction that frees blocks needs no group: it records them as `freed` rows of this node's
 * slot. Later, and only once that transaction is durable (else a crash would bring a file back whose blocks have been
 * written by another), this moves the rows to their groups, each under `G:<group>` EX, joined with their neighbours.
 */

import { brokenRules } from '../../base/broken-rules.ts'
import type { Slot } from '../../base/ids.ts'
import { EX, GROUP_LOCK, type LockCache, resourceId } from '../../locking/index.ts'
import type { Clock, Log, Timer } from '../../platform/index.ts'
import type { FsLayout } from '../fs-layout.ts'
import type { Mutation } from '../image/mutation.ts'
import type { VolumeApi } from '../volume-api.ts'
import type { Run } from './run-set.ts'
import type { Space } from './space.ts'

/** Freed rows moved in one transaction: bounds a frame. */
const MAX_ROWS_PER_TRANSACTION = 1024
/** Rows looked at in one round. */
const MAX_ROWS_PER_ROUND = 8192
/** Space freed in groups of other nodes goes back this late, ms: their groups are not pulled over for every delete. */
const RECLAIM_AFTER_MS = 1000

export type ReclaimerParts = {
  readonly volume: VolumeApi
  readonly layout: FsLayout
  readonly locks: LockCache
  readonly space: Space
  readonly clock: Clock
  readonly log: Log
}

export class Reclaimer {
  readonly #parts: ReclaimerParts
  #timer: Timer | undefined
  #running: Promise<boolean> | undefined
  #stopped = false

  constructor(parts: ReclaimerParts) {
    this.#parts = parts
    parts.space.reclaim = () => this.run()
  }

  /** Something was freed: it goes back soon. */
  note(): void {
    if (this.#timer || this.#stopped) return
    this.#timer = this.#parts.clock.after(RECLAIM_AFTER_MS, () => {
      this.#timer = undefined
      this.run().catch((error) => this.#parts.log.warn({ error: String(error) }, 'reclaiming freed space failed'))
    })
  }

  /** Moves everything freed so far; resolves true when anything moved. */
  run(): Promise<boolean> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = undefined
    await this.#running?.catch(() => {})
  }

  async #run(): Promise<boolean> {
    const { volume } = this.#parts
    let moved = false
    for (;;) {
      const rows = volume.image.freed(volume.slot, MAX_ROWS_PER_ROUND)
      if (rows.length === 0) return moved
      // Everything that was read is durable after this: only then may anybody write to it.
      if (!brokenRules.freedIsDurable) await volume.flush()
      for (const [group, runs] of this.#byGroup(rows)) {
        if (this.#stopped) return moved
        await this.#move(volume.slot, group, runs)
      }
      moved = true
    }
  }

  async #move(slot: Slot, group: number, runs: readonly Run[]): Promise<void> {
    const { space, volume, locks } = this.#parts
    for (let from = 0; from < runs.length; from += MAX_ROWS_PER_TRANSACTION) {
      const batch = runs.slice(from, from + MAX_ROWS_PER_TRANSACTION)
      const hold = await locks.acquire(resourceId(GROUP_LOCK, group), EX)
      const mutations: Mutation[] = []
      try {
        for (const run of batch) {
          mutations.push({ op: 'removeFreed', slot, address: run.address })
          space.free(run, mutations)
        }
        volume.commit(mutations)
      } catch (error) {
        space.reload(group)
        throw error
      } finally {
        hold.release()
      }
    }
  }

  #byGroup(rows: readonly Run[]): Map<number, Run[]> {
    const out = new Map<number, Run[]>()
    for (const run of rows) {
      const group = this.#parts.layout.groupOf(run.address)
      const runs = out.get(group)
      if (runs) runs.push(run)
      else out.set(group, [run])
    }
    return out
  }
}
