/**
 * The local mount: a filesystem of the matrix in a directory of the node's own machine, by the FUSE protocol on /dev/fuse. The
 * messages are in wire/, one operation per opcode in operations/; session.ts runs them, device.ts and mounting.ts deal
 * with the kernel. `docs/mount.md` says what is promised.
 */
export { FuseMount, type FuseMountOptions } from './fuse-mount.ts'
export { clearStaleMount } from './mounting.ts'
