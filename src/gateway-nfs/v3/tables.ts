/**
 * Every procedure of NFS version 3 as RFC 1813 declares it: arguments and results as XDR tables, in the RFC's order.
 * They are the protocol: the server's codecs (op-*.ts, attributes.ts) are written by hand for speed and held against these by a test, and
 * our test client speaks by nothing else. Names follow our vocabulary.
 */
import { READDIR_ENTRIES_MAX, TRANSFER_MAX, WIRE_HANDLE_MAX, WIRE_STRING_MAX } from '../limits.ts'
import { procedure } from '../xdr/procedure.ts'
import {
  bool,
  fixed,
  list,
  nothing,
  opaque,
  optional,
  outcome,
  string,
  struct,
  uint32,
  uint64,
  union,
  type ValueOf,
} from '../xdr/types.ts'
import * as c from './constants.ts'

const handle = opaque(WIRE_HANDLE_MAX)
const name = string(WIRE_STRING_MAX)
const verifier = fixed(c.VERIFIER_BYTES)
const time = struct({ s: uint32, ns: uint32 })

/** fattr3: 84 bytes. */
export const attributes = struct({
  type: uint32,
  mode: uint32,
  nlink: uint32,
  uid: uint32,
  gid: uint32,
  size: uint64,
  used: uint64,
  rdevMajor: uint32,
  rdevMinor: uint32,
  fsid: uint64,
  fileid: uint64,
  atime: time,
  mtime: time,
  ctime: time,
})
export type Attributes = ValueOf<typeof attributes>

/** post_op_attr */
export const after = optional(attributes)
/** wcc_data */
export const change = struct({ before: optional(struct({ size: uint64, mtime: time, ctime: time })), after })

const timeToSet = union({ [c.DONT_CHANGE]: nothing, [c.SET_TO_SERVER_TIME]: nothing, [c.SET_TO_CLIENT_TIME]: time })
/** sattr3 */
export const attributesToSet = struct({
  mode: optional(uint32),
  uid: optional(uint32),
  gid: optional(uint32),
  size: optional(uint64),
  atime: timeToSet,
  mtime: timeToSet,
})
export type AttributesToSet = ValueOf<typeof attributesToSet>

const entryName = { dir: handle, name }
const created = outcome(struct({ object: optional(handle), attributes: after, dir: change }), struct({ dir: change }))
const objectAfter = struct({ object: after })
const dirChange = struct({ dir: change })

const device = struct({ attributes: attributesToSet, major: uint32, minor: uint32 })
const plainNode = struct({ attributes: attributesToSet })

