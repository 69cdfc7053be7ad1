/**
 * The HTTP gateway: every export as files for browsers and curl, and as a WebDAV share of classes 1, 2 and 3 for everybody else
 * (RFC 9110, RFC 4918). `docs/http.md` says what is served and how. One file per method in methods/, the XML in xml/.
 */
export type { HttpExport } from './http-export.ts'
export { HttpGateway, type HttpGatewayOptions, type HttpStatistics } from './http-gateway.ts'
