/** Port mapper version 2 and rpcbind versions 3 and 4 (RFC 1833), as tables. */
import { procedure } from '../xdr/procedure.ts'
import { bool, list, nothing, string, struct, uint32, type ValueOf } from '../xdr/types.ts'

export const PORTMAP_PROGRAM = 100000
export const PORTMAP_V2 = 2
export const RPCBIND_V3 = 3
export const RPCBIND_V4 = 4
/** Where every client asks. */
export const PORTMAP_PORT = 111

export const IPPROTO_TCP = 6
export const IPPROTO_UDP = 17

/** Entries of a list: more than any machine has programs. */
const ENTRIES_MAX = 1024
/** A netid, a universal address, an owner's name: longer than any, bytes. */
const TEXT_MAX = 256

const text = string(TEXT_MAX)
const mapping = struct({ program: uint32, version: uint32, protocol: uint32, port: uint32 })
export type Mapping = ValueOf<typeof mapping>

/** RPCB */
const binding = struct({ program: uint32, version: uint32, netid: text, address: text, owner: text })
export type Binding = ValueOf<typeof binding>

/** rpcb_entry: a transport by which a program can be reached. */
const entry = struct({ address: text, netid: text, semantics: uint32, family: text, protocol: text })
export type Entry = ValueOf<typeof entry>

/** CALLIT, 5, is not offered: it calls a program in somebody else's name, and answers more than it was asked. */
export const portmapProcedures = {
  NULL: procedure(0, nothing, nothing),
  SET: procedure(1, mapping, bool),
  UNSET: procedure(2, mapping, bool),
  GETPORT: procedure(3, mapping, uint32),
  DUMP: procedure(4, nothing, list(mapping, ENTRIES_MAX)),
} as const

/**
 * CALLIT (5) is not offered here either; nor are UADDR2TADDR and TADDR2UADDR (7, 8), which speak in the bytes of a machine's own socket addresses
 * and so are for programs on the same one.
 */
export const rpcbind3Procedures = {
  NULL: procedure(0, nothing, nothing),
  SET: procedure(1, binding, bool),
  UNSET: procedure(2, binding, bool),
  GETADDR: procedure(3, binding, text),
  DUMP: procedure(4, nothing, list(binding, ENTRIES_MAX)),
  GETTIME: procedure(6, nothing, uint32),
} as const

/** Without BCAST (5), INDIRECT (10) and GETSTAT (12). */
export const rpcbind4Procedures = {
  ...rpcbind3Procedures,
  GETVERSADDR: procedure(9, binding, text),
  GETADDRLIST: procedure(11, binding, list(entry, ENTRIES_MAX)),
} as const
