/** Which lock a LOCK asks for (RFC 4918 14.11). */
import { HttpFailure } from '../failure.ts'
import { MAX_OWNER_BYTES } from '../limits.ts'
import { DAV } from './names.ts'
import { readXml, type XmlElement } from './reader.ts'
import { writeContent } from './writer.ts'

/** `owner`: the content of the owner element, as XML. */
export type LockInfo = { readonly shared: boolean; readonly owner: string }

export function parseLockinfo(body: Uint8Array): LockInfo {
  const root = readXml(body)
  if (root.namespace !== DAV || root.name !== 'lockinfo') throw new HttpFailure(400, 'a lockinfo element was expected')
  const child = (parent: XmlElement | undefined, ...names: string[]) =>
    parent?.children.find(({ namespace, name }) => namespace === DAV && names.includes(name))
  const scope = child(child(root, 'lockscope'), 'exclusive', 'shared')
  if (!scope) throw new HttpFailure(400, 'the lock scope is neither exclusive nor shared')
  if (!child(child(root, 'locktype'), 'write')) throw new HttpFailure(422, 'the only locks are write locks')
  const owner = child(root, 'owner')
  const text = owner ? writeContent(owner) : ''
  if (Buffer.byteLength(text) > MAX_OWNER_BYTES)
    throw new HttpFailure(413, `an owner of more than ${MAX_OWNER_BYTES} bytes`)
  return { shared: scope.name === 'shared', owner: text }
}
