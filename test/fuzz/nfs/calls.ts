/** Calls of every program that the NFS gateway serves, made from their tables, and what their replies have to look like. */
import type { Prng } from '../../../src/base/prng.ts'
import { MOUNT_PROGRAM, MOUNT_V3, mountProcedures } from '../../../src/gateway-nfs/mount/tables.ts'
import { NLM_PROGRAM, NLM_V4, nlmProcedures } from '../../../src/gateway-nfs/nlm/tables.ts'
import { NSM_PROGRAM, NSM_V1, nsmProcedures } from '../../../src/gateway-nfs/nsm/tables.ts'
import {
  PORTMAP_PROGRAM,
  PORTMAP_V2,
  portmapProcedures,
  RPCBIND_V3,
  RPCBIND_V4,
  rpcbind3Procedures,
  rpcbind4Procedures,
} from '../../../src/gateway-nfs/portmap/tables.ts'
import { NFS_PROGRAM, NFS_V3 } from '../../../src/gateway-nfs/v3/constants.ts'
import { procedures } from '../../../src/gateway-nfs/v3/tables.ts'
import type { Procedure } from '../../../src/gateway-nfs/xdr/procedure.ts'
import { XdrReader } from '../../../src/gateway-nfs/xdr/reader.ts'
import { XdrWriter } from '../../../src/gateway-nfs/xdr/writer.ts'
import { encodeCall } from '../../helpers/nfs-client.ts'
import { type Known, RandomReader } from './random-reader.ts'

type AnyProcedure = Procedure<unknown, unknown>

export type ServedProgram = {
  readonly name: string
  readonly number: number
  readonly version: number
  readonly procedures: readonly AnyProcedure[]
  /** Of all calls, so many parts. */
  readonly weight: number
}

const program = (name: string, number: number, version: number, table: object, weight: number): ServedProgram => ({
  ...{ name, number, version, weight, procedures: Object.values(table) as AnyProcedure[] },
})

export const servedPrograms: readonly ServedProgram[] = [
  program('NFS', NFS_PROGRAM, NFS_V3, procedures, 8),
  program('MOUNT', MOUNT_PROGRAM, MOUNT_V3, mountProcedures, 2),
  program('NLM', NLM_PROGRAM, NLM_V4, nlmProcedures, 6),
  program('NSM', NSM_PROGRAM, NSM_V1, nsmProcedures, 2),
  program('portmap', PORTMAP_PROGRAM, PORTMAP_V2, portmapProcedures, 1),
  program('rpcbind 3', PORTMAP_PROGRAM, RPCBIND_V3, rpcbind3Procedures, 1),
  program('rpcbind 4', PORTMAP_PROGRAM, RPCBIND_V4, rpcbind4Procedures, 1),
]

const byWeight = servedPrograms.flatMap((each) => Array.from({ length: each.weight }, () => each))
const users = [{ uid: 0, gid: 0 }, { uid: 0, gid: 0 }, { uid: 1000, gid: 1000, gids: [0, 1, 2] }, undefined]
/** The longest call: a WRITE of 70,000 bytes, names of a mebibyte cut to their limits. */
const room = new XdrWriter(Buffer.alloc(4 * 1024 * 1024))

export type MadeCall = {
  readonly program: ServedProgram
  readonly record: Buffer
  /** False: the tables allow what the protocol does not. */
  readonly isRight: boolean
}

/** A call as the tables have it, with arguments that may mean anything. */
export function makeCall(prng: Prng, known: Known): MadeCall {
  const program = prng.pick(byWeight)
  const procedure = prng.pick(program.procedures)
  room.at = 0
  procedure.args.encode(room, new RandomReader(prng, known).value(procedure.args))
  const args = Buffer.from(room.bytes.subarray(0, room.at))
  const xid = prng.uint32()
  const { number, version } = program
  const record = encodeCall({
    xid,
    program: number,
    version,
    procedure: procedure.number,
    user: prng.pick(users),
    args,
  })
  // how stable a WRITE is, is one of three, and a number in its table
  const isRight = !(program.number === NFS_PROGRAM && procedure.number === procedures.WRITE.number)
  return { program, record, isRight }
}

const MARK_BYTES = 4

/**
 * Throws unless `reply` (with its mark) is a reply to `call`: one record, its xid, and a result as the procedure's table has it. True when the call was
 * successful.
 */
export function checkReply(call: Buffer, reply: Buffer): boolean {
  const from = new XdrReader().reset(reply, 0, reply.length)
  must(from.uint32() === 0x80000000 + reply.length - MARK_BYTES, 'one record of one fragment')
  must(from.uint32() === call.readUInt32BE(0), 'the xid of the call')
  must(from.uint32() === 1, 'a reply')
  if (from.uint32() === 1) {
    must(from.remaining === 8 || from.remaining === 12, 'a denial')
    return false
  }
  must(from.uint32() === 0 && from.uint32() === 0, 'no verifier')
  const status = from.uint32()
  if (status !== 0) {
    must(status <= 4, `an accept status that may be (${status})`)
    must(from.remaining === (status === 2 ? 8 : 0), 'nothing after it')
    return false
  }
  const [number, version, procedure] = [12, 16, 20].map((at) => call.readUInt32BE(at))
  const program = servedPrograms.find((each) => each.number === number && each.version === version)
  const found = program?.procedures.find((each) => each.number === procedure)
  if (!found)
    throw new Error(`success of program ${number} version ${version} procedure ${procedure}, which there is not`)
  found.result.decode(from)
  must(from.remaining === 0, 'nothing after the result')
  return true
}

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(`the reply is not ${what}`)
}
