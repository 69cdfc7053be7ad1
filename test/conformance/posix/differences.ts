/**
 * Where a filesystem may answer otherwise than the case expects: points that POSIX leaves to the implementation, or that a
 * filesystem is known to do its own way. Anything not listed here is a failure.
 */
export type Difference = {
  readonly code: string
  /** As in /proc/self/mountinfo; `fuse` stands for every FUSE filesystem. */
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
]

export function allowed(code: string, filesystem: string, found: string): boolean {
  return DIFFERENCES.some(
    (difference) =>
      difference.code === code &&
      difference.on.some((name) => name === filesystem || filesystem.startsWith(`${name}.`)) &&
      difference.found.includes(found),
  )
}
