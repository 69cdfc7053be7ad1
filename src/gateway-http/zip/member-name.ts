/**
 * Names of the filesystem (any bytes) as names in a ZIP file (UTF-8). Most are the same. A name that is no UTF-8, or holds a control character or
 * a backslash (which some readers take for a slash), has those bytes percent-encoded, and its percent signs too, so that no two of them
 * become one.
 */
import { isUtf8 } from 'node:buffer'

const plain = /^[\x20-\x5b\x5d-\x7e]*$/
const unwelcome = /[\x00-\x1f\x7f\\]/

/** UTF-8 bytes, as a byte string. */
export function memberName(name: string): string {
  if (plain.test(name)) return name
  const valid = isUtf8(Buffer.from(name, 'latin1'))
  if (valid && !unwelcome.test(name)) return name
  const encoded = valid ? /[\x00-\x1f\x7f\\%]/g : /[\x00-\x1f\x7f-\xff\\%]/g
  return name.replace(encoded, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}
