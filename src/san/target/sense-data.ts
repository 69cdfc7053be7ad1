/** What a target answers when it does not do as it was told: sense data in its fixed form (SPC-4, 4.5.3). */
import { senseKey } from '../scsi/sense.ts'

export type CheckCondition = {
  readonly key: number
  readonly asc: number
  readonly ascq: number
  /** INFORMATION: where a comparison failed. */
  readonly information?: number
}

const { illegalRequest, unitAttention, abortedCommand } = senseKey
const MISCOMPARE = 0xe
const HARDWARE_ERROR = 0x4
const MEDIUM_ERROR = 0x3
const NOT_READY = senseKey.notReady

export const conditions = {
  invalidOpcode: { key: illegalRequest, asc: 0x20, ascq: 0x00 },
  lbaOutOfRange: { key: illegalRequest, asc: 0x21, ascq: 0x00 },
  invalidCdb: { key: illegalRequest, asc: 0x24, ascq: 0x00 },
  noSuchLun: { key: illegalRequest, asc: 0x25, ascq: 0x00 },
  invalidParameter: { key: illegalRequest, asc: 0x26, ascq: 0x00 },
  invalidRelease: { key: illegalRequest, asc: 0x26, ascq: 0x04 },
  parameterListLength: { key: illegalRequest, asc: 0x1a, ascq: 0x00 },
  savingUnsupported: { key: illegalRequest, asc: 0x39, ascq: 0x00 },
  writeProtected: { key: 0x7, asc: 0x27, ascq: 0x00 },
  notReady: { key: NOT_READY, asc: 0x04, ascq: 0x02 },
  readFailed: { key: MEDIUM_ERROR, asc: 0x11, ascq: 0x00 },
  writeFailed: { key: MEDIUM_ERROR, asc: 0x0c, ascq: 0x00 },
  internal: { key: HARDWARE_ERROR, asc: 0x44, ascq: 0x00 },
  dataLost: { key: abortedCommand, asc: 0x47, ascq: 0x05 },
  noSense: { key: 0, asc: 0, ascq: 0 },
} as const satisfies Record<string, CheckCondition>

/** Events that each nexus is told of by the next command that it sends. */
export const attentions = {
  'power-on': { key: unitAttention, asc: 0x29, ascq: 0x00 },
  reset: { key: unitAttention, asc: 0x29, ascq: 0x03 },
  'nexus-loss': { key: unitAttention, asc: 0x29, ascq: 0x07 },
  'mode-changed': { key: unitAttention, asc: 0x2a, ascq: 0x01 },
  'reservations-preempted': { key: unitAttention, asc: 0x2a, ascq: 0x03 },
  'reservations-released': { key: unitAttention, asc: 0x2a, ascq: 0x04 },
  'registrations-preempted': { key: unitAttention, asc: 0x2a, ascq: 0x05 },
  'capacity-changed': { key: unitAttention, asc: 0x2a, ascq: 0x09 },
  'commands-cleared': { key: unitAttention, asc: 0x2f, ascq: 0x00 },
} as const satisfies Record<string, CheckCondition>
export type AttentionName = keyof typeof attentions

export function miscompare(at: number): CheckCondition {
  return { key: MISCOMPARE, asc: 0x1d, ascq: 0x00, information: at }
}

export function encodeSense({ key, asc, ascq, information }: CheckCondition): Buffer {
  const sense = Buffer.alloc(18)
  sense[0] = information === undefined ? 0x70 : 0xf0
  sense[2] = key
  if (information !== undefined) sense.writeUInt32BE(information >>> 0, 3)
  sense[7] = sense.length - 8
  sense[12] = asc
  sense[13] = ascq
  return sense
}
