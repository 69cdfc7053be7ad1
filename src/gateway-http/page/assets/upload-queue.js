/**
 * Uploads, a few at a time. A file is sent with `If-None-Match: *`, so that nothing is ever replaced that the user has not been asked about, however
 * fast somebody else is; a large one is asked for first, so that it is not sent in vain, and goes on where it stopped (resumable.js). What fails for a passing
 * reason is tried again.
 */
import { ask, isPassing, outcome, segment } from './requests.js'
import { modified, RESUMABLE_BYTES, ResumableUpload } from './resumable.js'
import { isListed } from './view.js'

/** Uploads under way at a time: browsers keep six connections, and the page needs one itself. */
const AT_A_TIME = 4
/** From here on it is worth a request to know whether the name is free. */
const LARGE_BYTES = 1024 * 1024
/** Waits before a further try, ms. */
const PATIENCE = [1000, 3000]
/** Of a file that need not be sent again: until another node has taken the place of one that died. Begins anew with every byte that gets through. */
const LONG_PATIENCE = [1000, 2000, 4000, 8000, 15_000, 30_000]

/** @typedef {'waiting' | 'active' | 'asking' | 'done' | 'failed' | 'skipped' | 'cancelled'} State */
/** @typedef {import('./dialogs.js').Choice} Choice */

/**
 * @typedef {object} Upload
 * @property {File} file
 * @property {readonly string[]} path
 * @property {State} state
 * @property {number} loaded Bytes sent.
 * @property {string} message Why it failed, or is waiting.
 * @property {boolean} replace
 * @property {number} number Of the copy, with "keep both"; 0 is the name itself.
 * @property {XMLHttpRequest | undefined} request
 * @property {ResumableUpload | undefined} resumable Of a large file, once it has begun.
 */

export class UploadQueue {
  /** @type {Upload[]} */
  uploads = []
  /** Where the next one to start is looked for. */
  #next = 0
  #active = 0
  /** @type {string} */
  #base
  /** @type {Map<string, Promise<import('./requests.js').Outcome>>} */
  #folders = new Map()
  /** @type {Choice | undefined} */
  #always
  /** Questions are asked one after the other. */
  #asking = Promise.resolve()
  /** @type {(name: string, more: boolean) => Promise<{ choice: Choice, always: boolean }>} */
  #askConflict
  /** @type {() => void} */
  #onChange

  /**
   * @param {string} base The folder's address.
   * @param {(name: string, more: boolean) => Promise<{ choice: Choice, always: boolean }>} askConflict
   * @param {() => void} onChange Called after every change of state or progress.
   */
  constructor(base, askConflict, onChange) {
    this.#base = base
    this.#askConflict = askConflict
    this.#onChange = onChange
  }

  get isBusy() {
    return this.uploads.some(({ state }) => state === 'waiting' || state === 'active' || state === 'asking')
  }

  /** @param {import('./dropped.js').Selection} selection */
  add({ files, folders }) {
    if (!this.isBusy) {
      // A new round: what is done is not counted again, and questions are asked anew.
      this.uploads = []
      this.#next = 0
      this.#folders.clear()
      this.#always = undefined
    }
    for (const { file, path } of files) {
      this.uploads.push({
        file,
        path,
        state: 'waiting',
        loaded: 0,
        message: '',
        replace: false,
        number: 0,
        request: undefined,
        resumable: undefined,
      })
    }
    this.#start()
    return Promise.all(folders.map((path) => this.#folder(path)))
  }

  /** @param {Upload} upload */
  cancel(upload) {
    if (upload.state !== 'waiting' && upload.state !== 'active') return
    this.#set(upload, 'cancelled')
    upload.request?.abort()
    this.#forget(upload)
  }

  /** @param {Upload} upload */
  #forget(upload) {
    upload.resumable?.cancel()
    upload.resumable = undefined
  }

  cancelAll() {
    for (const upload of this.uploads) this.cancel(upload)
  }

  /** @param {(upload: Upload) => boolean} which */
  retry(which = () => true) {
    this.#folders.clear()
    for (const upload of this.uploads) {
      if (upload.state !== 'failed' || !which(upload)) continue
      if (!upload.resumable) upload.loaded = 0
      this.#set(upload, 'waiting')
    }
    this.#next = 0
    this.#start()
  }

  /**
   * @param {Upload} upload
   * @param {State} state
   */
  #set(upload, state, message = '') {
    upload.state = state
    upload.message = message
    this.#onChange()
  }

