/**
 * What the clients of a run share, below one directory of the export. Few objects, so that clients meet.
 *
 *   blocks/f<i>         files of fixed-size blocks; each block is a register
 *   documents/d<i>      files that are replaced whole, and removed; each name is a register
 *   logs/l<i>-<epoch>   files that are only appended to; a new one every so often, since a reader is told all of it
 *   pair<i>/A, /B       two directories; with the names in them they are one object
 */
export const TOP = 'checker'
export const BLOCK_FILES = 2
export const BLOCKS = 3
export const BLOCK_STRIDE = 4096
export const VALUE_BYTES = 64
export const DOCUMENTS = 3
export const LOGS = 2
export const LOG_EPOCH_MS = 1000
export const PAIRS = 4
/**
 * Pairs with hard links, whose numbers are looked at. There nobody makes files by PUT with `If-None-Match: *`: for a moment those have a
 * second, hidden name, which holds and counts like any other.
 */
export function hasLinks(pair: number): boolean {
  return pair % 2 === 1
}
export const SIDES = ['A', 'B'] as const
export const NAMES = ['a', 'b', 'c', 'd'] as const
export const CHILD = 'child'

/** Every directory that has to be there before a run, parents first. */
export const directoriesToMake: readonly string[] = [
  TOP,
  `${TOP}/blocks`,
  `${TOP}/documents`,
  `${TOP}/logs`,
  ...Array.from({ length: PAIRS }, (_, i) => [
    `${TOP}/pair${i}`,
    ...SIDES.map((side) => `${TOP}/pair${i}/${side}`),
  ]).flat(),
]

export const blockFiles: readonly string[] = Array.from({ length: BLOCK_FILES }, (_, i) => `f${i}`)

/** A value as it stands in a block. */
export function toBlock(value: string): Buffer {
  return Buffer.from(value.padEnd(VALUE_BYTES, ' '))
}

export function fromBlock(bytes: Buffer): string {
  return bytes.toString('latin1').replaceAll('\0', ' ').trim()
}

export function fromLog(bytes: Buffer | undefined): string[] {
  return (bytes?.toString('latin1') ?? '').split(';').filter((record) => record !== '')
}
