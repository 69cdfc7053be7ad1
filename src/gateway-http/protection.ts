/**
 * What keeps content of users apart from the page that shows it. Files and page have one origin, so a file that acted in a browser would act
 * with the rights of whoever looks at it. Three walls, each enough by itself:
 *
 * 1. A file is never more than what its name says (`nosniff`).
 * 2. Opened by itself, it is a document without origin, scripts, forms and plugins (CSP `sandbox`): HTML and SVG are shown, and can do nothing.
 *    PDF is left out, since browsers show it in a program of their own and refuse to do so in a sandbox.
 * 3. The page runs scripts and styles that carry the nonce of this one response, and no others, wherever they come from.
 *
 * What changes something is asked for by PUT, DELETE, MKCOL and MOVE only. No other site can have a browser send these without
 * asking first (CORS preflight), which is answered with nothing that would allow it.
 */

/** Headers of a file's content. */
export function protectionOf(type: string): Readonly<Record<string, string>> {
  return type === 'application/pdf' ? nosniff : sandboxed
}

const nosniff = { 'X-Content-Type-Options': 'nosniff' }
const sandboxed = { ...nosniff, 'Content-Security-Policy': 'sandbox' }

/** Headers of a page of the gateway's own, whose scripts and styles carry `nonce`. */
export function pageProtection(nonce: string): Readonly<Record<string, string>> {
  return {
    ...nosniff,
    'Content-Security-Policy': [
      "default-src 'none'",
      `script-src 'nonce-${nonce}'`,
      `style-src 'nonce-${nonce}'`,
      "img-src 'self'",
      "media-src 'self'",
      "connect-src 'self'",
      "form-action 'self'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Referrer-Policy': 'same-origin',
  }
}
