/** WebDAV's part of the Matrix Filesystem; `dav-fs.ts` says what it is. */
export * from './dav-fs.ts'
export { DavVerbs } from './dav-verbs.ts'
export { LockSweeper } from './sweeper.ts'
