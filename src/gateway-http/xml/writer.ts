/**
 * What clients gave as XML, as text that means the same wherever it stands: the value of a dead property, the owner of a lock. Kept are names,
 * namespaces, prefixes, attributes, text and elements in order, and the language that held (RFC 4918 4.3).
 */
import { escapeXml } from './names.ts'
import { XML, type XmlElement } from './reader.ts'

/** Prefixes declared where the element will stand, with their namespaces. */
type Scope = ReadonlyMap<string, string>

/** The documents of this gateway bind the prefix D at their root; nothing else may be relied on. */
const NOWHERE: Scope = new Map([
  ['', ''],
  ['xml', XML],
])

/** The whole element. */
export function writeElement(element: XmlElement): string {
  const hasOwn = element.attributes.some(({ namespace, name }) => namespace === XML && name === 'lang')
  const language = element.language !== '' && !hasOwn ? ` xml:lang="${escapeXml(element.language)}"` : ''
  return written(element, NOWHERE, language)
}

/** What is within the element. */
export function writeContent(element: XmlElement): string {
  return contentOf(element, NOWHERE)
}

function contentOf({ content }: XmlElement, scope: Scope): string {
  return content.map((part) => (typeof part === 'string' ? escapeXml(part) : written(part, scope, ''))).join('')
}

function written(element: XmlElement, scope: Scope, extra: string): string {
  const inner = new Map(scope)
  let tag = ''
  const declare = (prefix: string, namespace: string) => {
    if (inner.get(prefix) === namespace) return
    inner.set(prefix, namespace)
    tag += prefix === '' ? ` xmlns="${escapeXml(namespace)}"` : ` xmlns:${prefix}="${escapeXml(namespace)}"`
  }
  const name = element.prefix === '' ? element.name : `${element.prefix}:${element.name}`
  declare(element.prefix, element.namespace)
  for (const { prefix, namespace } of element.attributes) if (prefix !== '') declare(prefix, namespace)
  for (const { prefix, name, value } of element.attributes) {
    tag += ` ${prefix === '' ? name : `${prefix}:${name}`}="${escapeAttribute(value)}"`
  }
  const content = contentOf(element, inner)
  return content === '' ? `<${name}${tag}${extra}/>` : `<${name}${tag}${extra}>${content}</${name}>`
}

/** Spaces other than U+0020 would become it. */
function escapeAttribute(value: string): string {
  return escapeXml(value).replace(/[\t\n\r]/g, (space) => `&#${space.charCodeAt(0)};`)
}
