/** INIT: which version is spoken, and what kernel and daemon may ask of each other (docs/mount.md says why). */
import { MiB } from '../base/units.ts'
import * as c from './wire/constants.ts'
import { initIn, initOut, offsetsOf } from './wire/layouts.ts'
import type { Reply } from './wire/reply.ts'
import type { Request } from './wire/request.ts'

/** Longest READ and WRITE, bytes. */
export const MAX_TRANSFER = MiB
const PAGE = 4096
/** Requests that no program waits for, under way at once: read-ahead, asynchronous I/O. */
const MAX_BACKGROUND = 64

/**
 * What is asked for, as far as the kernel has it. Left out on purpose: caching of written data, of symbolic links and of listings
 * (another node may change them), POSIX ACLs.
 */
const FLAGS =
  c.FUSE_ASYNC_READ |
  c.FUSE_POSIX_LOCKS |
  c.FUSE_FLOCK_LOCKS |
  c.FUSE_ATOMIC_O_TRUNC |
  c.FUSE_BIG_WRITES |
  c.FUSE_AUTO_INVAL_DATA |
  c.FUSE_ASYNC_DIO |
  c.FUSE_PARALLEL_DIROPS |
  c.FUSE_MAX_PAGES |
  c.FUSE_HANDLE_KILLPRIV_V2 |
  c.FUSE_INIT_EXT
const FLAGS2 = c.FUSE2_DIRECT_IO_ALLOW_MMAP

const i = offsetsOf(initIn)
const o = offsetsOf(initOut)

/** 'again': the kernel is newer, and asks once more in our version. */
export type Outcome =
  | { readonly kind: 'agreed'; readonly kernel: string; readonly sharedMappings: boolean }
  | { readonly kind: 'again' }
  | { readonly kind: 'refused'; readonly kernel: string; readonly errno: number }

/** Puts the answer into `out`, which has begun. */
export function negotiate(request: Request, out: Reply): Outcome {
  const major = request.u32(i.major)
  const minor = request.u32(i.minor)
  const kernel = `${major}.${minor}`
  if (major < c.FUSE_MAJOR || (major === c.FUSE_MAJOR && minor < c.FUSE_MINOR_MIN)) {
    return { kind: 'refused', kernel, errno: c.EPROTO }
  }
  const at = out.take(initOut.size)
  out.u32(at + o.major, c.FUSE_MAJOR)
  out.u32(at + o.minor, c.FUSE_MINOR)
  if (major > c.FUSE_MAJOR) return { kind: 'again' }
  const flags = request.u32(i.flags)
  const extended = (flags & c.FUSE_INIT_EXT) !== 0 && request.bodyBytes >= initIn.size
  const flags2 = extended ? request.u32(i.flags2) & FLAGS2 : 0
  out.u32(at + o.max_readahead, request.u32(i.max_readahead))
  out.u32(at + o.flags, flags & FLAGS)
  out.u16(at + o.max_background, MAX_BACKGROUND)
  out.u16(at + o.congestion_threshold, (MAX_BACKGROUND * 3) / 4)
  out.u32(at + o.max_write, MAX_TRANSFER)
  out.u32(at + o.time_gran, 1)
  out.u16(at + o.max_pages, MAX_TRANSFER / PAGE)
  out.u32(at + o.flags2, flags2)
  return { kind: 'agreed', kernel, sharedMappings: (flags2 & c.FUSE2_DIRECT_IO_ALLOW_MMAP) !== 0 }
}
