/** The one clock of a run: the host's monotonic one, the same in every process, ms. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
