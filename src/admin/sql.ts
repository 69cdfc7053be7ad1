/** Read-only SQL on the image of a filesystem as this node has it. */
import type * as v from 'valibot'
import { MatrixError } from '../base/errors.ts'
import type { AdminHost } from './admin-host.ts'
import type { SqlAnswer, sqlQuestion } from './api/answers.ts'
import type { ImageReader } from './image-reader.ts'

/** Longest time of a query, its process's start included, ms. */
export const SQL_LIMIT_MS = 5_000
export const SQL_ROWS = 1_000

/** Rejects as `ImageReader.query`, and with 'not-found'. */
export async function runSql(
  { mounts, self }: Pick<AdminHost, 'mounts' | 'self'>,
  reader: ImageReader,
  { filesystem, sql, maxRows = SQL_ROWS }: v.InferOutput<typeof sqlQuestion>,
): Promise<SqlAnswer> {
  const here = mounts().filter(({ state }) => state !== 'withdrawn')
  const names = here.map(({ record }) => record.name).join(', ') || 'none'
  const [only] = here.length === 1 ? here : []
  const mount = filesystem === undefined ? only : here.find(({ record }) => record.name === filesystem)
  if (!mount)
    throw new MatrixError(
      'not-found',
      filesystem === undefined
        ? `say which filesystem; this node has ${names}`
        : `no filesystem ${filesystem} is in service at this node; it has ${names}`,
    )
  const answer = await reader.query(mount.volume.imageFile, sql, { maxRows, ms: SQL_LIMIT_MS })
  return { node: self.name, filesystem: mount.record.name, ...answer }
}
