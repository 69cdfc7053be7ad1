/**
 * A session in the full feature phase, on its one connection, from the side of the target (RFC 7143, error recovery level 0). Whatever is not as it has
 * to be ends the connection, and with it the session and its commands: nothing is guessed.
 *
 * All that one chunk of requests gives at once is answered in one write. Of commands there are never more under way than the window
 * lets through, and each moves a bounded number of bytes, so memory is bounded, too.
 */
import { MatrixError } from '../../base/errors.ts'
import {
  IMMEDIATE,
  isAfter,
  NO_TAG,
  newBhs,
  next,
  opcodeOf,
  type Pdu,
  requestOpcode,
  responseOpcode,
  tagOf,
} from '../iscsi/pdu.ts'
import type { PduStream } from '../iscsi/pdu-stream.ts'
import { slice } from '../iscsi/task.ts'
import { encodeText, type Pair, parseText } from '../iscsi/text.ts'
import { scsiStatus } from '../scsi/command.ts'
import { type Answer, check, type Plan } from './answer.ts'
import type { Parameters } from './negotiation.ts'
import { ScsiTask, type TaskOrigin } from './scsi-task.ts'
import { conditions, encodeSense } from './sense-data.ts'
import { Transfer } from './transfer.ts'

/** What the target does for a session. */
export interface SessionService {
  /** The beginning of a command, which `run` carries on with once its data has arrived. */
  begin(task: ScsiTask, lun: Buffer): Answer | Plan
  run(task: ScsiTask, lun: Buffer, plan: Plan, data: readonly Uint8Array[]): void
  /** The response code (RFC 7143, 11.6.1), once nothing of what was aborted is under way. */
  manage(fn: number, lun: Buffer, task: ScsiTask | undefined): Promise<number>
  sendTargets(which: string): readonly Pair[]
  /** All commands of the session are ended. */
  loggingOut(): Promise<void>
}

export type ConnectionOptions = {
  readonly origin: TaskOrigin
  readonly isDiscovery: boolean
  readonly parameters: Parameters
  readonly cmdSn: number
  readonly statSn: number
  readonly window: number
  readonly service: SessionService
}

const FINAL = 0x80
const READ = 0x40
const WRITE = 0x20
const OVERFLOW = 0x04
const UNDERFLOW = 0x02
const WITH_STATUS = 0x01
const ORDERED = 2
const ABORT_TASK = 1

/** Immediate commands that may be under way beside those of the window. */
const MAX_IMMEDIATE = 32
/** PDUs that may wait while the cable is pulled. */
const MAX_HELD = 16_384

const rejection = { unsupported: 0x05, tooManyImmediate: 0x06 } as const

type Request = {
  readonly task: ScsiTask
  readonly tag: number
  readonly lun: Buffer
  /** Bytes that the initiator means to move. */
  readonly expected: number
  readonly flags: number
  readonly isImmediate: boolean
  plan: Plan | undefined
  transfer: Transfer | undefined
}

export class TargetConnection {
  readonly #pdus: PduStream
  readonly #options: ConnectionOptions
  readonly #requests = new Map<number, Request>()
  /** Non-immediate ones of them. */
  #underWay = 0
  #expCmdSn: number
  #statSn: number
  #lastTransferTag = 0
  /** While the cable is pulled: what has arrived, and what is to be sent. */
  #held: { readonly received: Pdu[]; readonly sent: (() => void)[] } | undefined
  #isLoggedOut = false

  constructor(pdus: PduStream, options: ConnectionOptions) {
    this.#pdus = pdus
    this.#options = options
    this.#expCmdSn = options.cmdSn
    this.#statSn = options.statSn
    pdus.onPdu = (pdu) => this.#arrive(pdu)
  }

  get underWay(): number {
    return this.#requests.size
  }

