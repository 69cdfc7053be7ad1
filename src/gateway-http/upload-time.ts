/** `X-OC-Mtime`: the modification time a client (ownCloud, Nextcloud, rclone) gives to what it uploads or copies. */
import { type ExportCall, header } from './call.ts'
import { HttpFailure } from './failure.ts'

export type FileTime = { readonly s: number; readonly ns: number }

export function uploadTime(call: ExportCall): FileTime | undefined {
  const text = header(call, 'x-oc-mtime')
  if (text === undefined) return undefined
  const time = parseUnixTime(text)
  if (!time) throw new HttpFailure(400, 'X-OC-Mtime must be seconds since 1970')
  return time
}

/** Decimal seconds since 1970, to the nanosecond; undefined when it is none. */
export function parseUnixTime(text: string): FileTime | undefined {
  const match = /^\s*(\d{1,11})(?:\.(\d{1,9})\d*)?\s*$/.exec(text)
  if (!match) return undefined
  return { s: Number(match[1]), ns: Number((match[2] ?? '').padEnd(9, '0')) }
}
