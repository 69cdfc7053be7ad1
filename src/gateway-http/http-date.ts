/** Dates as HTTP and WebDAV write them. All times are whole seconds since 1970 (what HTTP can say). */

const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const two = (n: number) => (n < 10 ? `0${n}` : String(n))

let lastSeconds = Number.NaN
let lastText = ''

/** IMF-fixdate (RFC 9110 5.6.7). A listing's entries often share their second, so the last one is kept. */
export function formatHttpDate(seconds: number): string {
  if (seconds === lastSeconds) return lastText
  const date = clamped(seconds)
  lastText = `${days[date.getUTCDay()]}, ${two(date.getUTCDate())} ${months[date.getUTCMonth()]} ${String(
    date.getUTCFullYear(),
  ).padStart(4, '0')} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} GMT`
  lastSeconds = seconds
  return lastText
}

/** RFC 3339, for creationdate. */
export function formatIsoDate(seconds: number): string {
  return clamped(seconds).toISOString().replace('.000Z', 'Z')
}

const imf = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/
const rfc850 = /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (\d\d)-([A-Z][a-z]{2})-(\d\d) (\d\d):(\d\d):(\d\d) GMT$/
const asctime = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/

/** Any of the three forms of RFC 9110 5.6.7; undefined for anything else, which recipients must ignore. */
export function parseHttpDate(text: string): number | undefined {
  const a = imf.exec(text)
  if (a) return seconds(Number(a[3]), a[2]!, a[1]!, a[4]!, a[5]!, a[6]!)
  const b = rfc850.exec(text)
  // Two digits: the 1900s from 70 on, as every such sender meant it.
  if (b) return seconds(Number(b[3]) + (Number(b[3]) < 70 ? 2000 : 1900), b[2]!, b[1]!, b[4]!, b[5]!, b[6]!)
  const c = asctime.exec(text)
  if (c) return seconds(Number(c[6]), c[1]!, c[2]!, c[3]!, c[4]!, c[5]!)
  return undefined
}

function seconds(year: number, monthName: string, day: string, h: string, m: string, s: string): number | undefined {
  const month = months.indexOf(monthName)
  if (month < 0 || Number(h) > 23 || Number(m) > 59 || Number(s) > 60) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month, Number(day))
  if (date.getUTCMonth() !== month) return undefined
  date.setUTCHours(Number(h), Number(m), Number(s))
  return date.getTime() / 1000
}

/** NFS clients can set times that JavaScript's dates, or four-digit years, cannot hold. */
function clamped(seconds: number): Date {
  return new Date(Math.min(Math.max(Math.trunc(seconds), -62_135_596_800), 253_402_300_799) * 1000)
}
