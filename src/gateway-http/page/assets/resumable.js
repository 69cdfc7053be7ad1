/**
 * The upload of a large file, by tus 1.0.0 (https://tus.io/protocols/resumable-upload): the server keeps what has arrived of it under a hidden name. After a
 * connection that broke it says how far it is, whichever node answers, and the rest is sent. With its last byte the file takes its name.
 *
 * The answer to the last byte may be lost as any other. Then the upload is gone and the file there, with the size and the time that it was to get.
 */
import { ask, outcome, segment } from './requests.js'

/** @typedef {import('./requests.js').Outcome} Outcome */

/** From here on a file is worth the two requests more. */
export const RESUMABLE_BYTES = 8 * 1024 * 1024
/** Sent in one request: all of it is safe once that is answered, even if the node dies with the next. */
const PART_BYTES = 64 * 1024 * 1024

const VERSION = { 'Tus-Resumable': '1.0.0' }

export class ResumableUpload {
  #folder
  #name
  #file
  #replace
  /** @type {string | undefined} */
  #location
  /** @type {XMLHttpRequest | undefined} */
  #request
  #cancelled = false
  /** What the server is known to have, bytes. */
  #sent = 0

  /**
   * @param {string} folder Its address.
   * @param {string} name
   * @param {File} file
   * @param {boolean} replace Whether a file of that name may go.
   */
  constructor(folder, name, file, replace) {
    this.#folder = folder
    this.#name = name
    this.#file = file
    this.#replace = replace
  }

  /**
   * Begins, or goes on where it stopped.
   * @param {(loaded: number) => void} onProgress
   * @returns {Promise<Outcome>}
   */
  async send(onProgress) {
    const ready = this.#location === undefined ? await this.#create() : await this.#find(this.#location)
    // without a place to send to it is in its own already
    if (!ready.ok || this.#location === undefined) return ready
    onProgress(this.#sent)
    for (;;) {
      const result = await this.#sendPart(onProgress)
      if (!result.ok || this.#sent === this.#file.size) return result
    }
  }

  /** What has arrived is not kept. */
  cancel() {
    this.#cancelled = true
    this.#request?.abort()
    if (this.#location !== undefined) void ask('DELETE', this.#location, VERSION)
    this.#location = undefined
  }

  /** @returns {Promise<Outcome>} */
  async #create() {
    const { size } = this.#file
    this.#sent = 0
    const answer = await answerOf('POST', this.#folder, {
      'Upload-Length': String(size),
      'Upload-Metadata': `filename ${base64(this.#name)}`,
      'X-OC-Mtime': String(modified(this.#file)),
      ...(!this.#replace && { 'If-None-Match': '*' }),
    })
    if (!answer?.ok) return outcome(answer?.status ?? 0)
    this.#location = answer.headers.get('Location') ?? undefined
    if (this.#cancelled) this.cancel()
    return outcome(this.#location === undefined ? 0 : answer.status)
  }

  /**
   * How far it is. One that the server does not know any more is in its place, or has to begin anew.
   * @param {string} location
   * @returns {Promise<Outcome>}
   */
  async #find(location) {
    const answer = await answerOf('HEAD', location)
    if (answer?.ok) {
      this.#sent = Number(answer.headers.get('Upload-Offset'))
      return outcome(200)
    }
    if (answer?.status !== 404) return outcome(answer?.status ?? 0)
    this.#location = undefined
    return (await this.#isInPlace()) ? outcome(200) : this.#create()
  }

  /** The file is there as it was to become. */
  async #isInPlace() {
    const answer = await answerOf('HEAD', this.#folder + segment(this.#name))
    const time = Date.parse(answer?.headers.get('Last-Modified') ?? '')
    return (
      answer?.ok === true &&
      Number(answer.headers.get('Content-Length')) === this.#file.size &&
      time === 1000 * modified(this.#file)
    )
  }

  /**
   * The next part; without anything in it when all has arrived, and the file could not take its name.
   * @param {(loaded: number) => void} onProgress
   * @returns {Promise<Outcome>}
   */
  #sendPart(onProgress) {
    const sent = this.#sent
    const part = this.#file.slice(sent, sent + PART_BYTES)
    return new Promise((resolve) => {
      if (this.#cancelled || this.#location === undefined) return resolve(outcome(0))
      const request = new XMLHttpRequest()
      this.#request = request
      request.open('PATCH', this.#location)
      for (const [name, value] of Object.entries(VERSION)) request.setRequestHeader(name, value)
      request.setRequestHeader('Content-Type', 'application/offset+octet-stream')
      request.setRequestHeader('Upload-Offset', String(sent))
      request.upload.addEventListener('progress', ({ loaded }) => onProgress(sent + Math.min(loaded, part.size)))
      request.addEventListener('loadend', () => {
        this.#request = undefined
        if (request.status === 204) this.#sent = sent + part.size
        // 409: the server is elsewhere, since what it got last of a connection that broke came later than the question
        resolve(outcome(request.status === 409 ? 0 : request.status))
      })
      request.send(part)
    })
  }
}

/**
 * @param {string} method
 * @param {string} url
 * @param {Record<string, string>} [headers]
 */
async function answerOf(method, url, headers = {}) {
  try {
    return await fetch(url, { method, headers: { ...VERSION, ...headers }, cache: 'no-store' })
  } catch {
    return undefined
  }
}

/**
 * When it was changed, in seconds since 1970.
 * @param {File} file
 */
export function modified(file) {
  return Math.max(0, Math.floor(file.lastModified / 1000))
}

/** @param {string} text */
function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
}