  #start() {
    while (this.#active < AT_A_TIME) {
      while (this.#next < this.uploads.length && this.uploads[this.#next]?.state !== 'waiting') this.#next++
      const upload = this.uploads[this.#next]
      if (!upload) return
      this.#active++
      this.#set(upload, 'active')
      this.#run(upload).finally(() => {
        this.#active--
        this.#start()
      })
    }
  }

  /** @param {Upload} upload */
  async #run(upload) {
    for (let tries = 0, most = 0; ; tries++) {
      const result = await this.#try(upload)
      if (upload.state !== 'active') return
      if (result.ok) {
        upload.loaded = upload.file.size
        return this.#set(upload, 'done')
      }
      if (result.status === 412) return this.#conflict(upload)
      const { resumable } = upload
      if (resumable && upload.loaded > most) tries = 0
      most = Math.max(most, upload.loaded)
      // of one that goes on the server will say how much it has
      if (!resumable) upload.loaded = 0
      const wait = (resumable ? LONG_PATIENCE : PATIENCE)[tries]
      if (!isPassing(result) || wait === undefined) return this.#set(upload, 'failed', result.message)
      this.#set(upload, 'active', `${result.message} It goes on in a moment.`)
      await new Promise((resolve) => setTimeout(resolve, wait))
      if (upload.state !== 'active') return
      this.#set(upload, 'active')
    }
  }

  /**
   * @param {Upload} upload
   * @returns {Promise<import('./requests.js').Outcome>}
   */
  async #try(upload) {
    const { file, path, replace } = upload
    const folder = await this.#folder(path.slice(0, -1))
    if (!folder.ok || upload.state !== 'active') return folder
    const name = numbered(path.at(-1) ?? '', upload.number)
    const parent =
      this.#base +
      path
        .slice(0, -1)
        .map((above) => `${segment(above)}/`)
        .join('')
    const url = parent + segment(name)
    if (upload.resumable) return this.#resume(upload, upload.resumable)
    if (!replace && file.size >= LARGE_BYTES && (isListed(url) ?? (await ask('HEAD', url)).ok)) return outcome(412)
    if (upload.state !== 'active') return outcome(0)
    if (file.size < RESUMABLE_BYTES) return this.#put(upload, url)
    upload.resumable = new ResumableUpload(parent, name, file, replace)
    return this.#resume(upload, upload.resumable)
  }

  /**
   * @param {Upload} upload
   * @param {ResumableUpload} resumable
   */
  #resume(upload, resumable) {
    return resumable.send((loaded) => {
      upload.loaded = loaded
      this.#onChange()
    })
  }

  /**
   * @param {Upload} upload
   * @param {string} url
   * @returns {Promise<import('./requests.js').Outcome>}
   */
  #put(upload, url) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest()
      upload.request = request
      request.open('PUT', url)
      if (!upload.replace) request.setRequestHeader('If-None-Match', '*')
      request.setRequestHeader('Content-Type', 'application/octet-stream')
      request.setRequestHeader('X-OC-Mtime', String(modified(upload.file)))
      request.upload.addEventListener('progress', ({ loaded }) => {
        upload.loaded = Math.min(loaded, upload.file.size)
        this.#onChange()
      })
      request.addEventListener('loadend', () => {
        upload.request = undefined
        resolve(outcome(request.status))
      })
      request.send(upload.file)
    })
  }

  /**
   * Makes sure that a folder below this one is there, and those above it.
   * @param {readonly string[]} path
   * @returns {Promise<import('./requests.js').Outcome>}
   */
  #folder(path) {
    if (path.length === 0) return Promise.resolve(outcome(200))
    const key = path.join('/')
    const known = this.#folders.get(key)
    if (known) return known
    const made = (async () => {
      const above = await this.#folder(path.slice(0, -1))
      if (!above.ok) return above
      const result = await ask('MKCOL', `${this.#base + path.map(segment).join('/')}/`)
      // 405: it is there already.
      return result.status === 405 ? outcome(200) : result
    })()
    this.#folders.set(key, made)
    return made
  }

  /** @param {Upload} upload */
  #conflict(upload) {
    this.#forget(upload)
    upload.loaded = 0
    this.#set(upload, 'asking')
    // The turn of this one is over: the others go on while the user thinks.
    this.#asking = this.#asking.then(async () => {
      if (upload.state !== 'asking') return
      const choice = this.#always ?? (await this.#askNow(upload))
      if (choice === 'skip') return this.#set(upload, 'skipped')
      if (choice === 'replace') upload.replace = true
      else upload.number++
      this.#set(upload, 'waiting')
      this.#next = 0
      this.#start()
    })
  }

  /** @param {Upload} upload */
  async #askNow(upload) {
    const more = this.uploads.some((other) => other !== upload && ['waiting', 'active', 'asking'].includes(other.state))
    // Once it is decided to keep both, the next number is tried without asking again.
    if (upload.number > 0) return 'keep'
    const { choice, always } = await this.#askConflict(upload.path.join('/'), more)
    if (always) this.#always = choice
    return choice
  }
}

/**
 * `photo.jpg` becomes `photo (2).jpg`.
 * @param {string} name
 * @param {number} number
 */
function numbered(name, number) {
  if (number === 0) return name
  const dot = name.lastIndexOf('.')
  const end = dot > 0 ? dot : name.length
  return `${name.slice(0, end)} (${number + 1})${name.slice(end)}`
}
