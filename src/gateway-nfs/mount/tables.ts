/** The MOUNT protocol, version 3 (RFC 1813 appendix I), as tables. */
import { MOUNTS_MAX, WIRE_HANDLE_MAX } from '../limits.ts'
import { procedure } from '../xdr/procedure.ts'
import { array, list, nothing, opaque, outcome, string, struct, uint32, type ValueOf } from '../xdr/types.ts'

export const MOUNT_PROGRAM = 100005
export const MOUNT_V3 = 3

export const MNT3_OK = 0
export const MNT3ERR_NOENT = 2
export const MNT3ERR_IO = 5
export const MNT3ERR_ACCES = 13
export const MNT3ERR_NOTDIR = 20
export const MNT3ERR_INVAL = 22
export const MNT3ERR_NAMETOOLONG = 63
export const MNT3ERR_SERVERFAULT = 10006

/** Longest path and host name, bytes (MNTPATHLEN, MNTNAMLEN). */
export const PATH_BYTES_MAX = 1024
export const HOST_BYTES_MAX = 255

const path = string(PATH_BYTES_MAX)
const host = string(HOST_BYTES_MAX)

const mounted = outcome(struct({ object: opaque(WIRE_HANDLE_MAX), flavors: array(uint32, 16) }), struct({}))
export type MountResult = ValueOf<typeof mounted>

export const mountProcedures = {
  NULL: procedure(0, nothing, nothing),
  MNT: procedure(1, path, mounted),
  DUMP: procedure(2, nothing, list(struct({ host, path }), MOUNTS_MAX)),
  UMNT: procedure(3, path, nothing),
  UMNTALL: procedure(4, nothing, nothing),
  EXPORT: procedure(5, nothing, list(struct({ path, groups: list(host, 1024) }), 1024)),
} as const
