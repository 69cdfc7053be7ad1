/** What PROPPATCH wants changed (RFC 4918 14.19), in document order. */
import { HttpFailure } from '../failure.ts'
import { MAX_PROPERTIES } from '../limits.ts'
import { DAV } from './names.ts'
import { readXml } from './reader.ts'
import { writeElement } from './writer.ts'

export type PropertyUpdate = {
  readonly action: 'set' | 'remove'
  readonly namespace: string
  readonly name: string
  readonly text: string
  /** The whole element, for keeping. */
  readonly xml: string
}

export function parseProppatch(body: Uint8Array): readonly PropertyUpdate[] {
  const root = readXml(body)
  if (root.namespace !== DAV || root.name !== 'propertyupdate') {
    throw new HttpFailure(400, 'a propertyupdate element was expected')
  }
  const updates: PropertyUpdate[] = []
  for (const step of root.children) {
    if (step.namespace !== DAV || (step.name !== 'set' && step.name !== 'remove')) continue
    const action = step.name
    for (const prop of step.children) {
      if (prop.namespace !== DAV || prop.name !== 'prop') continue
      for (const property of prop.children) {
        const { namespace, name, text } = property
        updates.push({ action, namespace, name, text, xml: action === 'set' ? writeElement(property) : '' })
      }
    }
  }
  if (updates.length === 0) throw new HttpFailure(400, 'no property is set or removed')
  if (updates.length > MAX_PROPERTIES) throw new HttpFailure(413, `more than ${MAX_PROPERTIES} properties`)
  return updates
}
