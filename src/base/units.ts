/** Sizes and durations as people write them. */
export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB
export const TiB = 1024 * GiB

const sizeUnits: Record<string, number> = { '': 1, B: 1, KiB, MiB, GiB, TiB, K: KiB, M: MiB, G: GiB, T: TiB }

/** Parses `8GiB`, `512M`, `4096`; returns bytes, or undefined when it is not a size. */
export function parseSize(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*$/.exec(text)
  if (!match) return undefined
  const unit = sizeUnits[match[2] ?? '']
  if (unit === undefined) return undefined
  const bytes = Number(match[1]) * unit
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** `8589934592` → `8 GiB`; one decimal where needed. */
export function formatSize(bytes: number): string {
  for (const [name, unit] of [
    ['TiB', TiB],
    ['GiB', GiB],
    ['MiB', MiB],
    ['KiB', KiB],
  ] as const) {
    if (bytes >= unit) return `${Number((bytes / unit).toFixed(1))} ${name}`
  }
  return `${bytes} B`
}

const durationUnits: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 }

/** Parses `500ms`, `8s`, `2m`; returns milliseconds, or undefined when it is not a duration with its unit. */
export function parseDuration(text: string): number | undefined {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h)\s*$/.exec(text)
  return match ? Number(match[1]) * (durationUnits[match[2] as string] as number) : undefined
}

/** Rounds up to a multiple of `unit`. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit
}
