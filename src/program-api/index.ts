/**
 * Floor 10: a matrix for programs, published as `matrixfs/zenfs` (docs/program-api.md).
 *
 *     const matrix = await mountMatrix({ url: 'nfs://files/home' })
 *     await matrix.fs.promises.writeFile('/report.txt', 'done')
 *     await matrix.close()
 *
 * `Matrix` is the same as a backend of @zenfs/core, to be mounted among others.
 */

import { basename, dirname, join } from 'node:path/posix'
import { getegid, geteuid, getgroups } from 'node:process'
import { type Backend, type BoundContext, bindContext } from '@zenfs/core'
import { codeOf, type ErrorCode, failure } from './failure.ts'
import { MatrixFileSystem } from './matrix-filesystem.ts'
import { NfsClient } from './nfs-client.ts'
import { parseNfsUrl } from './nfs-url.ts'
import type { User } from './rpc-connection.ts'

export { AsyncFileSystem } from './async-filesystem.ts'
export { DirectClient } from './direct-client.ts'
export { codeOf, type ErrorCode, failure } from './failure.ts'
export { HostFileSystem } from './host-filesystem.ts'
export type { MatrixClient } from './matrix-client.ts'
export { MatrixFileSystem, type MatrixInode } from './matrix-filesystem.ts'
export { NfsClient } from './nfs-client.ts'
export { isNfsUrl, parseNfsUrl } from './nfs-url.ts'
export type { User } from './rpc-connection.ts'

export type MatrixOptions = {
  /** `nfs://HOST[:PORT]/EXPORT/PATH`: any node, or a virtual host. */
  readonly url: string
  /** In whose name; default: the user of this process. Exports may replace it (squash). */
  readonly user?: User
  /** A call without an answer fails with ETIMEDOUT after so long; it is repeated over new connections until then. Default: 60,000 ms. */
  readonly timeoutMs?: number
  /** How long a directory's name is believed; default: 1,000 ms. */
  readonly dirTtlMs?: number
}

const TIMEOUT_MS = 60_000

/** Rejects with MatrixError `config` for a wrong address, ECONNREFUSED when nobody listens, EACCES when the export does not admit this host. */
export async function openMatrix({
  url,
  user,
  timeoutMs = TIMEOUT_MS,
  dirTtlMs,
}: MatrixOptions): Promise<MatrixFileSystem<Buffer>> {
  const client = await NfsClient.connect({ ...parseNfsUrl(url), user: user ?? ownUser(), timeoutMs })
  const filesystem = new MatrixFileSystem(client, dirTtlMs === undefined ? {} : { dirTtlMs })
  await filesystem.ready()
  return filesystem
}

/** For `configure({ mounts: { '/matrix': { backend: Matrix, url: 'nfs://files/home' } } })`. */
export const Matrix: Backend<MatrixFileSystem<Buffer>, MatrixOptions> = {
  name: 'Matrix',
  options: {
    url: { type: 'string', required: true },
    user: { type: 'object', required: false },
    timeoutMs: { type: 'number', required: false },
    dirTtlMs: { type: 'number', required: false },
  },
  create: openMatrix,
}

export type MountedMatrix = {
  /** Like `node:fs`, with `promises`; no synchronous calls. */
  readonly fs: BoundContext['fs']
  readonly filesystem: MatrixFileSystem
  /** Ends the connection; what is open is of no use any more. */
  close(): Promise<void>
}

/** A matrix by itself: "/" is the directory that `url` names. */
export async function mountMatrix(options: MatrixOptions): Promise<MountedMatrix> {
  const user = options.user ?? ownUser()
  return mountFileSystem(await openMatrix({ ...options, user }), user)
}

/** The same for a filesystem that is there already. */
export function mountFileSystem(filesystem: MatrixFileSystem, user = ownUser()): MountedMatrix {
  const { uid, gid } = user
  const credentials = { uid, gid, euid: uid, egid: gid, suid: uid, sgid: gid, groups: [...(user.gids ?? [])] }
  const context = bindContext({ credentials, mounts: { '/': filesystem } })
  // the layer above does not see the links that the filesystem follows by itself
  const realpath = async (path: string): Promise<string> => {
    const found = await context.fs.promises.realpath(path)
    return found === '/' ? found : join(await filesystem.realDirectory(dirname(found)), basename(found))
  }
  // made in one step, where the layer above takes three
  const symlink = async (target: string, path: string): Promise<void> => {
    const absolute = context.path.resolve(path)
    try {
      await filesystem.symlink(target, join(await realpath(dirname(absolute)), basename(absolute)))
    } catch (error) {
      const code = codeOf(error) as ErrorCode | undefined
      throw code ? failure(code, `symlink '${target}' -> '${path}'`, error) : error
    }
  }
  const fs = {
    ...context.fs,
    symlink: (target: string, path: string, ...rest: unknown[]) => {
      const done = rest.at(-1) as (error?: unknown) => void
      symlink(target, path).then(() => done(), done)
    },
    promises: { ...context.fs.promises, symlink, realpath },
  } as BoundContext['fs']
  return { fs, filesystem, close: () => filesystem.close() }
}

/** That of this process. */
export function ownUser(): User {
  return { uid: geteuid?.() ?? 0, gid: getegid?.() ?? 0, gids: getgroups?.() ?? [] }
}
