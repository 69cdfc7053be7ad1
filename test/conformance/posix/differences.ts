/**
 * Where a filesystem may answer otherwise than the case expects: points that POSIX leaves to the implementation, or that a
 * filesystem is known to do its own way. Anything not listed here is a failure.
 */
export type Difference = {
  readonly code: string
  /** Type of the filesystem or an option it is mounted with, as in /proc/self/mountinfo. */
  readonly on: readonly string[]
  /** What may be found instead, as JSON. */
  readonly found: readonly string[]
  readonly because: string
}

export const DIFFERENCES: readonly Difference[] = [
  {
    code: 'truncate-25',
    on: ['tmpfs'],
    found: ['"ok"', '"4611686018427387904"'],
    because: 'its largest file ends at the largest offset: sizes beyond do not exist',
  },
  {
    code: 'ftruncate-23',
    on: ['tmpfs'],
    found: ['"ok"', '"9223372036854775807"'],
    because: 'its largest file ends at the largest offset: sizes beyond do not exist',
  },
  {
    code: 'write-26',
    on: ['tmpfs'],
    found: ['"ok"', '"4611686018427387905"'],
    because: 'its largest file ends at the largest offset: sizes beyond do not exist',
  },
  { code: 'read-23', on: ['tmpfs'], found: ['"a"'], because: 'it marks atime before it looks at the length' },
  {
    code: 'read-22',
    on: ['noatime', 'fuse.matrixfs'],
    found: ['""'],
    because: 'reading marks no time: on a shared disk that would make every reader a writer',
  },
  {
    code: 'readdir-35',
    on: ['noatime', 'nodiratime', 'fuse.matrixfs'],
    found: ['""'],
    because: 'reading marks no time: on a shared disk that would make every reader a writer',
  },
]

export function allowed(code: string, traits: readonly string[], found: string): boolean {
  return DIFFERENCES.some(
    (difference) =>
      difference.code === code &&
      difference.on.some((trait) => traits.includes(trait)) &&
      difference.found.includes(found),
  )
}
