/**
 * A session in the full feature phase, on its one connection (RFC 7143, error recovery level 0): commands within the window that the
 * target grants, data in both directions, and everything else that a target may say. Whatever is not as it has to be ends the connection, and
 * with it the session: nothing is guessed, nothing is written to the wrong place.
 *
 * A command that has no answer at its deadline is aborted at the target, and nothing of a write begins to leave from then on, not even by a process
 * that stood still meanwhile (pdu-stream.ts). Only when the target says that it is gone, so that it will never land any more, is it rejected by
 * itself; if the target does not say so either, the connection ends, with a reset.
 *
 * When it ends, everything under way rejects with `ConnectionLost`: it may or may not have been executed, or be yet.
 */
import { MatrixError } from '../../base/errors.ts'
import type { Clock, Timer } from '../../platform/clock.ts'
import type { ScsiAnswer, ScsiCommand } from '../scsi/command.ts'
import type { SessionParameters } from './login.ts'
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
} from './pdu.ts'
import type { PduStream } from './pdu-stream.ts'
import { slice, Task } from './task.ts'

export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost'
}

/** The command is gone: it was never sent over this connection, it has been answered, or the target has confirmed that it has aborted it. */
export class CommandAborted extends Error {
  override readonly name = 'CommandAborted'
}

export type ConnectionTimings = {
  /** A target that says nothing for so long is asked for a sign of life, ms. */
  readonly idleMs: number
  /** That, an abort, or a logout has to be answered within this time, ms. */
  readonly answerMs: number
}

const FINAL = 0x80
const READ = 0x40
const WRITE = 0x20
const SIMPLE = 0x01
const ABORT_TASK = 1
const FUNCTION_COMPLETE = 0
const NO_SUCH_TASK = 1
const OUT_OF_TURN = 'it was not its turn before its deadline'

export class Connection {
  /** Called exactly once. */
  onEnd: (reason: string) => void = () => {}
  readonly #pdus: PduStream
  readonly #parameters: SessionParameters
  readonly #lun: Buffer
  readonly #clock: Clock
  readonly #timings: ConnectionTimings
  readonly #timer: Timer
  readonly #tasks = new Map<number, Task>()
  /** Beyond the window. */
  readonly #waiting: Task[] = []
  /** By the tag of the request to abort it. */
  readonly #aborts = new Map<number, { readonly tag: number; readonly task: Task }>()
  #nextTag = 0
  #cmdSn: number
  #maxCmdSn: number
  #statSn: number
  #heardAt: number
  #pingAt: number | undefined
  #loggedOut: (() => void) | undefined
  #drained: (() => void) | undefined

  constructor(
    pdus: PduStream,
    parameters: SessionParameters,
    lun: Buffer,
    { clock, timings }: { readonly clock: Clock; readonly timings: ConnectionTimings },
  ) {
    this.#pdus = pdus
    this.#parameters = parameters
    this.#lun = lun
    this.#clock = clock
    this.#timings = timings
    this.#cmdSn = parameters.cmdSn
    this.#maxCmdSn = parameters.maxCmdSn
    this.#statSn = parameters.statSn
    this.#heardAt = clock.now()
    this.#timer = clock.every(Math.max(1, timings.answerMs / 4), () => this.#look())
    pdus.onPdu = (pdu) => this.#receive(pdu)
    pdus.placeOf = (bhs, bytes) => this.#placeOf(bhs, bytes)
    pdus.onEnd = (reason) => this.#ended(reason)
  }

  get portalGroup(): string | undefined {
    return this.#parameters.portalGroup
  }

  get ended(): string | undefined {
    return this.#pdus.ended
  }

  /** Rejects with ConnectionLost, or CommandAborted at its deadline. */
  execute(command: ScsiCommand, deadlineAt: number): Promise<ScsiAnswer> {
    if (this.#pdus.ended !== undefined) return Promise.reject(new ConnectionLost(this.#pdus.ended))
    return new Promise((resolve, reject) => {
      this.#waiting.push(new Task(command, deadlineAt, { resolve, reject }))
      this.#sendWaiting()
    })
  }

  /** Resolves once nothing is under way; whoever asks starts nothing more. */
  drained(): Promise<void> {
    if (this.#tasks.size + this.#waiting.length === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#drained = resolve
    })
  }

