/** Floor 7: what the gateways share: which filesystem is exported to whom, opaque file handles, and who a caller is. */
export * from './addresses.ts'
export * from './credentials.ts'
export * from './exports.ts'
export * from './handles.ts'
export * from './users/index.ts'
