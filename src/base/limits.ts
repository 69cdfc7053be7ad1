/** Limits with a name, a unit and a reason. What is on disk or wire depends on some of them: see docs/formats. */

/** Nodes of a matrix. Inode numbers carry the slot modulo this; lease sectors and journals are laid out by it. */
export const MAX_SLOTS = 64
/** Addresses at which the mesh of one node listens. */
export const MAX_NETWORKS = 4
/** Unit of allocation, of the data cache and of extents, bytes. */
export const BLOCK_SIZE = 4096
/** Sector that a device writes atomically is at least 512; everything written in place is padded to this, bytes. */
export const SECTOR_SIZE = 4096
/** Journal frames begin at multiples of this, bytes. */
export const JOURNAL_ALIGN = 512
/** Longest journal frame, bytes: bounds a reader's buffer and how far an unfinished last frame may reach. */
export const MAX_FRAME_BYTES = 4 * 1024 * 1024
/** Longest name of a directory entry, bytes (POSIX NAME_MAX). */
export const NAME_MAX = 255
/** Longest target of a symbolic link, bytes (POSIX PATH_MAX less the NUL). */
export const SYMLINK_MAX = 4095
/** Largest file, bytes: 16 TiB, sparse. */
export const FILE_MAX = 16 * 2 ** 40
/** Hard links to one inode. */
export const LINK_MAX = 65_000
/** Longest message of the mesh, bytes. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024
/** Largest inode number: eight times it, and a lock type, is a resource id below 2^53. */
export const INO_MAX = 2 ** 50 - 1

/** Longest URL of a LUN that one node tells another, characters. */
export const MAX_LUN_URL = 4096
