/** What is at the target and not at the source, or stands in the way: whether it may go, and that it goes. */
import { basename, matchesGlob } from 'node:path/posix'
import type { InodeLike } from '@zenfs/core'
import type { PrunePolicy } from '../../config/index.ts'
import { failure } from '../program-api/index.ts'
import type { ReplicaJournal } from './journal.ts'
import type { Outcome } from './outcome.ts'
import { removeTree } from './remove-tree.ts'
import type { Tree } from './tree.ts'

export type PrunerOptions = {
  readonly target: Tree
  readonly journal: ReplicaJournal
  readonly prune: PrunePolicy
  /** Globs of paths below the source, such as `*.tmp` or `cache/**`, that are neither copied nor pruned. */
  readonly exclude: readonly string[]
}

export class Pruner {
  /** Something is removed for not being at the source. */
  isAtWork: boolean
  readonly #options: PrunerOptions
  readonly #outcome: Outcome

  constructor(options: PrunerOptions, outcome: Outcome) {
    this.#options = options
    this.#outcome = outcome
    this.isAtWork = options.prune !== 'never'
  }

  isExcluded(path: string): boolean {
    const below = path.slice(1)
    return this.#options.exclude.some((glob) => matchesGlob(glob.includes('/') ? below : basename(below), glob))
  }

  /** Something of another kind has the name. Fails with EEXIST or ENOTEMPTY when it has to stay. */
  async makeWay(path: string, made: InodeLike): Promise<void> {
    const { prune, journal, target } = this.#options
    const mayGo = prune === 'all' || (prune === 'made' && journal.find(path) !== undefined)
    if (!mayGo) throw failure('EEXIST', 'something of another kind has the name at the target')
    await this.#remove(path, made)
    const stays = await target.stat(path).then(
      () => true,
      () => false,
    )
    if (stays) throw failure('ENOTEMPTY', 'something of another kind has the name at the target')
  }

  async prune(path: string): Promise<void> {
    const { prune, journal, target } = this.#options
    if (prune === 'made' && !journal.find(path)) return
    const made = await target.stat(path).catch(() => undefined)
    if (made) await this.#remove(path, made)
  }

  async #remove(path: string, made: InodeLike): Promise<void> {
    const { target, journal, prune } = this.#options
    const mayGo = (each: string): boolean => prune === 'all' || journal.find(each) !== undefined
    this.#outcome.pruned += await removeTree(target, path, made, mayGo)
    journal.drop(path)
  }
}
