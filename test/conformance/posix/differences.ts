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

export const DIFFERENCES: readonly Difference[] = []

export function allowed(code: string, filesystem: string, found: string): boolean {
  return DIFFERENCES.some(
    (difference) =>
      difference.code === code &&
      difference.on.some((name) => name === filesystem || filesystem.startsWith(`${name}.`)) &&
      difference.found.includes(found),
  )
}
