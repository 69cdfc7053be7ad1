/**
 * Floor 9: the NFS gateway. Its own ONC RPC (`rpc/`: record marking, messages, connections and
 * datagrams, calls of its own), XDR (`xdr/`: tables and codecs), NFS version 3 (`v3/`: one file per operation, one table of them), and its helpers:
 * MOUNT (`mount/`), locks (`nlm/`), restarts of clients and of this node (`nsm/`), how ports are found (`portmap/`). docs/nfs.md says what is served.
 */
export { defaultLimits, type NfsLimits } from './limits.ts'
export { MNT3_OK, MOUNT_PROGRAM, MOUNT_V3, mountProcedures } from './mount/tables.ts'
export { type PortmapMode, type PortmapOptions, portmapModes } from './portmap/portmapper.ts'
export { PORTMAP_PORT } from './portmap/tables.ts'
export { type TlsMaterial, TlsOffer } from './rpc/tls.ts'
export { NfsServer, type NfsServerOptions, type NfsStatistics } from './server.ts'
export * as nfs3 from './v3/constants.ts'
export {
  type ArgsOf,
  type Attributes,
  type AttributesToSet,
  type OkOf,
  type ProcedureName,
  procedures,
  type ResultOf,
} from './v3/tables.ts'
export { XdrReader } from './xdr/reader.ts'
export type { Xdr } from './xdr/types.ts'
export { XdrWriter } from './xdr/writer.ts'
