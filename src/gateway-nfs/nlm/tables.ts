/**
 * The Network Lock Manager, version 4 (X/Open XNFS 10 and 14; RFC 1813 appendix II), as tables. Versions 1 to 3 belong to NFS version 2,
 * which is not served here.
 */
import { procedure } from '../xdr/procedure.ts'
import { bool, int32, nothing, opaque, string, struct, uint32, uint64Exact, union, type ValueOf } from '../xdr/types.ts'

export const NLM_PROGRAM = 100021
export const NLM_V4 = 4

/** nlm4_stats */
export const NLM4_GRANTED = 0
export const NLM4_DENIED = 1
export const NLM4_DENIED_NOLOCKS = 2
export const NLM4_BLOCKED = 3
export const NLM4_DENIED_GRACE_PERIOD = 4
export const NLM4_DEADLCK = 5
export const NLM4_ROFS = 6
export const NLM4_STALE_FH = 7
export const NLM4_FBIG = 8
export const NLM4_FAILED = 9

/** fsh4_mode, what others are denied, and fsh4_access, what is wanted: reading, writing, both. */
export const SHARE_READ = 1
export const SHARE_WRITE = 2
const SHARE_BITS_MAX = 3

/** LM_MAXSTRLEN and MAXNETOBJ_SZ, bytes. */
export const NLM_NAME_MAX = 1024
export const NETOBJ_MAX = 1024

const netobj = opaque(NETOBJ_MAX)
const name = string(NLM_NAME_MAX)

/** nlm4_lock: whose process, which file, which bytes (length 0: to the end). */
const lock = struct({
  callerName: name,
  file: netobj,
  ownerHandle: netobj,
  svid: int32,
  offset: uint64Exact,
  length: uint64Exact,
})
export type NlmLock = ValueOf<typeof lock>

/** nlm4_holder */
const holder = struct({ exclusive: bool, svid: int32, ownerHandle: netobj, offset: uint64Exact, length: uint64Exact })
export type NlmHolder = ValueOf<typeof holder>

const testReply = union({
  ...{ [NLM4_GRANTED]: nothing, [NLM4_DENIED]: holder, [NLM4_DENIED_NOLOCKS]: nothing, [NLM4_BLOCKED]: nothing },
  ...{ [NLM4_DENIED_GRACE_PERIOD]: nothing, [NLM4_DEADLCK]: nothing, [NLM4_ROFS]: nothing, [NLM4_STALE_FH]: nothing },
  ...{ [NLM4_FBIG]: nothing, [NLM4_FAILED]: nothing },
})
export type NlmTestReply = { readonly kind: number; readonly value: NlmHolder | undefined }

const testArgs = struct({ cookie: netobj, exclusive: bool, lock })
const testResult = struct({ cookie: netobj, reply: testReply })
const lockArgs = struct({ cookie: netobj, block: bool, exclusive: bool, lock, reclaim: bool, state: int32 })
const cancelArgs = struct({ cookie: netobj, block: bool, exclusive: bool, lock })
const unlockArgs = struct({ cookie: netobj, lock })
const result = struct({ cookie: netobj, status: uint32 })

/** nlm4_share. Its two enumerations have two bits each. */
const bits = {
  encode: uint32.encode,
  decode: (from: Parameters<typeof uint32.decode>[0]) => from.upTo(SHARE_BITS_MAX),
}
const share = struct({ callerName: name, file: netobj, ownerHandle: netobj, deny: bits, access: bits })
const shareArgs = struct({ cookie: netobj, share, reclaim: bool })
const shareResult = struct({ cookie: netobj, status: uint32, sequence: int32 })
const notify = struct({ name, state: int32 })

export type NlmTestArgs = ValueOf<typeof testArgs>
export type NlmTestResult = ValueOf<typeof testResult>
export type NlmLockArgs = ValueOf<typeof lockArgs>
export type NlmCancelArgs = ValueOf<typeof cancelArgs>
export type NlmUnlockArgs = ValueOf<typeof unlockArgs>
export type NlmResult = ValueOf<typeof result>
export type NlmShareArgs = ValueOf<typeof shareArgs>

/** A message (_MSG) is answered by a call in the other direction (_RES): the reply to each is empty. */
export const nlmProcedures = {
  NULL: procedure(0, nothing, nothing),
  TEST: procedure(1, testArgs, testResult),
  LOCK: procedure(2, lockArgs, result),
  CANCEL: procedure(3, cancelArgs, result),
  UNLOCK: procedure(4, unlockArgs, result),
  GRANTED: procedure(5, testArgs, result),
  TEST_MSG: procedure(6, testArgs, nothing),
  LOCK_MSG: procedure(7, lockArgs, nothing),
  CANCEL_MSG: procedure(8, cancelArgs, nothing),
  UNLOCK_MSG: procedure(9, unlockArgs, nothing),
  GRANTED_MSG: procedure(10, testArgs, nothing),
  TEST_RES: procedure(11, testResult, nothing),
  LOCK_RES: procedure(12, result, nothing),
  CANCEL_RES: procedure(13, result, nothing),
  UNLOCK_RES: procedure(14, result, nothing),
  GRANTED_RES: procedure(15, result, nothing),
  SHARE: procedure(20, shareArgs, shareResult),
  UNSHARE: procedure(21, shareArgs, shareResult),
  NM_LOCK: procedure(22, lockArgs, result),
  FREE_ALL: procedure(23, notify, nothing),
} as const
