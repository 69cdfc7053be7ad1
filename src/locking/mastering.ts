/**
 * Who masters a resource: a pure function of its name and the members of the view, so that nobody has to be asked and
 * every member gives the same answer. What was born at a node (its inodes, its own state) is mastered there while it
 * lives: a node that works on its own files sends no message. Everything else goes to the member with the highest
 * rendezvous weight (Thaler and Ravishankar 1998): when a member leaves, only what it mastered moves.
 */
import { assert } from '../base/assert.ts'
import { bornSlot, type Slot } from '../base/ids.ts'
import { MAX_SLOTS } from '../base/limits.ts'
import {
  INODE_LOCK,
  OPEN_LOCK,
  RANGE_LOCK,
  type ResourceId,
  resourceNumber,
  resourceType,
  SLOT_LOCK,
} from './resource.ts'

export class Mastering {
  /** Ascending. */
  readonly members: readonly Slot[]
  readonly #isMember: readonly boolean[]

  constructor(members: readonly Slot[]) {
    assert(members.length > 0, 'a view has members')
    for (const slot of members) assert(Number.isInteger(slot) && slot >= 0 && slot < MAX_SLOTS, `slot ${slot} in range`)
    this.members = [...members].sort((a, b) => a - b)
    const isMember = new Array<boolean>(MAX_SLOTS).fill(false)
    for (const slot of members) isMember[slot] = true
    this.#isMember = isMember
  }

  has(slot: Slot): boolean {
    return this.#isMember[slot] === true
  }

  masterOf(rid: ResourceId): Slot {
    const home = homeSlot(rid)
    return home >= 0 && this.#isMember[home] === true ? home : this.#heaviest(rid)
  }

  #heaviest(rid: ResourceId): Slot {
    let best = this.members[0] as Slot
    let bestWeight = -1
    for (const slot of this.members) {
      const weight = rendezvousWeight(rid, slot)
      if (weight > bestWeight) {
        best = slot
        bestWeight = weight
      }
    }
    return best
  }
}

/** The slot a resource belongs to by birth, or -1. */
function homeSlot(rid: ResourceId): number {
  switch (resourceType(rid)) {
    case INODE_LOCK:
    case OPEN_LOCK:
    case RANGE_LOCK:
      return bornSlot(resourceNumber(rid))
    case SLOT_LOCK:
      return resourceNumber(rid)
    default:
      return -1
  }
}

/** Unsigned 32 bits, well mixed over name and slot (the finaliser of MurmurHash3, twice). Part of the protocol: all members compute it. */
export function rendezvousWeight(rid: ResourceId, slot: Slot): number {
  const name = mix(((rid % 2 ** 32) | 0) ^ Math.imul(Math.floor(rid / 2 ** 32), 0x9e3779b1))
  return mix(name ^ Math.imul(slot + 1, 0x85ebca77)) >>> 0
}

function mix(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
