/** Commands about the logical unit, not its blocks: is it there, how large is it, what can it do. */
import { encodeLun } from '../scsi/answers.ts'
import { type Answer, check, good, refuse, reply } from './answer.ts'
import type { ScsiTask } from './scsi-task.ts'
import { attentions, conditions, encodeSense } from './sense-data.ts'
import type { Unit } from './unit.ts'

export function testUnitReady(): Answer {
  return good
}

export function requestSense(unit: Unit, { cdb, origin }: ScsiTask): Answer {
  if ((cdb[1]! & 0x01) !== 0) return check(conditions.invalidCdb) // in descriptor form
  const attention = unit.takeAttention(origin.nexus)
  return reply(encodeSense(attention ? attentions[attention] : conditions.noSense), cdb[4]!)
}

/** Stops and starts; nothing is ejected, and conditions of power make no difference. */
export function startStopUnit(unit: Unit, { cdb }: ScsiTask): Answer {
  const [power, isStart, isEject] = [cdb[4]! >> 4, (cdb[4]! & 0x01) !== 0, (cdb[4]! & 0x02) !== 0]
  if (isEject) return check(conditions.invalidCdb)
  if (power === 0) unit.isStopped = !isStart
  return good
}

export function preventRemoval(): Answer {
  return good
}

export function readCapacity10({ medium }: Unit): Answer {
  const data = Buffer.alloc(8)
  data.writeUInt32BE(Math.min(medium.blocks - 1, 0xffffffff))
  data.writeUInt32BE(medium.blockSize, 4)
  return reply(data, data.length)
}

export function readCapacity16({ medium }: Unit, { cdb }: ScsiTask): Answer {
  const data = Buffer.alloc(32)
  data.writeBigUInt64BE(BigInt(medium.blocks - 1))
  data.writeUInt32BE(medium.blockSize, 8)
  data[14] = 0xc0 // LBPME, LBPRZ: unmapped blocks are zeroes
  return reply(data, cdb.readUInt32BE(10))
}

export function reportLuns({ identity }: Unit, { cdb }: ScsiTask): Answer {
  return listLuns(identity.luns(), cdb)
}

/** Also answered where there is no logical unit. */
export function listLuns(all: readonly number[], cdb: Buffer): Answer {
  const length = cdb.readUInt32BE(6)
  if (length < 16) refuse(conditions.invalidCdb)
  // 1: well-known ones, of which there are none
  const select = cdb[2]!
  if (select > 2) refuse(conditions.invalidCdb)
  const luns = (select === 1 ? [] : all).map(encodeLun)
  const head = Buffer.alloc(8)
  head.writeUInt32BE(8 * luns.length)
  return reply(Buffer.concat([head, ...luns]), length)
}

type KnownCommand = {
  readonly opcode: number
  readonly serviceAction?: number
  readonly usage: string
}

/** Seconds: none is named. Length, reserved, command specific, nominal, recommended. */
const TIMEOUTS = Buffer.from('000a00000000000000000000', 'hex')

export function reportOpcodes(
  commands: readonly KnownCommand[],
  withServiceAction: ReadonlySet<number>,
  cdb: Buffer,
): Answer {
  const [how, opcode, action] = [cdb[2]! & 0x07, cdb[3]!, cdb.readUInt16BE(4)]
  const hasTimeouts = (cdb[2]! & 0x80) !== 0
  const length = cdb.readUInt32BE(6)
  if (how === 0) {
    const parts = commands.map((command) => {
      const part = Buffer.alloc(8)
      part[0] = command.opcode
      part.writeUInt16BE(command.serviceAction ?? 0, 2)
      part[5] = (hasTimeouts ? 0x02 : 0) | (command.serviceAction === undefined ? 0 : 0x01)
      part.writeUInt16BE(command.usage.length / 2, 6)
      return hasTimeouts ? Buffer.concat([part, TIMEOUTS]) : part
    })
    const head = Buffer.alloc(4)
    head.writeUInt32BE(parts.reduce((sum, part) => sum + part.length, 0))
    return reply(Buffer.concat([head, ...parts]), length)
  }
  const hasAction = withServiceAction.has(opcode)
  // 1: without a service action; 2: with one; 3: with one where there are any
  if (how > 3 || (how === 1 && hasAction) || (how === 2 && !hasAction && commands.some((c) => c.opcode === opcode)))
    refuse(conditions.invalidCdb)
  const found = commands.find(
    (command) =>
      command.opcode === opcode && (hasAction ? command.serviceAction === action : how !== 3 || action === 0),
  )
  const usage = found ? Buffer.from(found.usage, 'hex') : Buffer.alloc(0)
  const head = Buffer.alloc(4)
  head[1] = (hasTimeouts && found ? 0x80 : 0) | (found ? 0x03 : 0x01)
  head.writeUInt16BE(usage.length, 2)
  return reply(Buffer.concat([head, usage, ...(hasTimeouts && found ? [TIMEOUTS] : [])]), length)
}