export const procedures = {
  NULL: procedure(0, nothing, nothing),
  GETATTR: procedure(1, struct({ object: handle }), outcome(struct({ attributes }), struct({}))),
  SETATTR: procedure(
    2,
    struct({ object: handle, attributes: attributesToSet, guardCtime: optional(time) }),
    outcome(struct({ object: change }), struct({ object: change })),
  ),
  LOOKUP: procedure(
    3,
    struct(entryName),
    outcome(struct({ object: handle, attributes: after, dir: after }), struct({ dir: after })),
  ),
  ACCESS: procedure(
    4,
    struct({ object: handle, access: uint32 }),
    outcome(struct({ object: after, access: uint32 }), objectAfter),
  ),
  READLINK: procedure(
    5,
    struct({ object: handle }),
    outcome(struct({ object: after, target: string(WIRE_STRING_MAX) }), objectAfter),
  ),
  READ: procedure(
    6,
    struct({ object: handle, offset: uint64, count: uint32 }),
    outcome(struct({ object: after, count: uint32, eof: bool, data: opaque(TRANSFER_MAX) }), objectAfter),
  ),
  WRITE: procedure(
    7,
    struct({ object: handle, offset: uint64, count: uint32, stable: uint32, data: opaque(TRANSFER_MAX) }),
    outcome(struct({ object: change, count: uint32, committed: uint32, verifier }), struct({ object: change })),
  ),
  CREATE: procedure(
    8,
    struct({
      ...entryName,
      how: union({ [c.UNCHECKED]: attributesToSet, [c.GUARDED]: attributesToSet, [c.EXCLUSIVE]: verifier }),
    }),
    created,
  ),
  MKDIR: procedure(9, struct({ ...entryName, attributes: attributesToSet }), created),
  SYMLINK: procedure(
    10,
    struct({ ...entryName, attributes: attributesToSet, target: string(WIRE_STRING_MAX) }),
    created,
  ),
  MKNOD: procedure(
    11,
    struct({
      ...entryName,
      // an ftype3 that may not be made this way is answered BADTYPE, so its arm is known: empty
      what: union({ 1: nothing, 2: nothing, 3: device, 4: device, 5: nothing, 6: plainNode, 7: plainNode }),
    }),
    created,
  ),
  REMOVE: procedure(12, struct(entryName), outcome(dirChange, dirChange)),
  RMDIR: procedure(13, struct(entryName), outcome(dirChange, dirChange)),
  RENAME: procedure(
    14,
    struct({ fromDir: handle, fromName: name, toDir: handle, toName: name }),
    outcome(struct({ fromDir: change, toDir: change }), struct({ fromDir: change, toDir: change })),
  ),
  LINK: procedure(
    15,
    struct({ object: handle, ...entryName }),
    outcome(struct({ object: after, dir: change }), struct({ object: after, dir: change })),
  ),
  READDIR: procedure(
    16,
    struct({ dir: handle, cookie: uint64, verifier, count: uint32 }),
    outcome(
      struct({
        dir: after,
        verifier,
        entries: list(struct({ fileid: uint64, name, cookie: uint64 }), READDIR_ENTRIES_MAX),
        eof: bool,
      }),
      struct({ dir: after }),
    ),
  ),
  READDIRPLUS: procedure(
    17,
    struct({ dir: handle, cookie: uint64, verifier, nameBytes: uint32, replyBytes: uint32 }),
    outcome(
      struct({
        dir: after,
        verifier,
        entries: list(
          struct({ fileid: uint64, name, cookie: uint64, attributes: after, object: optional(handle) }),
          READDIR_ENTRIES_MAX,
        ),
        eof: bool,
      }),
      struct({ dir: after }),
    ),
  ),
  FSSTAT: procedure(
    18,
    struct({ object: handle }),
    outcome(
      struct({
        object: after,
        totalBytes: uint64,
        freeBytes: uint64,
        availableBytes: uint64,
        totalFiles: uint64,
        freeFiles: uint64,
        availableFiles: uint64,
        steadySeconds: uint32,
      }),
      objectAfter,
    ),
  ),
  FSINFO: procedure(
    19,
    struct({ object: handle }),
    outcome(
      struct({
        object: after,
        readMax: uint32,
        readPreferred: uint32,
        readMultiple: uint32,
        writeMax: uint32,
        writePreferred: uint32,
        writeMultiple: uint32,
        directoryPreferred: uint32,
        fileMax: uint64,
        timeDelta: time,
        properties: uint32,
      }),
      objectAfter,
    ),
  ),
  PATHCONF: procedure(
    20,
    struct({ object: handle }),
    outcome(
      struct({
        object: after,
        linkMax: uint32,
        nameMax: uint32,
        noTruncation: bool,
        chownRestricted: bool,
        caseInsensitive: bool,
        casePreserving: bool,
      }),
      objectAfter,
    ),
  ),
  COMMIT: procedure(
    21,
    struct({ object: handle, offset: uint64, count: uint32 }),
    outcome(struct({ object: change, verifier }), struct({ object: change })),
  ),
} as const

export type ProcedureName = keyof typeof procedures
export type ArgsOf<N extends ProcedureName> = ValueOf<(typeof procedures)[N]['args']>
export type ResultOf<N extends ProcedureName> = ValueOf<(typeof procedures)[N]['result']>
/** What a procedure gives on success. */
export type OkOf<N extends ProcedureName> =
  Extract<ResultOf<N>, { readonly status: 0 }> extends { ok: infer T } ? T : never
