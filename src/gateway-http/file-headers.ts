/** What answers say of a file, with its content or without. */
import type { Inode } from '../metadata/index.ts'
import { etagOf, gzipTag } from './etag.ts'
import type { Version } from './file-pieces.ts'
import { formatHttpDate } from './http-date.ts'
import { type HttpExport, NO_CACHE } from './http-export.ts'
import { protectionOf } from './protection.ts'

/** What is sent of a file: which version of it, as what, and whether compressed. */
export type Representation = { readonly version: Version; readonly type: string; readonly isPacked: boolean }

export function fileHeaders(share: HttpExport, { version, type, isPacked }: Representation): Record<string, string> {
  return {
    ETag: isPacked ? gzipTag(version.etag) : version.etag,
    'Last-Modified': formatHttpDate(version.modifiedS),
    ...(!isPacked && { 'Accept-Ranges': 'bytes' }),
    'Cache-Control': share.cacheControl ?? NO_CACHE,
    ...protectionOf(type),
  }
}

/** What an answer says of a file that has just been stored. */
export function validatorsOfFile(inode: Inode): Record<string, string> {
  return { ETag: etagOf(inode), 'Last-Modified': formatHttpDate(inode.mtimeS) }
}
