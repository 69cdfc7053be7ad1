/**
 * Every command that a logical unit knows: what it wants of the medium, which bits of it count (REPORT SUPPORTED OPERATION CODES), and who
 * carries it out. The usage masks are those bits, byte by byte; their length is that of the command.
 */
import type { Answer, Plan } from './answer.ts'
import * as block from './block-commands.ts'
import type { FaultOperation } from './faults.ts'
import { inquiry } from './identity.ts'
import { modeSense6, modeSense10 } from './mode-pages.ts'
import * as reservation from './reservation-commands.ts'
import type { Access } from './reservation-state.ts'
import type { ScsiTask } from './scsi-task.ts'
import type { Unit } from './unit.ts'
import * as state from './unit-commands.ts'

export type Command = {
  readonly name: string
  readonly opcode: number
  readonly serviceAction?: number
  /** Bits that count; the first two bytes hold operation code and service action. Hexadecimal. */
  readonly usage: string
  readonly access: Access | ((cdb: Buffer) => Access)
  readonly operation?: FaultOperation
  /** Carried out although there is something to be told. */
  readonly ignoresAttention?: boolean
  /** Carried out although another has it by RESERVE(6). */
  readonly ignoresLegacy?: boolean
  readonly needsMedium?: boolean
  /** Refused when it is write-protected. */
  readonly changes?: boolean
  /** Throws `Refused`. */
  readonly plan: (unit: Unit, task: ScsiTask) => Answer | Plan
}

type Row = readonly [
  name: string,
  usage: string,
  access: Command['access'],
  plan: Command['plan'],
  more?: Partial<Command>,
]

const reads = { operation: 'read', needsMedium: true } as const
const writes = { operation: 'write', needsMedium: true, changes: true } as const
const flushes = { operation: 'flush', needsMedium: true } as const
const reserves = { operation: 'reserve' } as const
const always = { ignoresAttention: true, ignoresLegacy: true } as const

/** Starting is everybody's right, stopping is not. */
const startStopAccess = (cdb: Buffer): Access => ((cdb[4]! & 0xf1) === 0x01 ? 'any' : 'write')
const preventAccess = (cdb: Buffer): Access => ((cdb[4]! & 0x03) === 0 ? 'any' : 'write')

