/** The Network Status Monitor, version 1 (X/Open XNFS 11), as tables. */
import { procedure } from '../xdr/procedure.ts'
import { fixed, int32, nothing, string, struct, uint32, type ValueOf } from '../xdr/types.ts'

export const NSM_PROGRAM = 100024
export const NSM_V1 = 1

export const STAT_SUCC = 0
export const STAT_FAIL = 1

/** SM_MAXSTRLEN, bytes. */
export const NSM_NAME_MAX = 1024
/** What a monitor's caller wants back with a notification, bytes. */
export const PRIVATE_BYTES = 16

const name = string(NSM_NAME_MAX)
const caller = struct({ name, program: uint32, version: uint32, procedure: uint32 })
const monitored = struct({ name, caller })
const statResult = struct({ status: uint32, state: int32 })
const stat = struct({ state: int32 })
const change = struct({ name, state: int32 })

/** What a local program is called with when a host it had monitored has restarted (`struct status`). */
export const statusCall = struct({ name, state: int32, private: fixed(PRIVATE_BYTES) })
export type NsmCaller = ValueOf<typeof caller>

export const nsmProcedures = {
  NULL: procedure(0, nothing, nothing),
  STAT: procedure(1, struct({ name }), statResult),
  MON: procedure(2, struct({ monitored, private: fixed(PRIVATE_BYTES) }), statResult),
  UNMON: procedure(3, monitored, stat),
  UNMON_ALL: procedure(4, caller, stat),
  SIMU_CRASH: procedure(5, nothing, nothing),
  NOTIFY: procedure(6, change, nothing),
} as const
