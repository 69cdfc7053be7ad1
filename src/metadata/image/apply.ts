/**
 * The one door through which metadata changes: own changes, peers' frames and recovery alike. Deterministic: the same
 * mutations in the same order give equal images. A mutation that does not fit the image (a remove of a row that is not
 * there, overlapping extents) throws MatrixError 'journal-damaged'; from the own node it is a bug, and the volume says so.
 *
 * Shapes (types and ranges) are checked before: by the codec for frames, by `faultOf` for own mutations.
 */
import { unreachable } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import type { Image } from './image.ts'
import type { Mutation } from './mutation.ts'
import { type ExtentRow, rangeWeight, type SpaceRow, type Statements } from './statements.ts'

/** Applies one mutation within the image's open transaction. */
export function apply(image: Image, mutation: Mutation): void {
  const s = image.statements
  image.applied()
  switch (mutation.op) {
    case 'putInode': {
      const i = mutation.inode
      // biome-ignore format: one line per group of columns
      const put = (statement: Statements['insertInode']) => statement.run(
        i.generation, i.type, i.mode, i.nlink, i.uid, i.gid, i.size, i.rdevMajor, i.rdevMinor,
        i.atimeS, i.atimeNs, i.mtimeS, i.mtimeNs, i.ctimeS, i.ctimeNs, i.btimeS, i.btimeNs,
        i.change, i.parent, i.nextCookie, i.target, i.ino,
      ).changes
      // what was just born is most likely not there yet, anything else is
      const isBorn = i.change <= 1
      if (!isBorn && put(s.updateInode) === 1) return
      if (put(s.insertInode) === 1) image.count(1, 0, 0)
      else put(s.updateInode)
      return
    }
    case 'removeInode':
      removed(s.deleteInode.run(mutation.ino).changes, mutation)
      image.count(-1, 0, 0)
      return
    case 'putDirent':
      try {
        s.putDirent.run(mutation.dir, mutation.name, mutation.cookie, mutation.ino, mutation.type)
      } catch (error) {
        // the only constraint left is the unique cookie
        throw misfit(mutation, 'its cookie belongs to another entry', error)
      }
      return
    case 'removeDirent':
      removed(s.deleteDirent.run(mutation.dir, mutation.name).changes, mutation)
      return
    case 'putExtent': {
      const { ino, block, count, address } = mutation
      const before = s.extentBefore.get(ino, block) as ExtentRow | undefined
      const after = s.extentAfter.get(ino, block) as number | undefined
      if ((before && before[0] + before[1] > block) || (after !== undefined && after < block + count))
        throw misfit(mutation, 'it overlaps another extent of the inode')
      s.putExtent.run(ino, block, count, address)
      return
    }
    case 'removeExtent':
      removed(s.deleteExtent.run(mutation.ino, mutation.block).changes, mutation)
      return
    case 'putFree': {
      const { address, count } = mutation
      const before = s.freeBefore.get(address) as SpaceRow | undefined
      const after = s.freeAfter.get(address) as number | undefined
      if ((before && before[0] + before[1] > address) || (after !== undefined && after < address + count))
        throw misfit(mutation, 'it overlaps other free space')
      const old = (s.free.get(address) as number | undefined) ?? 0
      s.putFree.run(address, count)
      image.count(0, count - old, 0)
      return
    }
    case 'removeFree': {
      const old = s.free.get(mutation.address) as number | undefined
      removed(s.deleteFree.run(mutation.address).changes, mutation)
      image.count(0, -(old as number), 0)
      return
    }
    case 'putFreed': {
      const { slot, address, count } = mutation
      const old = (s.freedCount.get(slot, address) as number | undefined) ?? 0
      s.putFreed.run(slot, address, count)
      image.count(0, 0, count - old)
      return
    }
    case 'removeFreed': {
      const old = s.freedCount.get(mutation.slot, mutation.address) as number | undefined
      removed(s.deleteFreed.run(mutation.slot, mutation.address).changes, mutation)
      image.count(0, 0, -(old as number))
      return
    }
    case 'putOrphan':
      s.putOrphan.run(mutation.slot, mutation.ino)
      return
    case 'removeOrphan':
      removed(s.deleteOrphan.run(mutation.slot, mutation.ino).changes, mutation)
      return
    case 'putSlot':
      s.putSlot.run(mutation.slot, mutation.inoCounter)
      return
    case 'putSetting':
      s.putSetting.run(mutation.key, mutation.value)
      return
    case 'putRangeLock': {
      const { ino, client, owner, start, end, exclusive } = mutation
      if (!s.hasRangeLock.get(ino, client, owner, start)) image.weighRanges(client, rangeWeight(client, owner))
      s.putRangeLock.run(ino, client, owner, start, end, Number(exclusive))
      return
    }
    case 'removeRangeLock': {
      const { ino, client, owner, start } = mutation
      removed(s.deleteRangeLock.run(ino, client, owner, start).changes, mutation)
      image.weighRanges(client, -rangeWeight(client, owner))
      return
    }
    case 'putRangeWait': {
      const { ino, place, slot, incarnation, client, owner, start, end, exclusive } = mutation
      s.putRangeWait.run(ino, place, slot, incarnation, client, owner, start, end, Number(exclusive))
      return
    }
    case 'removeRangeWait':
      removed(s.deleteRangeWait.run(mutation.ino, mutation.place).changes, mutation)
      return
    case 'putNfsClient':
      s.putNfsClient.run(mutation.slot, mutation.name, mutation.address, mutation.state, mutation.facts)
      return
    case 'removeNfsClient':
      removed(s.deleteNfsClient.run(mutation.slot, mutation.name).changes, mutation)
      return
    default:
      unreachable(mutation)
  }
}

function removed(changes: number, mutation: Mutation): void {
  if (changes !== 1) throw misfit(mutation, 'there is no such row')
}

function misfit(mutation: Mutation, why: string, cause?: unknown): MatrixError {
  return new MatrixError('journal-damaged', `${JSON.stringify(mutation)} does not fit the image: ${why}`, { cause })
}