  tasks(): readonly ScsiTask[] {
    return [...this.#requests.values()].map(({ task }) => task)
  }

  end(reason: string): void {
    this.#pdus.end(reason)
  }

  /** Nothing passes any more, until `thaw`. */
  freeze(): void {
    this.#held ??= { received: [], sent: [] }
  }

  /** What has waited goes on as if nothing had been. */
  thaw(): void {
    const held = this.#held
    this.#held = undefined
    if (!held) return
    for (const send of held.sent) send()
    try {
      for (const pdu of held.received) this.#receive(pdu)
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      this.#pdus.end(error.message)
    }
  }

  /** Asks the initiator to log out, as a target does that is about to go. */
  requestLogout(seconds: number): void {
    const bhs = newBhs(responseOpcode.async, FINAL, NO_TAG)
    this.#number(bhs)
    bhs[36] = 1
    bhs.writeUInt16BE(seconds, 44)
    this.#send(bhs)
  }

  #arrive(pdu: Pdu): void {
    const held = this.#held?.received
    if (!held) this.#receive(pdu)
    else if (held.push(pdu) > MAX_HELD) this.#pdus.end('too much came while the cable was pulled')
  }

  #receive(pdu: Pdu): void {
    if (this.#isLoggedOut) return
    const { bhs } = pdu
    const opcode = opcodeOf(pdu)
    if (opcode === requestOpcode.dataOut) {
      this.#receiveData(pdu)
      return
    }
    const isImmediate = (bhs[0]! & IMMEDIATE) !== 0
    if (!isImmediate) {
      const cmdSn = bhs.readUInt32BE(24)
      // outside of the window it is ignored, as the RFC wants it
      if (isAfter(this.#expCmdSn, cmdSn) || isAfter(cmdSn, this.#maxCmdSn)) return
      if (cmdSn !== this.#expCmdSn)
        throw new MatrixError('protocol', `command ${cmdSn} came where ${this.#expCmdSn} was due: one was lost`)
      this.#expCmdSn = next(this.#expCmdSn)
    }
    const isForbidden =
      this.#options.isDiscovery && (opcode === requestOpcode.command || opcode === requestOpcode.taskManagement)
    if (isForbidden) this.#reject(pdu, rejection.unsupported)
    else if (opcode === requestOpcode.command) this.#receiveCommand(pdu, isImmediate)
    else if (opcode === requestOpcode.nopOut) this.#receiveNop(pdu)
    else if (opcode === requestOpcode.taskManagement) void this.#manage(pdu)
    else if (opcode === requestOpcode.text) this.#receiveText(pdu)
    else if (opcode === requestOpcode.logout) void this.#logout(pdu)
    else this.#reject(pdu, rejection.unsupported)
  }

  #receiveCommand(pdu: Pdu, isImmediate: boolean): void {
    const { bhs, data } = pdu
    const tag = tagOf(pdu)
    const { parameters, service, origin } = this.#options
    if (this.#requests.has(tag)) throw new MatrixError('protocol', `task tag ${tag} is under way already`)
    if (isImmediate && this.#requests.size - this.#underWay >= MAX_IMMEDIATE) {
      this.#reject(pdu, rejection.tooManyImmediate)
      return
    }
    const [flags, expected, lun] = [bhs[1]!, bhs.readUInt32BE(20), bhs.subarray(8, 16)]
    const isFinal = (flags & FINAL) !== 0
    const isWrite = (flags & WRITE) !== 0
    if (data.length > 0 && (!parameters.immediateData || data.length > Math.min(parameters.firstBurstBytes, expected)))
      throw new MatrixError('protocol', `${data.length} bytes of immediate data; that many were not agreed upon`)
    if (!isFinal && (parameters.initialR2t || !isWrite))
      throw new MatrixError('protocol', 'data is to follow that was not asked for, which was not agreed upon')
    const isOrdered = (flags & 0x07) === ORDERED
    // the task ends only after the request is known
    const task: ScsiTask = new ScsiTask(
      origin,
      bhs.subarray(32, 48),
      { isOrdered, expectedBytes: expected },
      (answer) => this.#end(request, answer),
    )
    const request: Request = { task, tag, lun, expected, flags, isImmediate, plan: undefined, transfer: undefined }
    this.#requests.set(tag, request)
    if (!isImmediate) this.#underWay++
    const plan = service.begin(task, lun)
    if (!('run' in plan)) {
      task.end(plan)
      return
    }
    request.plan = plan
    request.transfer = new Transfer(plan.wants, isWrite ? expected : 0, isFinal, parameters)
    request.transfer.takeImmediate(data)
    this.#carryOn(request)
  }

  #receiveData(pdu: Pdu): void {
    const request = this.#requests.get(tagOf(pdu))
    // of a command that was answered or aborted meanwhile
    if (!request?.transfer || request.task.isRunning) return
    if (request.transfer.take(pdu)) this.#carryOn(request)
    else request.task.end(check(conditions.dataLost))
  }

  /** Asks for more data, or carries the command out. */
  #carryOn(request: Request): void {
    const { transfer, plan, task, tag, lun } = request
    if (!transfer || !plan) return
    if (transfer.isComplete) {
      this.#options.service.run(task, lun, plan, transfer.pieces)
      return
    }
    for (const burst of transfer.ask(() => this.#newTransferTag())) {
      const bhs = newBhs(responseOpcode.r2t, FINAL, tag)
      lun.copy(bhs, 8)
      bhs.writeUInt32BE(burst.transferTag, 20)
      bhs.writeUInt32BE(this.#statSn, 24)
      this.#window(bhs)
      bhs.writeUInt32BE(burst.sn, 36)
      bhs.writeUInt32BE(burst.from, 40)
      bhs.writeUInt32BE(burst.to - burst.from, 44)
      this.#send(bhs)
    }
  }

  /** `answer`: undefined when the initiator is told nothing. */
  #end(request: Request, answer: Answer | undefined): void {
    this.#requests.delete(request.tag)
    if (!request.isImmediate) this.#underWay--
    if (answer && this.#pdus.ended === undefined && !this.#isLoggedOut) this.#answer(request, answer)
  }

  #answer({ tag, expected, flags, plan, transfer }: Request, { status, sense, data = [] }: Answer): void {
    const isGood = status === scsiStatus.good
    const available = data.reduce((sum, { length }) => sum + length, 0)
    /** What the command takes, or gives. */
    const size = plan?.wants || available
    const residual = (isGood ? size : Math.min(size, expected)) - expected
    const residualFlag = residual > 0 ? OVERFLOW : residual < 0 ? UNDERFLOW : 0
    const sendable = (flags & READ) !== 0 ? Math.min(available, expected) : 0
    let dataSn = 0
    if (sendable > 0)
      dataSn = this.#sendData(tag, data, sendable, isGood ? { status, residual, residualFlag } : undefined)
    if (sendable > 0 && isGood) return
    const bhs = newBhs(responseOpcode.response, FINAL | residualFlag, tag)
    bhs[3] = status
    this.#number(bhs)
    bhs.writeUInt32BE(transfer ? 0 : dataSn, 36)
    bhs.writeUInt32BE(Math.abs(residual), 44)
    const bytes = sense ? encodeSense(sense) : undefined
    this.#send(bhs, bytes ? [Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes] : [])
  }

  /** With the status in the last PDU, where it is good. Gives the number of PDUs. */
  #sendData(
    tag: number,
    data: readonly Uint8Array[],
    length: number,
    end: { readonly status: number; readonly residual: number; readonly residualFlag: number } | undefined,
  ): number {
    const { maxSendBytes, maxBurstBytes } = this.#options.parameters
    let dataSn = 0
    for (let at = 0; at < length; dataSn++) {
      const burstEnd = Math.min((Math.floor(at / maxBurstBytes) + 1) * maxBurstBytes, length)
      const to = Math.min(at + maxSendBytes, burstEnd)
      const bhs = newBhs(responseOpcode.dataIn, to === burstEnd ? FINAL : 0, tag)
      bhs.writeUInt32BE(NO_TAG, 20)
      if (end && to === length) {
        bhs[1]! |= WITH_STATUS | end.residualFlag
        bhs[3] = end.status
        this.#number(bhs)
        bhs.writeUInt32BE(Math.abs(end.residual), 44)
      } else {
        this.#window(bhs)
      }
      bhs.writeUInt32BE(dataSn, 36)
      bhs.writeUInt32BE(at, 40)
      this.#send(bhs, slice(data, at, to))
      at = to
    }
    return dataSn
  }

  #receiveNop(pdu: Pdu): void {
    const tag = tagOf(pdu)
    if (tag === NO_TAG) return
    const bhs = newBhs(responseOpcode.nopIn, FINAL, tag)
    bhs.writeUInt32BE(NO_TAG, 20)
    this.#number(bhs)
    this.#send(bhs, pdu.data.length > 0 ? [pdu.data.subarray(0, this.#options.parameters.maxSendBytes)] : [])
  }

