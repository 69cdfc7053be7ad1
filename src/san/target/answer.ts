/** What a logical unit makes of a command: an answer at once, or what has to be moved before it can be carried out. */
import { scsiStatus } from '../scsi/command.ts'
import { type CheckCondition, conditions } from './sense-data.ts'

export type Answer = {
  readonly status: number
  /** Goes with CHECK CONDITION. */
  readonly sense?: CheckCondition
  /** For the initiator. */
  readonly data?: readonly Uint8Array[]
}

export type Plan = {
  /** Bytes that the command takes from the initiator. */
  readonly wants: number
  /** `data`: what came of them, which may be less. Throws `Refused`. */
  readonly run: (data: readonly Uint8Array[]) => Promise<Answer>
}

export const good: Answer = { status: scsiStatus.good }

export function check(sense: CheckCondition): Answer {
  return { status: scsiStatus.checkCondition, sense }
}

/** Data cut to the allocation length of the command. */
export function reply(data: Buffer, allocationLength: number): Answer {
  return { status: scsiStatus.good, data: [data.subarray(0, allocationLength)] }
}

/** Ends a command from within with another answer than GOOD. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly answer: Answer
  constructor(answer: Answer) {
    super(`status ${answer.status}`)
    this.answer = answer
  }
}

export function refuse(sense: CheckCondition): never {
  throw new Refused(check(sense))
}

/** The parameter list of a command, which came whole or not at all. */
export function wholeList(data: readonly Uint8Array[], length: number): Buffer {
  const list =
    data.length === 1 ? Buffer.from(data[0]!.buffer, data[0]!.byteOffset, data[0]!.length) : Buffer.concat(data)
  return list.length < length ? refuse(conditions.parameterListLength) : list
}
