/** Numbers of the FUSE protocol (linux/fuse.h, version 7) and of Linux. Only what is used here has a name. */

export const FUSE_MAJOR = 7
/** The version whose message layouts are spoken; the kernel cuts what it does not know. */
export const FUSE_MINOR = 39
/** Older kernels (before 4.20) lack flags that the promises of docs/mount.md need. */
export const FUSE_MINOR_MIN = 28

export const opcodes = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  BATCH_FORGET: 42,
  RENAME2: 45,
  STATX: 52,
} as const

export type OpcodeName = keyof typeof opcodes

// INIT: what kernel and daemon agree on. Bits 32 and up travel in `flags2`, and are written here less 32.
export const FUSE_ASYNC_READ = 1 << 0
export const FUSE_POSIX_LOCKS = 1 << 1
export const FUSE_ATOMIC_O_TRUNC = 1 << 3
export const FUSE_BIG_WRITES = 1 << 5
export const FUSE_FLOCK_LOCKS = 1 << 10
export const FUSE_AUTO_INVAL_DATA = 1 << 12
export const FUSE_ASYNC_DIO = 1 << 15
export const FUSE_PARALLEL_DIROPS = 1 << 18
export const FUSE_MAX_PAGES = 1 << 22
export const FUSE_HANDLE_KILLPRIV_V2 = 1 << 28
export const FUSE_INIT_EXT = 1 << 30
export const FUSE2_DIRECT_IO_ALLOW_MMAP = 1 << (36 - 32)

// OPEN
export const FOPEN_DIRECT_IO = 1 << 0
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0

// RELEASE
export const FUSE_RELEASE_FLOCK_UNLOCK = 1 << 1

// GETLK, SETLK, SETLKW
export const FUSE_LK_FLOCK = 1 << 0
export const F_RDLCK = 0
export const F_WRLCK = 1
export const F_UNLCK = 2

// WRITE
export const FUSE_WRITE_CACHE = 1 << 0
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2

// SETATTR
export const FATTR_MODE = 1 << 0
export const FATTR_UID = 1 << 1
export const FATTR_GID = 1 << 2
export const FATTR_SIZE = 1 << 3
export const FATTR_ATIME = 1 << 4
export const FATTR_MTIME = 1 << 5
export const FATTR_ATIME_NOW = 1 << 7
export const FATTR_MTIME_NOW = 1 << 8
export const FATTR_KILL_SUIDGID = 1 << 11

// RENAME2
export const RENAME_NOREPLACE = 1

// STATX
export const STATX_BASIC_STATS = 0x7ff
export const STATX_BTIME = 0x800

// open(2)
export const O_EXCL = 0o200
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000
/** O_SYNC has this bit, too. */
export const O_DSYNC = 0o10000

// errno of Linux
export const EPERM = 1
export const ENOENT = 2
export const EINTR = 4
export const EIO = 5
export const EAGAIN = 11
export const EACCES = 13
export const EEXIST = 17
export const EXDEV = 18
export const ENOTDIR = 20
export const EISDIR = 21
export const EINVAL = 22
export const EFBIG = 27
export const ENOSPC = 28
export const EROFS = 30
export const EMLINK = 31
export const EDEADLK = 35
export const ENOLCK = 37
export const ENAMETOOLONG = 36
export const ENOSYS = 38
export const ENOTEMPTY = 39
export const ELOOP = 40
export const EPROTO = 71
export const EOPNOTSUPP = 95
export const ESTALE = 116
