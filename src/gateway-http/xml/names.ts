/** Expanded XML names of properties, and text made safe for XML. */

export const DAV = 'DAV:'

/** A property's name as a key: `{DAV:}getetag`. */
export function propertyKey(namespace: string, name: string): string {
  return `{${namespace}}${name}`
}

/** An element with that name; multistatus documents bind the prefix D to DAV: at their root. */
export function element(namespace: string, name: string, content?: string): string {
  const [start, end] =
    namespace === DAV
      ? [`D:${name}`, `D:${name}`]
      : namespace === ''
        ? [`${name} xmlns=""`, name]
        : [`x:${name} xmlns:x="${escapeXml(namespace)}"`, `x:${name}`]
  return content === undefined ? `<${start}/>` : `<${start}>${content}</${end}>`
}

const plain = /^[\x20-\x21\x23-\x25\x27-\x3b\x3d\x3f-\x7e]*$/

/** Escapes markup; characters that XML 1.0 cannot hold at all become U+FFFD. */
export function escapeXml(text: string): string {
  if (plain.test(text)) return text
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;')
    .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd')
}
