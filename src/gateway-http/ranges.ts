/** Byte ranges (RFC 9110 14). */
import { MAX_RANGES } from './limits.ts'

/** Both ends inclusive, both within the file. */
export type ByteRange = { readonly first: number; readonly last: number }

/**
 * The ranges a request asks for of a file of `size` bytes. 'whole': there is none, it is not understood, or it asks for so
 * much that the whole file is the better answer (14.2: a server may ignore it). 'unsatisfiable': 416.
 */
export function parseRanges(
  header: string | undefined,
  size: number,
): readonly ByteRange[] | 'whole' | 'unsatisfiable' {
  const match = header === undefined ? null : /^\s*bytes\s*=(.*)$/i.exec(header)
  if (!match) return 'whole'
  const parts = match[1]!.split(',').map((part) => part.trim())
  const ranges: ByteRange[] = []
  let total = 0
  let count = 0
  for (const part of parts) {
    if (part === '') continue
    if (++count > MAX_RANGES) return 'whole'
    const ends = /^(\d{0,16})-(\d{0,16})$/.exec(part)
    if (!ends || part === '-') return 'whole'
    const range = rangeOf(ends[1]!, ends[2]!, size)
    if (range === 'invalid') return 'whole'
    if (!range) continue
    total += range.last - range.first + 1
    ranges.push(range)
  }
  if (count === 0) return 'whole'
  if (ranges.length === 0) return 'unsatisfiable'
  return ranges.length > 1 && total > size ? 'whole' : ranges
}

/** One range; undefined when no byte of the file is in it. */
function rangeOf(from: string, to: string, size: number): ByteRange | 'invalid' | undefined {
  if (from === '') {
    const length = Math.min(Number(to), size)
    return length === 0 ? undefined : { first: size - length, last: size - 1 }
  }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return 'invalid'
  if (first >= size) return undefined
  return { first, last: to === '' ? size - 1 : Math.min(Number(to), size - 1) }
}

export function contentRange({ first, last }: ByteRange, size: number): string {
  return `bytes ${first}-${last}/${size}`
}