const rows: readonly Row[] = [
  ['TEST UNIT READY', '000000000007', 'any', state.testUnitReady, { needsMedium: true }],
  ['REQUEST SENSE', '03010000ff07', 'any', state.requestSense, always],
  ['READ(6)', '081fffffff07', 'read', block.read, reads],
  ['WRITE(6)', '0a1fffffff07', 'write', block.write, writes],
  ['INQUIRY', '1201ffffff07', 'any', inquiry, always],
  ['RESERVE(6)', '160000000007', 'any', reservation.reserve6, reserves],
  ['RELEASE(6)', '170000000007', 'any', reservation.release6, { ...reserves, ignoresLegacy: true }],
  ['MODE SENSE(6)', '1a08ffffff07', 'write', modeSense6],
  ['START STOP UNIT', '1b01000ff707', startStopAccess, state.startStopUnit],
  ['PREVENT ALLOW MEDIUM REMOVAL', '1e0000000307', preventAccess, state.preventRemoval],
  ['READ CAPACITY(10)', '25000000000000000007', 'any', state.readCapacity10, { needsMedium: true }],
  ['READ(10)', '2818ffffffff00ffff07', 'read', block.read, reads],
  ['WRITE(10)', '2a18ffffffff00ffff07', 'write', block.write, writes],
  ['WRITE AND VERIFY(10)', '2e16ffffffff00ffff07', 'write', block.writeAndVerify, writes],
  ['VERIFY(10)', '2f16ffffffff00ffff07', 'read', block.verify, reads],
  ['PRE-FETCH(10)', '3402ffffffff00ffff07', 'read', block.prefetch, reads],
  ['SYNCHRONIZE CACHE(10)', '3502ffffffff00ffff07', 'write', block.synchronizeCache, flushes],
  ['WRITE SAME(10)', '4108ffffffff00ffff07', 'write', block.writeSame, writes],
  ['UNMAP', '42000000000000ffff07', 'write', block.unmap, writes],
  ['MODE SENSE(10)', '5a18ffff000000ffff07', 'write', modeSense10],
  ['PERSISTENT RESERVE IN: READ KEYS', '5e000000000000ffff07', 'any', reservation.readKeys, reserves],
  ['PERSISTENT RESERVE IN: READ RESERVATION', '5e010000000000ffff07', 'any', reservation.readReservation, reserves],
  [
    'PERSISTENT RESERVE IN: REPORT CAPABILITIES',
    '5e020000000000ffff07',
    'any',
    reservation.reportCapabilities,
    reserves,
  ],
  ['PERSISTENT RESERVE IN: READ FULL STATUS', '5e030000000000ffff07', 'any', reservation.readFullStatus, reserves],
  ['PERSISTENT RESERVE OUT: REGISTER', '5f00ff0000ffffffff07', 'any', reservation.out, reserves],
  ['PERSISTENT RESERVE OUT: RESERVE', '5f01ff0000ffffffff07', 'any', reservation.out, reserves],
  ['PERSISTENT RESERVE OUT: RELEASE', '5f02ff0000ffffffff07', 'any', reservation.out, reserves],
  ['PERSISTENT RESERVE OUT: CLEAR', '5f03ff0000ffffffff07', 'any', reservation.out, reserves],
  ['PERSISTENT RESERVE OUT: PREEMPT', '5f04ff0000ffffffff07', 'any', reservation.out, reserves],
  ['PERSISTENT RESERVE OUT: PREEMPT AND ABORT', '5f05ff0000ffffffff07', 'any', reservation.out, reserves],
  ['PERSISTENT RESERVE OUT: REGISTER AND IGNORE', '5f06ff0000ffffffff07', 'any', reservation.out, reserves],
  ['PERSISTENT RESERVE OUT: REGISTER AND MOVE', '5f07ff0000ffffffff07', 'any', reservation.out, reserves],
  ['READ(16)', '8818ffffffffffffffffffffffff0007', 'read', block.read, reads],
  ['COMPARE AND WRITE', '8918ffffffffffffffff000000ff0007', 'write', block.compareAndWrite, writes],
  ['WRITE(16)', '8a18ffffffffffffffffffffffff0007', 'write', block.write, writes],
  ['ORWRITE(16)', '8b18ffffffffffffffffffffffff0007', 'write', block.orWrite, writes],
  ['WRITE AND VERIFY(16)', '8e16ffffffffffffffffffffffff0007', 'write', block.writeAndVerify, writes],
  ['VERIFY(16)', '8f16ffffffffffffffffffffffff0007', 'read', block.verify, reads],
  ['PRE-FETCH(16)', '9002ffffffffffffffffffffffff0007', 'read', block.prefetch, reads],
  ['SYNCHRONIZE CACHE(16)', '9102ffffffffffffffffffffffff0007', 'write', block.synchronizeCache, flushes],
  ['WRITE SAME(16)', '9309ffffffffffffffffffffffff0007', 'write', block.writeSame, writes],
  ['READ CAPACITY(16)', '9e100000000000000000ffffffff0007', 'any', state.readCapacity16, { needsMedium: true }],
  ['GET LBA STATUS', '9e12ffffffffffffffffffffffff0007', 'read', block.getLbaStatus, reads],
  ['REPORT LUNS', 'a000ff000000ffffffff0007', 'any', state.reportLuns, always],
  ['REPORT SUPPORTED OPERATION CODES', 'a30c87ffffffffffffff0007', 'any', reportOpcodes],
  ['READ(12)', 'a818ffffffffffffffff0007', 'read', block.read, reads],
  ['WRITE(12)', 'aa18ffffffffffffffff0007', 'write', block.write, writes],
  ['WRITE AND VERIFY(12)', 'ae16ffffffffffffffff0007', 'write', block.writeAndVerify, writes],
  ['VERIFY(12)', 'af16ffffffffffffffff0007', 'read', block.verify, reads],
]

/** Operation codes that stand for several commands, told apart by a service action. */
const WITH_SERVICE_ACTION = new Set([0x5e, 0x5f, 0x9e, 0xa3])

export const commands: readonly Command[] = rows.map(([name, usage, access, plan, more]) => {
  const bytes = Buffer.from(usage, 'hex')
  const opcode = bytes[0]!
  const serviceAction = WITH_SERVICE_ACTION.has(opcode) ? { serviceAction: bytes[1]! & 0x1f } : {}
  return { name, opcode, ...serviceAction, usage, access, plan, ...more }
})

const byCode = new Map(commands.map((command) => [codeOf(command.opcode, command.serviceAction), command]))

function codeOf(opcode: number, serviceAction = 0): number {
  return (opcode << 8) | (WITH_SERVICE_ACTION.has(opcode) ? serviceAction : 0)
}

/** Whether any command has this operation code. */
export function isKnown(opcode: number): boolean {
  return commands.some((command) => command.opcode === opcode)
}

export function commandOf(cdb: Buffer): Command | undefined {
  return byCode.get(codeOf(cdb[0]!, cdb[1]! & 0x1f))
}

function reportOpcodes(_unit: Unit, { cdb }: ScsiTask): Answer {
  return state.reportOpcodes(commands, WITH_SERVICE_ACTION, cdb)
}
