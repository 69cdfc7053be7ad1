/** The 207 document (RFC 4918 13), as pieces of text: it is streamed. */
import { STATUS_CODES } from 'node:http'
import { element, escapeXml } from './names.ts'

export const XML_TYPE = 'application/xml; charset=utf-8'
export const xmlDeclaration = '<?xml version="1.0" encoding="utf-8"?>\n'

export const multistatusStart = `${xmlDeclaration}<D:multistatus xmlns:D="DAV:">`
export const multistatusEnd = '</D:multistatus>\n'

export function statusLine(status: number): string {
  return `<D:status>HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}</D:status>`
}

/** Properties that share a status; `condition` names the DAV: precondition that failed. */
export function propstat(properties: string, status: number, condition?: string): string {
  const error = condition === undefined ? '' : `<D:error><D:${condition}/></D:error>`
  return `<D:propstat><D:prop>${properties}</D:prop>${statusLine(status)}${error}</D:propstat>`
}

/** `href` is percent-encoded, so it needs no escaping. */
export function response(href: string, content: string): string {
  return `<D:response><D:href>${href}</D:href>${content}</D:response>\n`
}

/** The precondition that a refusal names (RFC 4918 16), and the resources that it is about; or only words. */
export type Refusal = {
  readonly condition?: string | undefined
  readonly hrefs?: readonly string[] | undefined
  readonly message?: string
}

/** What failed on one resource of a DELETE, COPY, MOVE or LOCK. */
export function failedResponse(href: string, status: number, refusal: Refusal = {}): string {
  const error = refusal.condition === undefined ? '' : `<D:error>${conditionElement(refusal)}</D:error>`
  const description = refusal.message
    ? `<D:responsedescription>${escapeXml(refusal.message)}</D:responsedescription>`
    : ''
  return response(href, `${statusLine(status)}${error}${description}`)
}

/** The body of a refusal that names its precondition. */
export function errorDocument(refusal: Refusal): string {
  return `${xmlDeclaration}<D:error xmlns:D="DAV:">${conditionElement(refusal)}</D:error>\n`
}

function conditionElement({ condition = '', hrefs = [] }: Refusal): string {
  const content = hrefs.map((href) => `<D:href>${escapeXml(href)}</D:href>`).join('')
  return element('DAV:', condition, content === '' ? undefined : content)
}
