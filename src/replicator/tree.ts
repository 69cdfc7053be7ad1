/** A tree that is copied from or to, by its address. */
import { isAbsolute } from 'node:path'
import type { FileSystem } from '@zenfs/core'
import { MatrixError } from '../base/errors.ts'
import { HostFileSystem, isNfsUrl, MatrixFileSystem, NfsClient, ownUser, parseNfsUrl } from '../program-api/index.ts'

/** What the replicator needs of a filesystem beyond what @zenfs/core has. Paths begin with "/", which is the tree's own directory; links are never followed. */
export interface Tree extends FileSystem {
  symlink(target: string, path: string): Promise<void>
  /** What was written to the file, or the names in the directory, are on stable storage; left out where an answer means that already. */
  flush?(path: string): Promise<void>
  close(): Promise<void>
}

/** Longest wait for an answer: a virtual host that moves is a pause, no error, ms. */
const TIMEOUT_MS = 120_000

export const addressForms = '/DIRECTORY, nfs://HOST[:PORT]/EXPORT/PATH'

/** Throws MatrixError 'config'. Of an NFS address it says nothing before it is opened. */
export function checkAddress(address: string): void {
  if (isNfsUrl(address)) parseNfsUrl(address)
  else if (!isAbsolute(address))
    throw new MatrixError('config', `address: found "${address}"; allowed is ${addressForms}`)
}

/** Rejects with MatrixError 'config', or with what the other side fails with. */
export async function openTree(address: string): Promise<Tree> {
  checkAddress(address)
  if (!isNfsUrl(address)) return new HostFileSystem(address)
  const client = await NfsClient.connect({ ...parseNfsUrl(address), user: ownUser(), timeoutMs: TIMEOUT_MS })
  const tree = new MatrixFileSystem(client, { follows: false })
  await tree.ready()
  return tree
}
