/**
 * Space that a filesystem gets while it is in use, and gives up: of a LUN that has become one of its own, or that has grown. The LUN is there for every
 * member before the database says that it is the filesystem's (recovery/lun-change.ts); then its blocks become free rows here, group after group.
 *
 * A setting of the image says how many data blocks of each LUN have become rows, from the start of its data on. It is changed
 * in the transactions that add the rows, under lock S, so blocks are added once, whoever comes second, and whoever goes on after a crash. Every node looks after
 * each change of membership and whenever it was told of a new LUN: what nobody was left to add is found then.
 *
 * The space of a LUN that is being drained goes the other way, from its end: groups that are wholly free are taken out, and the setting says so. Nothing is added
 * there meanwhile. When it says 0 nothing of the LUN can be allocated, mapped or freed again.
 */
import { brokenRules } from '../../base/broken-rules.ts'
import { blockAddress } from '../../base/ids.ts'
import {
  EX,
  GROUP_LOCK,
  type Hold,
  type LockCache,
  type Mode,
  type ResourceId,
  resourceId,
  SETTINGS_LOCK,
} from '../../locking/index.ts'
import { type FsLayout, lunRange } from '../fs-layout.ts'
import type { Image } from '../image/image.ts'
import type { Mutation } from '../image/mutation.ts'
import type { VolumeApi } from '../volume-api.ts'
import type { Run } from './run-set.ts'
import type { Space } from './space.ts'

/** Groups whose space is added in one transaction: bounds a frame, and how many locks are held at once. */
const MAX_GROUPS_PER_TRANSACTION = 64

export type NewSpaceParts = {
  readonly volume: VolumeApi
  readonly layout: FsLayout
  readonly locks: LockCache
  readonly space: Space
}

/** What is added next: the runs, one per group, and the setting with it. */
type Step = { readonly runs: readonly Run[]; readonly mark: Mutation }

/** Key of the setting that says how many data blocks of a LUN are in the image. */
export function spaceMark(lunIndex: number): string {
  return `space.${lunIndex}`
}

/** How many data blocks of a LUN are in the image: free, freed or mapped. */
export function blocksKnown(image: Pick<Image, 'setting' | 'spaceIn'>, lunIndex: number): number {
  const mark = image.setting(spaceMark(lunIndex))
  // filesystems were made without marks once: every data block is in exactly one row
  return mark === undefined ? image.spaceIn(lunRange(lunIndex)) : Number(mark)
}

export class NewSpace {
  readonly #parts: NewSpaceParts

  constructor(parts: NewSpaceParts) {
    this.#parts = parts
  }

  /** Adds what is missing of these LUNs; gives how many blocks this call has added. Rejects as locks and commits do. */
  async add(lunIndexes: readonly number[]): Promise<number> {
    let blocks = 0
    for (const lun of lunIndexes) {
      for (let step = this.#next(lun); step; step = this.#next(lun)) blocks += await this.#do(lun, step)
    }
    return blocks
  }

  #next(lun: number): Step | undefined {
    const { layout, volume } = this.#parts
    if (this.#parts.space.isClosed(lun)) return undefined
    const total = layout.dataBlocksOf(lun)
    const known = brokenRules.spaceAddedOnce ? 0 : blocksKnown(volume.image, lun)
    if (known >= total) return undefined
    const { groupBlocks } = layout.record
    const first = Math.floor(known / groupBlocks)
    const last = Math.min(layout.groupCount(lun), first + MAX_GROUPS_PER_TRANSACTION) - 1
    const start = layout.firstDataBlock(lun)
    const runs: Run[] = []
    let from = known
    for (let k = first; k <= last; k++) {
      const to = Math.min((k + 1) * groupBlocks, total)
      runs.push({ address: blockAddress(lun, start + from), count: to - from })
      from = to
    }
    return { runs, mark: { op: 'putSetting', key: spaceMark(lun), value: String(from) } }
  }

  /** Takes what is free at the end of a LUN that is being drained out of the image; true once nothing of it is there. Rejects as `add`. */
  async remove(lun: number): Promise<boolean> {
    const { volume, space } = this.#parts
    for (;;) {
      if (!space.isClosed(lun)) return false
      const known = blocksKnown(volume.image, lun)
      if (known === 0) return true
      const whole = this.#wholeRuns(lun, known)
      if (whole.length === 0 || !(await this.#takeOut(lun, known, whole))) return false
    }
  }

  /** The last groups of `known` blocks that are wholly free. */
  #wholeRuns(lun: number, known: number): readonly Run[] {
    const { layout, volume, space } = this.#parts
    const { groupBlocks } = layout.record
    const start = layout.firstDataBlock(lun)
    const runs: Run[] = []
    for (let to = known; to > 0 && runs.length < MAX_GROUPS_PER_TRANSACTION; ) {
      const from = Math.floor((to - 1) / groupBlocks) * groupBlocks
      const run: Run = { address: blockAddress(lun, start + from), count: to - from }
      const group = layout.groupOf(run.address)
      const [row, ...others] = volume.image.freeIn(layout.groupRange(group))
      const isWhole = row?.address === run.address && row.count === run.count && others.length === 0
      if (!(isWhole && space.isAtRest(group)) && !brokenRules.emptiedBeforeVacated) break
      runs.push(run)
      to = from
    }
    return runs
  }

  /** False when they were not free any more. */
  async #takeOut(lun: number, known: number, runs: readonly Run[]): Promise<boolean> {
    const { volume, layout, space } = this.#parts
    await volume.room()
    const groups = runs.map((run) => layout.groupOf(run.address))
    const holds = await this.#lock(groups)
    try {
      if (!space.isClosed(lun) || blocksKnown(volume.image, lun) !== known) return space.isClosed(lun)
      if (this.#wholeRuns(lun, known).length < runs.length) return false
      const left = known - runs.reduce((sum, run) => sum + run.count, 0)
      const mutations = groups.flatMap((group) =>
        volume.image.freeIn(layout.groupRange(group)).map(({ address }): Mutation => ({ op: 'removeFree', address })),
      )
      volume.commit([...mutations, { op: 'putSetting', key: spaceMark(lun), value: String(left) }])
      return true
    } finally {
      for (const group of groups) space.reload(group)
      for (const hold of holds) hold.release()
    }
  }

  async #lock(groups: readonly number[]): Promise<readonly Hold[]> {
    const wanted = new Map<ResourceId, Mode>([[resourceId(SETTINGS_LOCK, 0), EX]])
    for (const group of groups) wanted.set(resourceId(GROUP_LOCK, group), EX)
    return this.#parts.locks.acquireAll(wanted)
  }

  /** Gives how many blocks were added; none when somebody else was faster. */
  async #do(lun: number, { runs }: Step): Promise<number> {
    const { volume, layout, space } = this.#parts
    await volume.room()
    const groups = runs.map((run) => layout.groupOf(run.address))
    const holds = await this.#lock(groups)
    try {
      const step = this.#next(lun)
      if (step?.runs[0]?.address !== runs[0]?.address || step?.runs.length !== runs.length) return 0
      const mutations: Mutation[] = []
      try {
        for (const run of step.runs) space.free(run, mutations)
        volume.commit([...mutations, step.mark])
      } catch (error) {
        for (const group of groups) space.reload(group)
        throw error
      }
      return step.runs.reduce((sum, run) => sum + run.count, 0)
    } finally {
      for (const hold of holds) hold.release()
    }
  }
}