  /** Ends it at once. */
  end(reason: string): void {
    this.#pdus.end(reason)
  }

  /** Takes leave of the target, then ends it. */
  async logout(): Promise<void> {
    if (this.#pdus.ended !== undefined) return
    const bhs = newBhs(requestOpcode.logout | IMMEDIATE, FINAL, this.#newTag())
    this.#number(bhs)
    await new Promise<void>((resolve) => {
      const limit = this.#clock.after(this.#timings.answerMs, resolve)
      this.#loggedOut = () => {
        limit.cancel()
        resolve()
      }
      this.#pdus.send(bhs)
    })
    this.#pdus.end('logged out')
  }

  #sendWaiting(): void {
    const now = this.#clock.now()
    while (this.#waiting.length > 0 && !isAfter(this.#cmdSn, this.#maxCmdSn)) {
      const task = this.#waiting.shift()!
      if (now < task.deadlineAt) this.#sendCommand(task)
      else task.end.reject(new CommandAborted(OUT_OF_TURN))
    }
  }

  #sendCommand(task: Task): void {
    const { command, size } = task
    const { write } = command
    const { immediateData, initialR2t, firstBurstBytes, maxSendBytes } = this.#parameters
    const tag = this.#newTag()
    this.#tasks.set(tag, task)
    const immediate = write && immediateData ? Math.min(size, firstBurstBytes, maxSendBytes) : 0
    const unasked = write && !initialR2t ? Math.min(size, firstBurstBytes) : immediate
    const direction = command.read ? READ : write ? WRITE : 0
    const bhs = newBhs(requestOpcode.command, (unasked > immediate ? 0 : FINAL) | direction | SIMPLE, tag)
    this.#lun.copy(bhs, 8)
    bhs.writeUInt32BE(size, 20)
    this.#number(bhs)
    task.cmdSn = this.#cmdSn
    this.#cmdSn = next(this.#cmdSn)
    command.cdb.copy(bhs, 32)
    this.#pdus.send(bhs, write ? slice(write, 0, immediate) : [], task.sendUntil)
    if (unasked > immediate) this.#sendData(task, tag, NO_TAG, this.#lun, immediate, unasked)
    task.sendUnasked(unasked)
  }

  /** One sequence of Data-Out PDUs. */
  #sendData(task: Task, tag: number, transferTag: number, lun: Buffer, from: number, to: number): void {
    const { maxSendBytes } = this.#parameters
    for (let at = from, dataSn = 0; at < to; dataSn++) {
      const end = Math.min(at + maxSendBytes, to)
      const bhs = newBhs(requestOpcode.dataOut, end === to ? FINAL : 0, tag)
      lun.copy(bhs, 8)
      bhs.writeUInt32BE(transferTag, 20)
      bhs.writeUInt32BE(this.#statSn, 28)
      bhs.writeUInt32BE(dataSn, 36)
      bhs.writeUInt32BE(at, 40)
      this.#pdus.send(bhs, slice(task.command.write ?? [], at, end), task.sendUntil)
      at = end
    }
  }

  #receive(pdu: Pdu): void {
    this.#heardAt = this.#clock.now()
    const { bhs } = pdu
    switch (opcodeOf(pdu)) {
      case responseOpcode.dataIn: {
        const isLast = (bhs[1]! & 0x01) !== 0
        if (isLast) this.#countStatus(bhs)
        const task = this.#task(pdu)
        if (task.abortedAt === undefined) task.takeDataIn(pdu)
        if (isLast) this.#complete(pdu, task, bhs[3]!, NO_SENSE)
        break
      }
      case responseOpcode.response: {
        this.#countStatus(bhs)
        const task = this.#task(pdu)
        if (bhs[2] !== 0)
          throw new MatrixError('protocol', `${task.command.name}: the target failed (response ${bhs[2]})`)
        this.#complete(pdu, task, bhs[3]!, senseOf(pdu))
        break
      }
      case responseOpcode.r2t: {
        const task = this.#task(pdu)
        if (task.abortedAt === undefined && this.#heardAt >= task.deadlineAt)
          this.#abort(tagOf(pdu), task, this.#heardAt)
        if (task.abortedAt !== undefined) break
        const { from, to } = task.takeR2t(pdu, this.#parameters.maxBurstBytes)
        this.#sendData(task, tagOf(pdu), bhs.readUInt32BE(20), bhs.subarray(8, 16), from, to)
        break
      }
      case responseOpcode.nopIn:
        this.#receiveNopIn(pdu)
        break
      case responseOpcode.taskManagement:
        this.#countStatus(bhs)
        this.#receiveAborted(pdu)
        break
      case responseOpcode.logout:
        this.#countStatus(bhs)
        if (!this.#loggedOut) throw new MatrixError('protocol', 'the target answered a logout that nobody asked for')
        this.#loggedOut()
        return
      case responseOpcode.async:
        this.#countStatus(bhs)
        this.#receiveAsync(bhs[36]!)
        break
      case responseOpcode.reject:
        throw new MatrixError(
          'protocol',
          `the target rejected a PDU (reason ${bhs[2]!.toString(16).padStart(2, '0')}h)`,
        )
      default:
        throw new MatrixError('protocol', `the target sent a PDU of kind ${opcodeOf(pdu).toString(16)}h out of turn`)
    }
    this.#widen(bhs)
    this.#sendWaiting()
    this.#noteDrained()
  }

  #noteDrained(): void {
    if (this.#drained && this.#tasks.size + this.#waiting.length === 0) this.#drained()
  }

  /** Of a command that is being aborted the data is not wanted any more, wherever it was to go. */
  #placeOf(bhs: Buffer, bytes: number): Buffer | undefined {
    const pdu = { bhs, data: bhs }
    if (opcodeOf(pdu) !== responseOpcode.dataIn) return undefined
    const task = this.#task(pdu)
    return task.abortedAt === undefined ? task.placeOf(bhs, bytes) : undefined
  }

  #task(pdu: Pdu): Task {
    const task = this.#tasks.get(tagOf(pdu))
    if (task) return task
    throw new MatrixError('protocol', `the target speaks of command ${tagOf(pdu)}, which is not under way`)
  }

  #complete(pdu: Pdu, task: Task, status: number, sense: Buffer): void {
    const isLate = task.abortedAt !== undefined
    const answer = isLate ? undefined : task.answer(pdu.bhs, status, sense)
    this.#tasks.delete(tagOf(pdu))
    // of one that was to be aborted some data was not taken: that it was executed after all helps nobody
    if (answer) task.end.resolve(answer)
    else task.end.reject(new CommandAborted('the answer came too late'))
  }

  #receiveNopIn({ bhs }: Pdu): void {
    if (bhs.readUInt32BE(16) !== NO_TAG) {
      this.#countStatus(bhs)
      this.#pingAt = undefined
      return
    }
    const transferTag = bhs.readUInt32BE(20)
    if (transferTag === NO_TAG) return
    const pong = newBhs(requestOpcode.nopOut | IMMEDIATE, FINAL, NO_TAG)
    bhs.copy(pong, 8, 8, 16)
    pong.writeUInt32BE(transferTag, 20)
    this.#number(pong)
    this.#pdus.send(pong)
  }

  #receiveAborted(pdu: Pdu): void {
    const abort = this.#aborts.get(tagOf(pdu))
    if (!abort) throw new MatrixError('protocol', 'the target answered an abort that nobody asked for')
    this.#aborts.delete(tagOf(pdu))
    const response = pdu.bhs[2]!
    if (response !== FUNCTION_COMPLETE && response !== NO_SUCH_TASK)
      throw new MatrixError('protocol', `${abort.task.command.name}: cannot be aborted (response ${response})`)
    if (this.#tasks.get(abort.tag) !== abort.task) return // answered meanwhile
    this.#tasks.delete(abort.tag)
    abort.task.end.reject(new CommandAborted('the target has aborted it'))
  }

  /** RFC 7143, 11.9.1. The target ends the session, or what was under way in it, in one way or another: a new session is the answer to all of them. */
  #receiveAsync(event: number): void {
    if (event === 0 || event >= 248) return // sense data, which comes with the commands, too; of a vendor
    const events: Record<number, string> = {
      1: 'asks for a logout',
      2: 'drops the connection',
      3: 'drops all connections',
      4: 'wants to negotiate anew',
      5: 'ends all commands of the LUN',
    }
    throw new MatrixError('protocol', `the target ${events[event] ?? `tells of event ${event}`}`)
  }

  /** Every status has the next number: one that is missing was lost, and with error recovery level 0 that ends the session. */
  #countStatus(bhs: Buffer): void {
    const statSn = bhs.readUInt32BE(24)
    if (statSn !== this.#statSn)
      throw new MatrixError('protocol', `response ${statSn} came where ${this.#statSn} was due: one was lost`)
    this.#statSn = next(statSn)
  }

  #widen(bhs: Buffer): void {
    const [expCmdSn, maxCmdSn] = [bhs.readUInt32BE(28), bhs.readUInt32BE(32)]
    if (isAfter(expCmdSn, next(maxCmdSn))) return
    if (isAfter(maxCmdSn, this.#maxCmdSn)) this.#maxCmdSn = maxCmdSn
  }

  /** Deadlines, and signs of life. */
  #look(): void {
    const now = this.#clock.now()
    const { idleMs, answerMs } = this.#timings
    while (this.#waiting[0] && now >= this.#waiting[0].deadlineAt)
      this.#waiting.shift()!.end.reject(new CommandAborted(OUT_OF_TURN))
    this.#noteDrained()
    for (const [tag, task] of this.#tasks) {
      if (task.abortedAt === undefined) {
        if (now >= task.deadlineAt) this.#abort(tag, task, now)
      } else if (now - task.abortedAt > answerMs) {
        this.end(`${task.command.name} was neither answered nor aborted in time`)
        return
      }
    }
    if (this.#pingAt !== undefined) {
      if (now - this.#pingAt > answerMs) this.end('the target gives no sign of life')
    } else if (now - this.#heardAt > idleMs) {
      this.#pingAt = now
      const ping = newBhs(requestOpcode.nopOut | IMMEDIATE, FINAL, this.#newTag())
      ping.writeUInt32BE(NO_TAG, 20)
      this.#number(ping)
      this.#pdus.send(ping)
    }
  }

  #abort(tag: number, task: Task, now: number): void {
    task.abortedAt = now
    const own = this.#newTag()
    this.#aborts.set(own, { tag, task })
    const bhs = newBhs(requestOpcode.taskManagement | IMMEDIATE, FINAL | ABORT_TASK, own)
    this.#lun.copy(bhs, 8)
    bhs.writeUInt32BE(tag, 20)
    this.#number(bhs)
    bhs.writeUInt32BE(task.cmdSn, 32)
    this.#pdus.send(bhs)
  }

  #ended(reason: string): void {
    this.#timer.cancel()
    this.#loggedOut?.()
    const tasks = [...this.#tasks.values(), ...this.#waiting.splice(0)]
    this.#tasks.clear()
    for (const task of tasks) task.end.reject(new ConnectionLost(reason))
    this.#drained?.()
    this.onEnd(reason)
  }

  #number(bhs: Buffer): void {
    bhs.writeUInt32BE(this.#cmdSn, 24)
    bhs.writeUInt32BE(this.#statSn, 28)
  }

  #newTag(): number {
    const tag = this.#nextTag
    this.#nextTag = (this.#nextTag + 1) % NO_TAG
    return tag
  }
}

const NO_SENSE = Buffer.alloc(0)

/** Behind its length of two bytes; a copy, since it outlives the PDU. */
function senseOf({ data }: Pdu): Buffer {
  return data.length < 2 ? NO_SENSE : Buffer.from(data.subarray(2, 2 + data.readUInt16BE(0)))
}
