/**
 * PROPPATCH (RFC 4918 9.2): all or nothing. The filesystem keeps no dead properties yet, and this method never pretends: what
 * it can apply are the modification and access times and the executable bit, in the forms that clients in the field use.
 */
import type { AttributeChanges } from '../../metadata/index.ts'
import { DIR, REG } from '../../metadata/index.ts'
import { durable, type ExportCall } from '../call.ts'
import { evaluate } from '../conditions.ts'
import { etagOf } from '../etag.ts'
import { HttpFailure } from '../failure.ts'
import { parseHttpDate } from '../http-date.ts'
import { MAX_XML_BYTES } from '../limits.ts'
import { hrefOf } from '../paths.ts'
import { APACHE, isLive } from '../properties.ts'
import { readBody } from '../request-body.ts'
import { find } from '../resolve.ts'
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
  const { fs, caller, path, share } = call
  const updates = parseProppatch(await readBody(call, MAX_XML_BYTES))
  const { inode } = await find(fs, caller, path)
  const { ino, type, mode } = inode
  if (type !== DIR && type !== REG) throw new HttpFailure(403, 'devices, sockets and pipes are not served')
  evaluate(call.req.headers, { etag: etagOf(inode), modifiedS: inode.mtimeS }, false)
  const verdicts = updates.map((update) => judge(update, mode & 0o7777))
  const possible = verdicts.every(({ status }) => status === 200)
  if (possible) {
    const changes: AttributeChanges = Object.assign({}, ...verdicts.map((verdict) => verdict.changes))
    if (Object.keys(changes).length > 0) {
      await fs.setattr(caller, ino, changes)
      await durable(fs)
    }
  }
  const stats = verdicts.map(({ update, status, condition }) =>
    propstat(element(update.namespace, update.name), possible || status !== 200 ? status : 424, condition),
  )
  call.ctx.status = 207
  call.ctx.set('Content-Type', XML_TYPE)
  call.ctx.body =
    multistatusStart + response(hrefOf([share.name, ...path], type === DIR), stats.join('')) + multistatusEnd
}

function judge(update: PropertyUpdate, mode: number): Verdict {
  const setter = setters.get(propertyKey(update.namespace, update.name))
  if (setter && update.action === 'set') {
    const changes = setter(update.text, mode)
    return changes ? { update, status: 200, changes } : { update, status: 409 }
  }
  if (setter || isLive(update.namespace, update.name)) {
    return { update, status: 403, condition: 'cannot-modify-protected-property' }
  }
  // Removing what is not there is no error (9.2); there never is a dead property.
  if (update.action === 'remove') return { update, status: 200, changes: {} }
  return { update, status: 403 }
}
