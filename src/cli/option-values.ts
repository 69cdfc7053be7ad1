/** Values of options, checked where they are read: a wrong one is a usage error that says what is allowed. */
import { InvalidArgumentError } from 'commander'
import { isName } from '../../config/index.ts'
import { formatSize, parseSize } from '../base/units.ts'

/** Options that do not fit each other. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export function wholeNumber({ min, max }: { readonly min: number; readonly max: number }): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`Allowed is a whole number ${min}…${max}.`)
  }
}

/** Bytes. */
export function sizeFrom(min: number): (text: string) => number {
  return (text) => {
    const bytes = parseSize(text)
    if (bytes !== undefined && bytes >= min) return bytes
    throw new InvalidArgumentError(
      `Allowed is a size of at least ${formatSize(min)}, such as 512MiB, or a number of bytes.`,
    )
  }
}

export function nameValue(text: string): string {
  if (isName(text)) return text
  throw new InvalidArgumentError('Allowed are 1…32 characters a-z, 0-9, - and _.')
}

/** For an option that may be given several times, or with several values. */
export function names(text: string, former: readonly string[] = []): readonly string[] {
  return [...former, nameValue(text)]
}
