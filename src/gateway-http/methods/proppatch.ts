/**
 * PROPPATCH (RFC 4918 9.2): all or nothing, in one transaction. Modification and access times and the executable bit are attributes of the file,
 * in the forms that clients in the field use; every other property that is not live is dead, and kept as it was given.
 */
import { isFsError } from '../../base/errors.ts'
import type { AttributeChanges, PropertyPatch } from '../../metadata/index.ts'
import { DIR, REG } from '../../metadata/index.ts'
import { durable, type ExportCall } from '../call.ts'
import { evaluate } from '../conditions.ts'
import { etagOf } from '../etag.ts'
import { HttpFailure } from '../failure.ts'
import { parseHttpDate } from '../http-date.ts'
import { MAX_PROPERTY_BYTES, MAX_PROPERTY_NAME_BYTES, MAX_XML_BYTES } from '../limits.ts'
import { hrefOf } from '../paths.ts'
import { APACHE, isLive } from '../properties.ts'
import { readBody } from '../request-body.ts'
import { find, retryStale } from '../resolve.ts'
import { parseUnixTime } from '../upload-time.ts'
import { multistatusEnd, multistatusStart, propstat, response, XML_TYPE } from '../xml/multistatus.ts'
import { DAV, element, propertyKey } from '../xml/names.ts'
import { type PropertyUpdate, parseProppatch } from '../xml/proppatch-body.ts'

const MICROSOFT = 'urn:schemas-microsoft-com:'

/** The attribute changes a value asks for; undefined when it is not understood (409). */
type Setter = (text: string, mode: number) => AttributeChanges | undefined

const mtimeOfHttpDate: Setter = (text) => {
  const s = parseHttpDate(text.trim())
  return s === undefined ? undefined : { mtime: { s, ns: 0 } }
}

const setters: ReadonlyMap<string, Setter> = new Map<string, Setter>([
  // Windows Explorer's redirector.
  [propertyKey(MICROSOFT, 'Win32LastModifiedTime'), mtimeOfHttpDate],
  [
    propertyKey(MICROSOFT, 'Win32LastAccessTime'),
    (text) => {
      const s = parseHttpDate(text.trim())
      return s === undefined ? undefined : { atime: { s, ns: 0 } }
    },
  ],
  // rclone, ownCloud and Nextcloud clients.
  [
    propertyKey(DAV, 'lastmodified'),
    (text) => {
      const mtime = parseUnixTime(text)
      return mtime && { mtime }
    },
  ],
  // davfs2 and Apache's own.
  [
    propertyKey(APACHE, 'executable'),
    (text, mode) => {
      // Whoever may read may then execute.
      if (text === 'T') return { mode: mode | ((mode & 0o444) >> 2) }
      return text === 'F' ? { mode: mode & ~0o111 } : undefined
    },
  ],
])

type Verdict = {
  readonly update: PropertyUpdate
  readonly status: number
  readonly condition?: string
  readonly changes?: AttributeChanges
}

export async function proppatch(call: ExportCall): Promise<void> {
  const { fs, path, share } = call
  const updates = parseProppatch(await readBody(call, MAX_XML_BYTES))
  const { type, verdicts, possible } = await retryStale(() => attempt(call, updates))
  if (possible) await durable(fs)
  const stats = verdicts.map(({ update, status, condition }) =>
    propstat(element(update.namespace, update.name), possible || status !== 200 ? status : 424, condition),
  )
  call.ctx.status = 207
  call.ctx.set('Content-Type', XML_TYPE)
  call.ctx.body =
    multistatusStart + response(hrefOf([share.name, ...path], type === DIR), stats.join('')) + multistatusEnd
}

async function attempt(call: ExportCall, updates: readonly PropertyUpdate[]) {
  const { fs, caller, path } = call
  const place = await find(fs, caller, path)
  const { type, mode } = place.inode
  if (type !== DIR && type !== REG) throw new HttpFailure(403, 'devices, sockets and pipes are not served')
  evaluate(call.req.headers, { etag: etagOf(place.inode), modifiedS: place.inode.mtimeS }, false)
  let verdicts = updates.map((update) => judge(update, mode & 0o7777))
  let possible = verdicts.every(({ status }) => status === 200)
  if (possible) {
    try {
      await fs.dav.patchProperties(caller, place, patchOf(verdicts))
    } catch (error) {
      if (!isFsError(error, 'ENOSPC')) throw error
      // RFC 4918 9.2.1
      verdicts = verdicts.map(({ update }) => ({ update, status: update.action === 'set' ? 507 : 200 }))
      possible = false
    }
  }
  return { type, verdicts, possible }
}

function judge(update: PropertyUpdate, mode: number): Verdict {
  const { namespace, name, action, text, xml } = update
  const setter = setters.get(propertyKey(namespace, name))
  if (setter && action === 'set') {
    const changes = setter(text, mode)
    return changes ? { update, status: 200, changes } : { update, status: 409 }
  }
  if (setter || isLive(namespace, name)) return { update, status: 403, condition: 'cannot-modify-protected-property' }
  const tooLong =
    Buffer.byteLength(propertyKey(namespace, name)) > MAX_PROPERTY_NAME_BYTES ||
    Buffer.byteLength(xml) > MAX_PROPERTY_BYTES
  return { update, status: tooLong ? 507 : 200 }
}

/** Of a property that comes more than once the last counts (9.2: in document order). */
function patchOf(verdicts: readonly Verdict[]): PropertyPatch {
  const set = new Map<string, string>()
  const remove = new Set<string>()
  for (const { update, changes } of verdicts) {
    if (changes) continue
    const key = propertyKey(update.namespace, update.name)
    if (update.action === 'set') {
      set.set(key, update.xml)
      remove.delete(key)
    } else {
      remove.add(key)
      set.delete(key)
    }
  }
  return { set, remove: [...remove], attributes: Object.assign({}, ...verdicts.map(({ changes }) => changes)) }
}
