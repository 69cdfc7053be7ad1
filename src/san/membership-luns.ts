/**
 * Which of a matrix's LUNs bear its membership partitions: one, or three of which a majority has to be there. The labels tell how
 * many there are, so that a node that sees one of three never takes it for the only one.
 */
import { MatrixError } from '../base/errors.ts'
import type { Label } from './label.ts'
import type { Lun } from './lun.ts'
import { Partitions, type PartitionsOptions } from './partitions.ts'

type Labelled = { readonly label: Label; readonly lun: Lun }

/** Those of `luns` that bear a partition, and how many the matrix has. Throws MatrixError 'config' when they are no majority, or not of one set. */
export function membershipLuns<T extends Labelled>(luns: readonly T[]): { bearing: readonly T[]; expected: number } {
  const bearing = luns.filter(({ label }) => label.partitions > 0)
  const names = bearing.map(({ label }) => label.lunName).join(', ')
  const expected = bearing[0]?.label.partitions
  if (expected === undefined)
    throw new MatrixError(
      'config',
      'none of these LUNs bears a membership partition; name the one that does, too (matrix lun show tells)',
    )
  if (bearing.some(({ label }) => label.partitions !== expected) || bearing.length > expected)
    throw new MatrixError(
      'config',
      `the LUNs ${names} bear membership partitions that do not belong together; a matrix has one, or three (matrix lun show tells)`,
    )
  if (bearing.length <= expected / 2)
    throw new MatrixError(
      'config',
      `of three membership partitions only the one on ${names} is there; two are needed: name their LUNs, too`,
    )
  return { bearing, expected }
}

/** The partitions of a matrix that has `expected`, on the LUNs that are there; one that is missing fails every I/O. */
export function openPartitions(there: readonly Lun[], expected: number, options: PartitionsOptions): Partitions {
  const missing = Array.from({ length: expected - there.length }, () => missingLun)
  return new Partitions([...there, ...missing], options)
}

const fail = async (): Promise<never> => {
  throw new MatrixError('lun-io', 'a membership partition is missing')
}

const missingLun: Lun = {
  identity: 'a missing LUN',
  size: 0,
  read: fail,
  write: fail,
  flush: fail,
  close: async () => {},
}
