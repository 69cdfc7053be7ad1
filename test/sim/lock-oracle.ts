/**
 * The lock oracle: told of every change of what a node may use under its locks, as it happens, it holds every grant against all other
 * nodes. Two nodes never hold conflicting locks; and when a node gets an inode's lock, nothing of that inode is dirty at another:
 * dirty data lives only under an exclusive lock.
 *
 * What a node may use ends without a word, too: with its process, or with its lease by its own clock. So the others are asked at each
 * grant what they may use now.
 */
import {
  compatible,
  INODE_LOCK,
  type Mode,
  modeNames,
  NL,
  resourceName,
  resourceNumber,
  resourceType,
  type UsableObserver,
} from '../../src/locking/index.ts'
import type { Mount } from '../../src/recovery/index.ts'
import type { Coverage } from './coverage.ts'
import type { SimHost, SimWorld } from './world.ts'

type Lock = Parameters<UsableObserver>[0]
/** A life of a node with its filesystem. */
type Holder = { readonly host: SimHost; readonly mount: Mount }

export class LockOracle {
  readonly #world: SimWorld
  readonly #coverage: Coverage
  readonly #powerless: (host: SimHost) => boolean
  readonly #lives = new Set<Holder>()
  readonly #held = new Map<number, Map<Holder, Lock>>()
  /** Grants so far, and how many locks of others they were held against. */
  grants = 0
  pairs = 0

  /** `powerless` tells that a life is over, or its lease is by its own clock. */
  constructor(world: SimWorld, coverage: Coverage, powerless: (host: SimHost) => boolean) {
    this.#world = world
    this.#coverage = coverage
    this.#powerless = powerless
  }

  /** From its first lock on. */
  watch(host: SimHost, mount: Mount): void {
    const holder: Holder = { host, mount }
    this.#lives.add(holder)
    mount.locks.observe((lock, before) => this.#changed(holder, lock, before))
  }

  #changed(holder: Holder, lock: Lock, before: Mode): void {
    const { rid, usableMode: mode } = lock
    this.#coverage.count(`lock ${modeNames[before]}→${modeNames[mode]}`)
    const held = this.#held.get(rid) ?? new Map<Holder, Lock>()
    if (mode === NL) {
      held.delete(holder)
      if (held.size === 0) this.#held.delete(rid)
      return
    }
    held.set(holder, lock)
    this.#held.set(rid, held)
    // a process that stood still gives up what it had before it hears that its lease is over: it may use none of it
    if (!lock.allows(mode)) return
    this.grants++
    if (holder.mount.locks.phase === 'reopened') this.#coverage.count('lock granted before the fence')
    this.#check(holder, rid, mode, held)
  }

  #check({ host }: Holder, rid: number, mode: Mode, held: Map<Holder, Lock>): void {
    for (const other of this.#lives) {
      if (other.host === host) continue
      if (!other.host.alive || other.mount.state === 'withdrawn') {
        this.#lives.delete(other)
        held.delete(other)
        continue
      }
      const lock = held.get(other)
      const theirs = lock?.allows(lock.usableMode) ? lock.usableMode : NL
      this.pairs++
      if (!compatible[theirs]?.[mode])
        this.#fail(
          `${resourceName(rid)}: ${host.name} holds it in ${modeNames[mode]}, ${other.host.name} in ${modeNames[theirs]}`,
        )
      if (this.#powerless(other.host)) continue
      if (resourceType(rid) === INODE_LOCK && other.mount.fs.isDirty(resourceNumber(rid)))
        this.#fail(`${other.host.name} has dirty data under ${resourceName(rid)}, which ${host.name} holds`)
    }
  }

  #fail(what: string): void {
    this.#world.fail(new Error(`${this.#world.now} ms: ${what}`))
  }
}
