/** What PROPFIND asks for (RFC 4918 14.20). */
import { HttpFailure } from '../failure.ts'
import { MAX_PROPERTIES } from '../limits.ts'
import { DAV } from './names.ts'
import { readXml, type XmlElement } from './reader.ts'

export type PropertyName = { readonly namespace: string; readonly name: string }
export type PropfindBody =
  | { readonly kind: 'allprop'; readonly include: readonly PropertyName[] }
  | { readonly kind: 'propname' }
  | { readonly kind: 'prop'; readonly names: readonly PropertyName[] }

export function parsePropfind(body: Uint8Array): PropfindBody {
  // No body means allprop (9.1).
  if (body.length === 0) return { kind: 'allprop', include: [] }
  const root = readXml(body)
  if (root.namespace !== DAV || root.name !== 'propfind') throw new HttpFailure(400, 'a propfind element was expected')
  const known = root.children.filter((child) => child.namespace === DAV)
  const find = (name: string) => known.find((child) => child.name === name)
  const [all, names, prop, include] = [find('allprop'), find('propname'), find('prop'), find('include')]
  if ([all, names, prop].filter(Boolean).length !== 1) {
    throw new HttpFailure(400, 'exactly one of allprop, propname and prop was expected')
  }
  if (prop) return { kind: 'prop', names: namesIn(prop) }
  if (names) return { kind: 'propname' }
  return { kind: 'allprop', include: include ? namesIn(include) : [] }
}

function namesIn(parent: XmlElement): PropertyName[] {
  if (parent.children.length > MAX_PROPERTIES) throw new HttpFailure(413, `more than ${MAX_PROPERTIES} properties`)
  return parent.children.map(({ namespace, name }) => ({ namespace, name }))
}
