/** Where an export is: `nfs://HOST[:PORT]/PATH[?mountport=PORT]`. */
import { MatrixError } from '../base/errors.ts'

export type NfsPlace = {
  readonly host: string
  readonly port: number
  /** Where MOUNT is asked for, when not at the same port (a matrix serves both at one). */
  readonly mountPort: number | undefined
  /** The export, or a directory in it. */
  readonly path: string
}

const NFS_PORT = 2049

export function isNfsUrl(text: string): boolean {
  return text.startsWith('nfs://')
}

/** Throws MatrixError `config` that says what is wrong. */
export function parseNfsUrl(text: string): NfsPlace {
  const bad = (what: string) =>
    new MatrixError('config', `${text}: ${what}; expected nfs://HOST[:PORT]/PATH, such as nfs://files:2049/home`)
  if (!isNfsUrl(text) || !URL.canParse(text)) throw bad('not an address of NFS')
  const { hostname, port, pathname, searchParams, username, hash } = new URL(text)
  if (hostname === '') throw bad('no host')
  if (username !== '' || hash !== '') throw bad('neither a user nor a fragment belongs there')
  for (const name of searchParams.keys()) if (name !== 'mountport') throw bad(`"${name}" is unknown`)
  const mountPort = searchParams.get('mountport')
  if (mountPort !== null && !/^[1-9]\d{0,4}$/.test(mountPort)) throw bad(`"${mountPort}" is not a port`)
  return {
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? NFS_PORT : Number(port),
    mountPort: mountPort === null ? undefined : Number(mountPort),
    path: decodeURIComponent(pathname.replace(/(?<=.)\/+$/, '')),
  }
}
