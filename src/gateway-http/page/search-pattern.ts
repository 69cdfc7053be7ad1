/**
 * What a search by name looks for. Letters match whatever their case. A text without `*` is found anywhere in a name; with it, as in a
 * shell, the whole name must fit, each `*` standing for any characters. No regular expression: the time is linear in the name's length.
 */

/** The test for names; undefined when the text says nothing to look for. */
export function searchPattern(text: string): ((name: string) => boolean) | undefined {
  const wanted = fold(text.trim())
  if (wanted === '') return undefined
  const parts = wanted.split('*')
  if (parts.length === 1) return (name) => fold(name).includes(wanted)
  const first = parts[0] as string
  const last = parts.at(-1) as string
  const middle = parts.slice(1, -1).filter((part) => part !== '')
  return (name) => {
    const folded = fold(name)
    if (folded.length < first.length + last.length || !folded.startsWith(first) || !folded.endsWith(last)) return false
    let at = first.length
    for (const part of middle) {
      const found = folded.indexOf(part, at)
      if (found < 0) return false
      at = found + part.length
    }
    return at <= folded.length - last.length
  }
}

/** One form for letters that are written alike: composed or not (macOS stores them taken apart), upper case or lower. */
function fold(text: string): string {
  return text.normalize('NFC').toLowerCase()
}
