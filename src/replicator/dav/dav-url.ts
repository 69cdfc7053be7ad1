/** A directory of a WebDAV server: `https://[USER@]HOST[:PORT]/PATH[?password-file=FILE][&ca=FILE]`. */
import { readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { isLoopback } from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'

export type DavPlace = {
  /** Of the directory, with a slash at its end, percent-encoded. */
  readonly url: URL
  /** Value of `Authorization`; undefined where nobody is named. */
  readonly authorization: string | undefined
  /** Certificates that are trusted, PEM; undefined: those of the system. */
  readonly ca: string | undefined
}

const FORM = 'https://[USER@]HOST[:PORT]/PATH[?password-file=FILE&ca=FILE]'
const FILES = ['password-file', 'ca'] as const

export function isDavUrl(text: string): boolean {
  return /^https?:\/\//.test(text)
}

/** What is wrong with the address itself: throws MatrixError 'config'. Files are not looked at. */
export function checkDavUrl(text: string): URL {
  const bad = (what: string) => new MatrixError('config', `${text}: ${what}; expected ${FORM}`)
  if (!URL.canParse(text)) throw bad('no address')
  const url = new URL(text)
  if (url.password !== '')
    throw new MatrixError(
      'config',
      `${url.origin}: a password in an address is seen by all: name a file, ?password-file=FILE`,
    )
  if (url.hash !== '') throw bad('no fragment belongs there')
  for (const [name, file] of url.searchParams) {
    if (!FILES.some((known) => known === name)) throw bad(`"${name}" is unknown`)
    if (!isAbsolute(file)) throw bad(`${name} is an absolute path, not "${file}"`)
  }
  const named = url.username !== ''
  if (named !== url.searchParams.has('password-file')) throw bad('a user and a password-file go together')
  if (named && url.protocol === 'http:' && !isLoopback(url.hostname.replace(/^\[(.*)\]$/, '$1')))
    throw bad('passwords are sent by https only')
  return url
}

/** Throws MatrixError 'config', also when a file cannot be read. */
export function parseDavUrl(text: string): DavPlace {
  const url = checkDavUrl(text)
  const file = (name: (typeof FILES)[number]): string | undefined => {
    const path = url.searchParams.get(name)
    if (path === null) return undefined
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      throw new MatrixError('config', `${name}: ${path} cannot be read: ${String(error)}`)
    }
  }
  const [ca, password] = [file('ca'), file('password-file')?.split(/\r?\n/, 1)[0]]
  const user = decodeURIComponent(url.username)
  const plain = new URL(url.pathname.replace(/\/*$/, '/'), url.origin)
  return {
    url: plain,
    authorization:
      password === undefined ? undefined : `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
    ca,
  }
}
