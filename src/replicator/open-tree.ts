/** A tree that is copied from or to, by its address. */
import { isAbsolute } from 'node:path'
import { MatrixError } from '../base/errors.ts'
import { HostFileSystem, isNfsUrl, MatrixFileSystem, NfsClient, ownUser, parseNfsUrl } from '../program-api/index.ts'
import { DavTree } from './dav/dav-tree.ts'
import { checkDavUrl, isDavUrl, parseDavUrl } from './dav/dav-url.ts'
import type { Tree } from './tree.ts'

/** Longest wait for an answer: a virtual host that moves is a pause, no error, ms. */
const TIMEOUT_MS = 120_000

export const addressForms = '/DIRECTORY, nfs://HOST[:PORT]/EXPORT/PATH'
export const targetForms = `${addressForms}, https://[USER@]HOST[:PORT]/PATH[?password-file=FILE&ca=FILE]`

/** Throws MatrixError 'config'. Whether anybody is there is known only when it is opened. */
export function checkAddress(address: string, use: 'from' | 'to'): void {
  if (isNfsUrl(address)) parseNfsUrl(address)
  else if (isDavUrl(address)) {
    checkDavUrl(address)
    if (use === 'from')
      throw new MatrixError(
        'config',
        `${address}: a WebDAV server can be copied to only; of a matrix, its NFS export can be copied from`,
      )
  } else if (!isAbsolute(address)) {
    const allowed = use === 'from' ? addressForms : targetForms
    throw new MatrixError('config', `address: found "${address}"; allowed is ${allowed}`)
  }
}

/** Rejects with MatrixError 'config', or with what the other side fails with. */
export async function openTree(address: string, use: 'from' | 'to'): Promise<Tree> {
  checkAddress(address, use)
  if (isDavUrl(address)) return new DavTree(parseDavUrl(address))
  if (!isNfsUrl(address)) return new HostFileSystem(address)
  const client = await NfsClient.connect({ ...parseNfsUrl(address), user: ownUser(), timeoutMs: TIMEOUT_MS })
  const tree = new MatrixFileSystem(client, { follows: false })
  await tree.ready()
  return tree
}
