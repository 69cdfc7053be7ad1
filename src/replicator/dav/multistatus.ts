/** The answer to PROPFIND and PROPPATCH (RFC 4918 13), as far as the replicator asks. */
import { SaxesParser } from 'saxes'
import { failure } from '../../program-api/index.ts'

export const DAV = 'DAV:'
/** Namespace of the dead property that keeps what WebDAV has no place for. */
export const REPLICA = 'urn:matrixfs:replica'

export type DavResource = {
  /** As the server writes it: a path, or a whole address. */
  readonly href: string
  readonly isCollection: boolean
  readonly etag: string
  readonly length: number
  /** Seconds since 1970. */
  readonly modifiedS: number
  /** Value of the dead property; '' when there is none. */
  readonly replica: string
  /** Statuses of properties, or of the resource itself, that are no success. */
  readonly refusals: readonly number[]
}

type Draft = { -readonly [Key in keyof DavResource]: DavResource[Key] } & { refusals: number[] }

/** Throws EIO for what is none. */
export function parseMultistatus(body: Buffer): DavResource[] {
  const found: DavResource[] = []
  const parser = new SaxesParser({ xmlns: true, position: false })
  let draft: Draft | undefined
  let pending: Partial<Draft> = {}
  let text = ''
  parser.on('error', (error) => {
    throw failure('EIO', `a multi-status that is no XML: ${error.message}`)
  })
  parser.on('doctype', () => {
    throw failure('EIO', 'a multi-status with a document type')
  })
  parser.on('opentag', ({ uri, local }) => {
    text = ''
    if (uri !== DAV) return
    if (local === 'response')
      draft = { href: '', isCollection: false, etag: '', length: 0, modifiedS: 0, replica: '', refusals: [] }
    if (local === 'propstat') pending = {}
    if (local === 'collection') pending.isCollection = true
  })
  const addText = (more: string) => {
    text += more
  }
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('closetag', ({ uri, local }) => {
    if (uri === REPLICA && local === 'posix') pending.replica = text
    if (uri !== DAV || !draft) return
    switch (local) {
      case 'href':
        if (draft.href === '') draft.href = text.trim()
        break
      case 'getetag':
        pending.etag = text.trim()
        break
      case 'getcontentlength':
        pending.length = Number(text)
        break
      case 'getlastmodified':
        pending.modifiedS = Math.floor(Date.parse(text) / 1000) || 0
        break
      case 'status': {
        const status = Number(/^HTTP\/\d\S* (\d{3})/.exec(text.trim())?.[1] ?? 0)
        if (status < 200 || status >= 300) {
          // a property that is not there is none that was refused
          if (status !== 404) draft.refusals.push(status)
        } else Object.assign(draft, pending)
        pending = {}
        break
      }
      case 'response':
        found.push(draft)
        draft = undefined
    }
  })
  parser.write(body.toString('utf8')).close()
  return found
}
