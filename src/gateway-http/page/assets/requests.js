/**
 * What the page asks the server for: the WebDAV methods, which no other site can have a browser send. The browser adds the user's
 * credentials by itself.
 */

/** @typedef {{ readonly ok: boolean, readonly status: number, readonly message: string }} Outcome status 0: no answer came. */

/**
 * @param {string} method
 * @param {string} url
 * @param {Record<string, string>} [headers]
 * @returns {Promise<Outcome>}
 */
export async function ask(method, url, headers = {}) {
  try {
    const response = await fetch(url, { method, headers, cache: 'no-store' })
    if (response.status === 207) return partly(await response.text())
    return outcome(response.status)
  } catch {
    return outcome(0)
  }
}

/**
 * @param {number} status
 * @returns {Outcome}
 */
export function outcome(status) {
  return { ok: status >= 200 && status < 300, status, message: explain(status) }
}

/** @type {Readonly<Record<number, string>>} */
const words = {
  0: 'The connection to the server broke.',
  401: 'You are not signed in.',
  403: 'You have no permission to do this.',
  404: 'It is not there any more.',
  405: 'Something of that name exists already.',
  409: 'The folder is not there any more, or a file has its name.',
  412: 'Something of that name exists already.',
  413: 'It is too large.',
  414: 'The name is too long.',
  423: 'It is locked: another program has it open. Try again when it is closed there.',
  500: 'The server failed; look before you try again.',
  502: 'It would leave this export.',
  503: 'The server cannot answer at the moment. Try again.',
  507: 'There is no space left.',
}

/** @param {number} status */
function explain(status) {
  return words[status] ?? `The server answered with status ${status}.`
}

/**
 * A multi-status answer (RFC 4918 13) to a change says what it has not done.
 * @param {string} xml
 * @returns {Outcome}
 */
function partly(xml) {
  const answer = new DOMParser().parseFromString(xml, 'application/xml')
  const statuses = [...answer.getElementsByTagNameNS('DAV:', 'status')].map((element) =>
    Number(/ (\d{3})/.exec(element.textContent ?? '')?.[1] ?? 500),
  )
  const first = statuses.find((status) => status >= 400) ?? 500
  const more = statuses.length > 1 ? ` ${statuses.length} things remain.` : ''
  return { ok: false, status: first, message: `Not all of it: ${explain(first)}${more}` }
}

/**
 * True for what may well work a moment later: no answer, or a node that is leaving.
 * @param {Outcome} outcome
 */
export function isPassing({ status }) {
  return status === 0 || status === 503
}

const encoder = new TextEncoder()

/**
 * What is wrong with a name for a new file or folder; undefined when nothing is.
 * @param {string} name
 */
export function problemOf(name) {
  if (name === '') return 'A name is needed.'
  if (name.includes('/')) return 'A name cannot hold a slash.'
  if (name === '.' || name === '..') return 'This name is taken by the system.'
  if (encoder.encode(name).length > 255) return 'The name is too long.'
  return undefined
}

/** @param {string} name */
export function segment(name) {
  return encodeURIComponent(name.toWellFormed())
}

/** The address of the folder on this page, without its query. */
export const here = location.pathname
