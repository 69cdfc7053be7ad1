/**
 * Floor 9: the NFS gateway. Its own ONC RPC (`rpc/`: record marking, messages, connections), XDR (`xdr/`: tables and
 * codecs), MOUNT (`mount/`) and NFS version 3 (`v3/`: one file per operation, one table of them). docs/nfs.md says what is served.
 */
export { defaultLimits, type NfsLimits } from './limits.ts'
export { type TlsMaterial, TlsOffer } from './rpc/tls.ts'
export { NfsServer, type NfsServerOptions, type NfsStatistics } from './server.ts'
