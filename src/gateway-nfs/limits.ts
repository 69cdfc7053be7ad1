/** Limits of the NFS gateway, each with a unit and a reason. */
import { KiB, MiB } from '../base/units.ts'

/** Largest READ and WRITE, bytes: what FSINFO tells clients (rtmax, wtmax). */
export const TRANSFER_MAX = MiB
/** What directory readers are advised to ask for at a time, bytes. */
export const DIRECTORY_PREFERRED = 64 * KiB
/** Longest RPC record, bytes: a WRITE of TRANSFER_MAX with the longest header. A longer one closes the connection. */
export const RECORD_MAX = TRANSFER_MAX + 16 * KiB
/** Longest datagram, bytes: what UDP over IPv4 carries. */
export const DATAGRAM_MAX = 65_507
/** Largest READ and WRITE in a datagram, bytes. */
export const DATAGRAM_TRANSFER_MAX = 32 * KiB
/** Calls by datagram under way at a time, all clients together; what comes above it is lost, as datagrams are. */
export const DATAGRAMS_IN_FLIGHT = 1024
/** Fragments of one record: bounds the work that empty fragments can cause. */
export const FRAGMENTS_MAX = 4096
/** Longest name or path on the wire, bytes; longer than any the filesystem takes, so that it says NAMETOOLONG. */
export const WIRE_STRING_MAX = 8 * KiB
/** Longest file handle, bytes (RFC 1813 NFS3_FHSIZE). */
export const WIRE_HANDLE_MAX = 64
/** Body of a credential or verifier, bytes (RFC 5531 8.2). */
export const AUTH_BODY_MAX = 400
/** Groups and machine name of AUTH_SYS (RFC 5531 appendix A). */
export const AUTH_SYS_GIDS_MAX = 16
export const AUTH_SYS_NAME_MAX = 255
/** Entries asked of the filesystem for one READDIR, and for one READDIRPLUS, which locks each inode. */
export const READDIR_ENTRIES_MAX = 8192
export const READDIRPLUS_ENTRIES_MAX = 1024
/** Remembered mounts (MOUNT DUMP is advice, RFC 1813 5.2.2); the oldest are forgotten. */
export const MOUNTS_MAX = 256
/** Remembered replies of one client; more than it may have in flight. */
export const REPLIES_PER_CLIENT = 512
/** Client ports whose replies are remembered; of more, those heard of longest ago are forgotten. */
export const REPLY_TABLES_MAX = 16_384
/** Replies are remembered this long after they left, ms: longer than clients wait before they send again. */
export const REPLY_LIFE_MS = 120_000

/** Locks that clients of one address wait for, and all together, at this node; a further one is DENIED_NOLOCKS. */
export const WAITS_PER_ADDRESS = 256
export const WAITS_MAX = 16_384
/** Messages (_MSG) whose result (_RES) is under way; a further one is lost, as messages are. */
export const MESSAGES_MAX = 1024
/** Share reservations at this node. */
export const SHARES_MAX = 65_536
/** A lock that is free so soon, ms, is granted in the reply, and a deadlock found so soon is told there. */
export const EARLY_GRANT_MS = 20
/** A client that a lock is granted to answers within this, ms; then it is told again, after pauses that grow from the first to the longest. */
export const GRANT_LIMIT_MS = 5_000
export const GRANT_PAUSE_FIRST_MS = 500
export const GRANT_PAUSE_LONGEST_MS = 30_000
/** Restarts of clients that are remembered, so that one which is told again frees nothing. */
export const HEARD_MAX = 4096
/** Hosts that programs of this machine have monitored. */
export const LOCAL_MONITORS_MAX = 256
/** Such programs are called at a time; what comes above it is lost. */
export const LOCAL_CALLS_MAX = 64
/** Clients are told of our restart, so many at a time, for this long, after pauses that grow from the first to the longest, ms. */
export const NOTIFY_AT_ONCE = 16
export const NOTIFY_FOR_MS = 15 * 60_000
export const NOTIFY_LIMIT_MS = 3_000
export const NOTIFY_PAUSE_FIRST_MS = 1_000
export const NOTIFY_PAUSE_LONGEST_MS = 60_000

/** Connections that this node keeps to clients it has called; one that nothing was sent over for this long is closed, ms. */
export const CALL_CONNECTIONS_MAX = 256
export const CALL_IDLE_MS = 60_000
/** A call by UDP is sent again after this, ms. */
export const CALL_RESEND_MS = 500

/** What an operator may want to set otherwise. */
export type NfsLimits = {
  /** Connections at a time; one more is refused. */
  readonly connections: number
  /** The same for clients of one address: who opens them without end leaves room for others. */
  readonly connectionsPerAddress: number
  /** Requests of one connection whose replies are not made yet; above it, nothing is read from it. */
  readonly inFlight: number
  /** Bytes of replies of one connection that wait for durability or for the client to read; above it, nothing is read from it. */
  readonly queuedBytes: number
  /** A connection that has begun a record must send some of it within this time, ms. */
  readonly halfRecordMs: number
  /** A connection without any request is closed after this, ms; clients connect again when they need to. */
  readonly idleMs: number
}

export const defaultLimits: NfsLimits = {
  connections: 4096,
  connectionsPerAddress: 1024,
  inFlight: 256,
  queuedBytes: 8 * MiB,
  halfRecordMs: 60_000,
  idleMs: 15 * 60_000,
}
