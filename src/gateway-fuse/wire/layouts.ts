/**
 * The messages of the FUSE protocol as tables: the one declaration of every offset that is read or written here. What is on
 * the device is of the host's byte order; only little-endian hosts are supported (mounting.ts refuses others). A name is
 * a byte string that ends in NUL, after the fixed part. `u53` marks every 64-bit number, signed ones and flags too: numbers
 * are put and taken by request.ts and reply.ts, which know no bounds.
 */
import { defineLayout, type Layout } from '../../base/layout.ts'

/** Before every request. */
export const inHeader = defineLayout([
  { name: 'len', type: 'u32', meaning: 'of the whole message' },
  { name: 'opcode', type: 'u32' },
  { name: 'unique', type: 'u53', meaning: 'given back in the reply' },
  { name: 'nodeid', type: 'u53', meaning: 'inode number of the object' },
  { name: 'uid', type: 'u32', meaning: 'of the caller, for access to files (fsuid)' },
  { name: 'gid', type: 'u32' },
  { name: 'pid', type: 'u32' },
  { name: 'total_extlen', type: 'u16' },
  { name: 'padding', type: 'u16' },
])

/** Before every reply. */
export const outHeader = defineLayout([
  { name: 'len', type: 'u32' },
  { name: 'error', type: 'i32', meaning: '0, or minus errno' },
  { name: 'unique', type: 'u53' },
])

export const attr = defineLayout([
  { name: 'ino', type: 'u53' },
  { name: 'size', type: 'u53' },
  { name: 'blocks', type: 'u53', meaning: 'of 512 bytes' },
  { name: 'atime', type: 'u53', meaning: 'seconds, signed; so are the next two' },
  { name: 'mtime', type: 'u53' },
  { name: 'ctime', type: 'u53' },
  { name: 'atimensec', type: 'u32' },
  { name: 'mtimensec', type: 'u32' },
  { name: 'ctimensec', type: 'u32' },
  { name: 'mode', type: 'u32', meaning: 'type and permission bits' },
  { name: 'nlink', type: 'u32' },
  { name: 'uid', type: 'u32' },
  { name: 'gid', type: 'u32' },
  { name: 'rdev', type: 'u32' },
  { name: 'blksize', type: 'u32' },
  { name: 'flags', type: 'u32' },
])

/** A name's answer: LOOKUP, and whatever makes a name. `attr` follows. */
export const entryOut = defineLayout([
  { name: 'nodeid', type: 'u53' },
  { name: 'generation', type: 'u53' },
  { name: 'entry_valid', type: 'u53', meaning: 'how long the kernel may believe the name, seconds: 0' },
  { name: 'attr_valid', type: 'u53', meaning: 'how long the attributes: 0' },
  { name: 'entry_valid_nsec', type: 'u32' },
  { name: 'attr_valid_nsec', type: 'u32' },
])

/** GETATTR and SETATTR. `attr` follows. */
export const attrOut = defineLayout([
  { name: 'attr_valid', type: 'u53' },
  { name: 'attr_valid_nsec', type: 'u32' },
  { name: 'dummy', type: 'u32' },
])

export const initIn = defineLayout([
  { name: 'major', type: 'u32' },
  { name: 'minor', type: 'u32' },
  { name: 'max_readahead', type: 'u32' },
  { name: 'flags', type: 'u32' },
  { name: 'flags2', type: 'u32', meaning: 'bits 32 and up; there when the message is long enough' },
])

export const initOut = defineLayout([
  { name: 'major', type: 'u32' },
  { name: 'minor', type: 'u32' },
  { name: 'max_readahead', type: 'u32' },
  { name: 'flags', type: 'u32' },
  { name: 'max_background', type: 'u16', meaning: 'requests that nobody waits for, under way at once' },
  { name: 'congestion_threshold', type: 'u16' },
  { name: 'max_write', type: 'u32' },
  { name: 'time_gran', type: 'u32', meaning: 'nanoseconds' },
  { name: 'max_pages', type: 'u16', meaning: 'of one request' },
  { name: 'map_alignment', type: 'u16' },
  { name: 'flags2', type: 'u32' },
  { name: 'unused', type: 'reserved', size: 28 },
])

