/**
 * Floor 5: the Matrix Filesystem. Its metadata is an image (image/) rebuilt from per-node journals (journal/, checkpoint/), its data
 * lies in extents (alloc/, cache/); fs/ is what gateways use.
 */
export * from './fs/matrix-fs.ts'
export * from './image/mutation.ts'