  async #manage(pdu: Pdu): Promise<void> {
    const { bhs } = pdu
    const fn = bhs[1]! & 0x7f
    const task = fn === ABORT_TASK ? this.#requests.get(bhs.readUInt32BE(20))?.task : undefined
    const code = await this.#options.service.manage(fn, bhs.subarray(8, 16), task)
    const response = newBhs(responseOpcode.taskManagement, FINAL, tagOf(pdu))
    response[2] = code
    this.#number(response)
    this.#send(response)
  }

  #receiveText(pdu: Pdu): void {
    const { bhs, data } = pdu
    const { parameters, service } = this.#options
    // of one PDU each: what is asked here is short, and so is the answer
    if ((bhs[1]! & FINAL) === 0 || bhs.readUInt32BE(20) !== NO_TAG) {
      this.#reject(pdu, rejection.unsupported)
      return
    }
    const answers = parseText(data, 'initiator').flatMap(([key, value]): readonly Pair[] =>
      key === 'SendTargets' ? service.sendTargets(value) : [[key, 'NotUnderstood']],
    )
    const response = newBhs(responseOpcode.text, FINAL, tagOf(pdu))
    bhs.copy(response, 8, 8, 16)
    response.writeUInt32BE(NO_TAG, 20)
    this.#number(response)
    const text = encodeText(answers)
    if (text.length > parameters.maxSendBytes) throw new MatrixError('protocol', 'the answer does not fit in one PDU')
    this.#send(response, text.length > 0 ? [text] : [])
  }

  async #logout(pdu: Pdu): Promise<void> {
    const reason = pdu.bhs[1]! & 0x7f
    const response = newBhs(responseOpcode.logout, FINAL, tagOf(pdu))
    // 2: to recover commands of the connection, which this error recovery level does not know
    const isRefused = reason > 1
    if (!isRefused) {
      await this.#options.service.loggingOut()
      if (this.#pdus.ended !== undefined) return
    }
    response[2] = isRefused ? 2 : 0
    this.#number(response)
    this.#send(response)
    this.#isLoggedOut ||= !isRefused
  }

  #reject(pdu: Pdu, reason: number): void {
    const bhs = newBhs(responseOpcode.reject, FINAL, NO_TAG)
    bhs[2] = reason
    this.#number(bhs)
    this.#send(bhs, [Buffer.from(pdu.bhs)])
  }

  get #maxCmdSn(): number {
    return (this.#expCmdSn + this.#options.window - 1 - this.#underWay) >>> 0
  }

  /** With a status: it has a number of its own. */
  #number(bhs: Buffer): void {
    bhs.writeUInt32BE(this.#statSn, 24)
    this.#statSn = next(this.#statSn)
    this.#window(bhs)
  }

  #window(bhs: Buffer): void {
    bhs.writeUInt32BE(this.#expCmdSn, 28)
    bhs.writeUInt32BE(this.#maxCmdSn, 32)
  }

  #send(bhs: Buffer, data: readonly Uint8Array[] = []): void {
    if (this.#held) this.#held.sent.push(() => this.#pdus.send(bhs, data))
    else this.#pdus.send(bhs, data)
  }

  #newTransferTag(): number {
    this.#lastTransferTag = (this.#lastTransferTag + 1) % NO_TAG
    return this.#lastTransferTag
  }
}