export const setattrIn = defineLayout([
  { name: 'valid', type: 'u32' },
  { name: 'padding', type: 'u32' },
  { name: 'fh', type: 'u53' },
  { name: 'size', type: 'u53' },
  { name: 'lock_owner', type: 'u53' },
  { name: 'atime', type: 'u53' },
  { name: 'mtime', type: 'u53' },
  { name: 'ctime', type: 'u53' },
  { name: 'atimensec', type: 'u32' },
  { name: 'mtimensec', type: 'u32' },
  { name: 'ctimensec', type: 'u32' },
  { name: 'mode', type: 'u32' },
  { name: 'unused4', type: 'u32' },
  { name: 'uid', type: 'u32' },
  { name: 'gid', type: 'u32' },
  { name: 'unused5', type: 'u32' },
])

/** The name follows. */
export const mknodIn = defineLayout([
  { name: 'mode', type: 'u32' },
  { name: 'rdev', type: 'u32' },
  { name: 'umask', type: 'u32' },
  { name: 'padding', type: 'u32' },
])

/** The name follows. */
export const mkdirIn = defineLayout([
  { name: 'mode', type: 'u32' },
  { name: 'umask', type: 'u32' },
])

/** Both names follow. */
export const renameIn = defineLayout([{ name: 'newdir', type: 'u53' }])

/** Both names follow. */
export const rename2In = defineLayout([
  { name: 'newdir', type: 'u53' },
  { name: 'flags', type: 'u32' },
  { name: 'padding', type: 'u32' },
])

/** The name follows. */
export const linkIn = defineLayout([{ name: 'oldnodeid', type: 'u53' }])

/** What RELEASE says of the open file that is no more. */
export const releaseIn = defineLayout([
  { name: 'fh', type: 'u53' },
  { name: 'flags', type: 'u32' },
  { name: 'release_flags', type: 'u32' },
  { name: 'lock_owner', type: 'u53', meaning: 'of its flock, when release_flags say so; 64 bits that are no number' },
])

/** A descriptor is closed. */
export const flushIn = defineLayout([
  { name: 'fh', type: 'u53' },
  { name: 'unused', type: 'u32' },
  { name: 'padding', type: 'u32' },
  { name: 'lock_owner', type: 'u53', meaning: 'whose locks go: 64 bits that are no number' },
])

/** GETLK, SETLK, SETLKW. */
export const lockIn = defineLayout([
  { name: 'fh', type: 'u53' },
  { name: 'owner', type: 'u53', meaning: 'a process, or an open file: 64 bits that are no number' },
  { name: 'start', type: 'u53' },
  { name: 'end', type: 'u53', meaning: 'the last byte; 2^63-1: to the end of the file' },
  { name: 'type', type: 'u32', meaning: 'F_RDLCK, F_WRLCK, F_UNLCK' },
  { name: 'pid', type: 'u32' },
  { name: 'lk_flags', type: 'u32' },
  { name: 'padding', type: 'u32' },
])

export const lockOut = defineLayout([
  { name: 'start', type: 'u53' },
  { name: 'end', type: 'u53' },
  { name: 'type', type: 'u32' },
  { name: 'pid', type: 'u32', meaning: '0: of a process elsewhere' },
])

/** Whoever asked `unique` waits no longer, if he can help it. */
export const interruptIn = defineLayout([{ name: 'unique', type: 'u53' }])

export const openIn = defineLayout([
  { name: 'flags', type: 'u32', meaning: 'of open(2)' },
  { name: 'open_flags', type: 'u32' },
])

/** The name follows. */
export const createIn = defineLayout([
  { name: 'flags', type: 'u32' },
  { name: 'mode', type: 'u32' },
  { name: 'umask', type: 'u32' },
  { name: 'open_flags', type: 'u32' },
])

export const openOut = defineLayout([
  { name: 'fh', type: 'u53' },
  { name: 'open_flags', type: 'u32' },
  { name: 'backing_id', type: 'u32' },
])

