/** "2.2 ms (median), 39.1 ms (worst)". */
export function medianAndWorst(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b)
  const middle = sorted[Math.floor(sorted.length / 2)] ?? 0
  return `${middle.toFixed(1)} ms (median), ${(sorted.at(-1) ?? 0).toFixed(1)} ms (worst)`
}
