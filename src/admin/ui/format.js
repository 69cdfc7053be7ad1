/** Numbers, sizes and times as people read them. */

const SIZES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** @param {number} value */
function short(value) {
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/** @param {number} count bytes */
export function bytes(count) {
  let unit = 0
  let value = count
  while (value >= 1024 && unit < SIZES.length - 1) {
    value /= 1024
    unit++
  }
  return `${short(value)} ${SIZES[unit]}`
}

/** 950, 1.2k, 3.4M. @param {number} value */
export function count(value) {
  if (value >= 1e6) return `${short(value / 1e6)}M`
  if (value >= 1e4) return `${short(value / 1e3)}k`
  if (value > 0 && value < 10 && !Number.isInteger(value)) return value.toFixed(1)
  return value.toFixed(0)
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 1) return ms === 0 ? '0 ms' : `${ms.toFixed(2)} ms`
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 60) return `${minutes} min ${Math.round((ms % 60_000) / 1000)} s`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`
}

/** @param {number} part @param {number} whole */
export function percent(part, whole) {
  return whole > 0 ? Math.round((100 * part) / whole) : 0
}

/** Of the viewer's own place. @param {number} at ms since 1970 */
export function clockTime(at) {
  return new Date(at).toLocaleTimeString([], { hour12: false })
}

/** @param {number} at ms since 1970 */
export function dateTime(at) {
  return new Date(at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium', hour12: false })
}

/** 'one lock', '3 locks'. @param {number} n @param {string} noun */
export function plural(n, noun) {
  return n === 1 ? `1 ${noun}` : `${n} ${noun}s`
}
