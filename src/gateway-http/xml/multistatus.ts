/** The 207 document (RFC 4918 13), as pieces of text: it is streamed. */
import { STATUS_CODES } from 'node:http'
import { element, escapeXml } from './names.ts'

export const XML_TYPE = 'application/xml; charset=utf-8'
const declaration = '<?xml version="1.0" encoding="utf-8"?>\n'

export const multistatusStart = `${declaration}<D:multistatus xmlns:D="DAV:">`
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

/** What failed on one resource of a DELETE, COPY or MOVE. */
export function failedResponse(href: string, status: number, detail?: string): string {
  const description = detail ? `<D:responsedescription>${escapeXml(detail)}</D:responsedescription>` : ''
  return response(href, `${statusLine(status)}${description}`)
}

/** The body of a refusal that names its precondition (RFC 4918 16). */
export function errorDocument(condition: string): string {
  return `${declaration}<D:error xmlns:D="DAV:">${element('DAV:', condition)}</D:error>\n`
}
