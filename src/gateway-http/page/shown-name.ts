/**
 * Names as people see them on the page. A name may hold any byte but NUL and the slash; what would be invisible, break the line or turn
 * the letters around (a name that ends in `gpj.exe` shown as `exe.jpg`) is shown by a stand-in. Letters of right-to-left scripts are themselves;
 * the page isolates each name (`<bdi>`), so that they do not reach beyond it.
 */
import { displayName } from '../paths.ts'

const plain = /^[\x20-\x7e]*$/
/** C0, DEL, C1; line and paragraph separators; overrides, embeddings and isolates of the bidirectional algorithm. */
const hidden = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

export function shownName(name: string): string {
  if (plain.test(name)) return name
  return displayName(name).replace(hidden, (character) => {
    const code = character.charCodeAt(0)
    // Unicode has a picture for each of the old control characters.
    if (code < 0x20) return String.fromCharCode(0x2400 + code)
    return code === 0x7f ? '\u2421' : '\ufffd'
  })
}