/** READ and READDIR. */
export const readIn = defineLayout([
  { name: 'fh', type: 'u53' },
  { name: 'offset', type: 'u53' },
  { name: 'size', type: 'u32' },
  { name: 'read_flags', type: 'u32' },
  { name: 'lock_owner', type: 'u53' },
  { name: 'flags', type: 'u32' },
  { name: 'padding', type: 'u32' },
])

/** The data follows. */
export const writeIn = defineLayout([
  { name: 'fh', type: 'u53' },
  { name: 'offset', type: 'u53' },
  { name: 'size', type: 'u32' },
  { name: 'write_flags', type: 'u32' },
  { name: 'lock_owner', type: 'u53' },
  { name: 'flags', type: 'u32', meaning: 'of the open file, O_APPEND and O_DSYNC among them' },
  { name: 'padding', type: 'u32' },
])

export const writeOut = defineLayout([
  { name: 'size', type: 'u32' },
  { name: 'padding', type: 'u32' },
])

export const statfsOut = defineLayout([
  { name: 'blocks', type: 'u53' },
  { name: 'bfree', type: 'u53' },
  { name: 'bavail', type: 'u53' },
  { name: 'files', type: 'u53' },
  { name: 'ffree', type: 'u53' },
  { name: 'bsize', type: 'u32' },
  { name: 'namelen', type: 'u32' },
  { name: 'frsize', type: 'u32' },
  { name: 'padding', type: 'u32' },
  { name: 'spare', type: 'reserved', size: 24 },
])

/** The name follows, padded to a multiple of 8 bytes. */
export const dirent = defineLayout([
  { name: 'ino', type: 'u53' },
  { name: 'off', type: 'u53', meaning: 'the cookie to go on with' },
  { name: 'namelen', type: 'u32' },
  { name: 'type', type: 'u32', meaning: 'the type bits of st_mode, shifted right by 12' },
])

export const statxIn = defineLayout([
  { name: 'getattr_flags', type: 'u32' },
  { name: 'reserved', type: 'u32' },
  { name: 'fh', type: 'u53' },
  { name: 'sx_flags', type: 'u32' },
  { name: 'sx_mask', type: 'u32' },
])

export const statxOut = defineLayout([
  { name: 'attr_valid', type: 'u53' },
  { name: 'attr_valid_nsec', type: 'u32' },
  { name: 'flags', type: 'u32' },
  { name: 'spare', type: 'reserved', size: 16 },
  { name: 'mask', type: 'u32' },
  { name: 'blksize', type: 'u32' },
  { name: 'attributes', type: 'u53' },
  { name: 'nlink', type: 'u32' },
  { name: 'uid', type: 'u32' },
  { name: 'gid', type: 'u32' },
  { name: 'mode', type: 'u16' },
  { name: 'spare0', type: 'u16' },
  { name: 'ino', type: 'u53' },
  { name: 'size', type: 'u53' },
  { name: 'blocks', type: 'u53' },
  { name: 'attributes_mask', type: 'u53' },
  { name: 'atime', type: 'u53' },
  { name: 'atimensec', type: 'u32' },
  { name: 'reserved1', type: 'u32' },
  { name: 'btime', type: 'u53' },
  { name: 'btimensec', type: 'u32' },
  { name: 'reserved2', type: 'u32' },
  { name: 'ctime', type: 'u53' },
  { name: 'ctimensec', type: 'u32' },
  { name: 'reserved3', type: 'u32' },
  { name: 'mtime', type: 'u53' },
  { name: 'mtimensec', type: 'u32' },
  { name: 'reserved4', type: 'u32' },
  { name: 'rdev_major', type: 'u32' },
  { name: 'rdev_minor', type: 'u32' },
  { name: 'dev_major', type: 'u32' },
  { name: 'dev_minor', type: 'u32' },
  { name: 'spare2', type: 'reserved', size: 112 },
])

/** The offsets of a layout's fields, as constants: `const at = offsetsOf(readIn)`, then `at.offset`. */
export function offsetsOf<R>(layout: Layout<R>): Readonly<Record<keyof R & string, number>> {
  const rows = layout.describe().filter(({ type }) => type !== 'reserved')
  return Object.fromEntries(rows.map(({ name, offset }) => [name, offset])) as Record<keyof R & string, number>
}
