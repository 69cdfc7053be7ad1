/** Looks at every node now and then, and counts what state it is in and what has become of its journal: what no log line tells. */
import { memberIn, type View } from '../../src/cluster/index.ts'
import type { Clock } from '../../src/platform/index.ts'
import type { Mount } from '../../src/recovery/index.ts'
import type { Coverage } from './coverage.ts'
import type { SimMatrix, SimNode } from './matrix.ts'

const LOOK_MS = 20
/** The costlier look, at a mount's counters, every so many looks. */
const LOOKS_PER_COUNT = 5

type Seen = {
  phase: string
  locks: string
  view: View | undefined
  mount: Mount | undefined
  wraps: number
  reloads: number
}

export class Observer {
  readonly #matrix: SimMatrix
  readonly #coverage: Coverage
  readonly #seen = new Map<SimNode, Seen>()
  #looks = 0

  constructor(matrix: SimMatrix, coverage: Coverage) {
    this.#matrix = matrix
    this.#coverage = coverage
  }

  begin(clock: Clock): void {
    clock.every(LOOK_MS, () => {
      this.#looks++
      for (const node of this.#matrix.nodes) this.#look(node)
    })
  }

  #look(node: SimNode): void {
    const { core, mount } = node
    const seen = this.#seen.get(node) ?? {
      phase: '',
      locks: '',
      view: undefined,
      mount: undefined,
      wraps: 0,
      reloads: 0,
    }
    this.#seen.set(node, seen)
    if (!core) return
    const { phase } = core.cluster
    if (phase !== seen.phase) this.#coverage.count(`phase ${phase}`)
    seen.phase = phase
    const { view } = core.cluster.mesh
    if (view && view !== seen.view) this.#coverage.count(`view ${difference(seen.view, view)}`)
    seen.view = view
    if (!mount) return
    const locks = mount.locks.phase
    if (locks !== seen.locks) this.#coverage.count(`locks ${locks}`)
    seen.locks = locks
    if (this.#looks % LOOKS_PER_COUNT === 0) this.#journal(mount, seen)
  }

  #journal(mount: Mount, seen: Seen): void {
    if (seen.mount !== mount) Object.assign(seen, { mount, wraps: 0, reloads: 0 })
    const { journalBytesWritten, reloads } = mount.volume.stats()
    const wraps = Math.floor(journalBytesWritten / mount.record.journalBytes)
    if (wraps > seen.wraps) this.#coverage.count('journal wrapped', wraps - seen.wraps)
    if (reloads > seen.reloads) this.#coverage.count('journal reloaded', reloads - seen.reloads)
    Object.assign(seen, { wraps, reloads })
  }
}

/** How the members of a node's view changed. */
function difference(before: View | undefined, now: View): string {
  if (!before) return 'first'
  const old = (slot: number) => before.members.find((member) => member.slot === slot)
  if (now.members.some(({ slot, incarnation }) => (old(slot)?.incarnation ?? incarnation) !== incarnation))
    return 'another life'
  const came = now.members.some(({ slot }) => !old(slot))
  const went = before.members.some(({ slot }) => !memberIn(now, slot))
  if (came && went) return 'somebody came, somebody went'
  return came ? 'somebody came' : went ? 'somebody went' : 'the same again'
}
