/** FSSTAT (RFC 1813 3.3.18): true space and files, now. */
import type { FsStatistics, Inode } from '../../metadata/index.ts'
import { putAfter, readHandle } from './attributes.ts'
import { subject } from './filesystem-facts.ts'
import type { Operation, Targets } from './operation.ts'

type Result = { readonly inode: Inode; readonly statistics: FsStatistics }

export const fsstat: Operation<Targets, Result> = {
  name: 'FSSTAT',
  effect: 'read',
  failure: ['after'],
  decode: (from) => ({ object: readHandle(from) }),
  run: async (call, args) => ({ inode: await subject(call, args), statistics: await call.fs.statfs() }),
  encode(out, call, { inode, statistics }) {
    const { totalBytes, freeBytes, totalFiles, freeFiles } = statistics
    putAfter(out, call.fs, inode)
    // nothing is reserved for root: what is free is available
    for (const value of [totalBytes, freeBytes, freeBytes, totalFiles, freeFiles, freeFiles]) out.uint64(value)
    out.uint32(0) // other nodes may change it at any time
  },
}
