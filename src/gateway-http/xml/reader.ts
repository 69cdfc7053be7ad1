/**
 * Parses the small XML bodies of WebDAV into a tree. Whatever a client sends: no DOCTYPE, no entities but XML's own five, a bound on
 * bytes, depth and nodes; everything else is 400.
 */
import { SaxesParser } from 'saxes'
import { HttpFailure } from '../failure.ts'
import { MAX_XML_BYTES, MAX_XML_DEPTH, MAX_XML_NODES } from '../limits.ts'

export type XmlAttribute = {
  readonly prefix: string
  readonly namespace: string
  readonly name: string
  readonly value: string
}

export type XmlElement = {
  readonly namespace: string
  readonly name: string
  readonly prefix: string
  /** Without declarations of namespaces. */
  readonly attributes: readonly XmlAttribute[]
  readonly children: readonly XmlElement[]
  /** Character data directly within, in one. */
  readonly text: string
  /** Text and elements, in order. */
  readonly content: readonly (string | XmlElement)[]
  /** The xml:lang that holds here; '' for none. */
  readonly language: string
}

const XMLNS = 'http://www.w3.org/2000/xmlns/'
export const XML = 'http://www.w3.org/XML/1998/namespace'

type Open = XmlElement & { children: XmlElement[]; text: string; content: (string | XmlElement)[] }

export function readXml(body: Uint8Array): XmlElement {
  if (body.length > MAX_XML_BYTES) throw new HttpFailure(413, `a body of more than ${MAX_XML_BYTES} bytes`)
  const text = decode(body)
  const stack: Open[] = []
  let root: XmlElement | undefined
  let nodes = 0
  const parser = new SaxesParser({ xmlns: true, position: false })
  parser.on('error', (error) => {
    throw new HttpFailure(400, `malformed XML: ${error.message}`)
  })
  parser.on('doctype', () => {
    throw new HttpFailure(400, 'a document type is not accepted')
  })
  parser.on('opentag', (tag) => {
    const all = Object.values(tag.attributes)
    nodes += 1 + all.length
    if (nodes > MAX_XML_NODES) throw new HttpFailure(413, `more than ${MAX_XML_NODES} XML nodes`)
    if (stack.length >= MAX_XML_DEPTH) throw new HttpFailure(400, `XML nested deeper than ${MAX_XML_DEPTH}`)
    const attributes = all
      .filter(({ uri }) => uri !== XMLNS)
      .map(({ prefix, uri, local, value }) => ({ prefix, namespace: uri, name: local, value }))
    const parent = stack.at(-1)
    const own = attributes.find(({ namespace, name }) => namespace === XML && name === 'lang')
    const element: Open = {
      ...{ namespace: tag.uri, name: tag.local, prefix: tag.prefix, attributes },
      ...{ children: [], text: '', content: [], language: own?.value ?? parent?.language ?? '' },
    }
    if (parent) {
      parent.children.push(element)
      parent.content.push(element)
    } else root = element
    stack.push(element)
  })
  const addText = (text: string) => {
    const open = stack.at(-1)
    if (!open) return
    open.text += text
    open.content.push(text)
  }
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('closetag', () => void stack.pop())
  parser.write(text).close()
  if (!root) throw new HttpFailure(400, 'no XML element')
  return root
}

/** RFC 4918 asks for UTF-8 and UTF-16. */
function decode(body: Uint8Array): string {
  const encoding =
    body[0] === 0xfe && body[1] === 0xff ? 'utf-16be' : body[0] === 0xff && body[1] === 0xfe ? 'utf-16le' : 'utf-8'
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(body)
  } catch {
    throw new HttpFailure(400, `the XML is not ${encoding}`)
  }
}
