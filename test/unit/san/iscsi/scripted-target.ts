/**
 * An iSCSI target in memory that does what a test says: it behaves, with a disk of 1 MiB, except where `meddle` takes a request and answers it
 * in another way. What it was sent is kept.
 */
import { MatrixError } from '../../../../src/base/errors.ts'
import type { ByteStream, Host, Log } from '../../../../src/platform/index.ts'
import { silentLog } from '../../../../src/platform/log.ts'
import { realHost } from '../../../../src/platform/real/host.ts'
import { encodePdu, NO_TAG, newBhs, next, type Pdu, PduReader } from '../../../../src/san/iscsi/pdu.ts'
import { encodeText, type Pair } from '../../../../src/san/iscsi/text.ts'

const NONE = { header: false, data: false }
const op = { login: 0x03, command: 0x01, dataOut: 0x05, logout: 0x06, nopOut: 0x00, taskManagement: 0x02 }

/** One connection, as the target sees it. */
export class Served {
  readonly requests: Pdu[] = []
  readonly stream: ByteStream
  statSn = 1
  cmdSn = 1
  readonly window: number
  closed = false
  /** Answers arrive in the same turn: before any timer. */
  isPrompt = false
  readonly #send: (bytes: Uint8Array) => void
  /** Data of writes, by tag. */
  readonly writes = new Map<number, { cdb: Buffer; data: Buffer; have: number }>()

  constructor(target: ScriptedTarget) {
    this.window = target.window
    const reader = new PduReader(2 ** 24 - 1, (pdu) => {
      const copy = { bhs: Buffer.from(pdu.bhs), data: Buffer.from(pdu.data) }
      this.requests.push(copy)
      if (!target.meddle?.(copy, this)) this.behave(copy, target)
    })
    const stream: ByteStream = {
      write: (buffers, onSent) => {
        const bytes = Buffer.concat(buffers)
        setImmediate(() => {
          if (this.closed) return
          reader.push(bytes)
          if (target.takes?.(bytes) === false) target.release = onSent ?? (() => {})
          else onSent?.()
        })
      },
      reset: () => this.close('reset'),
      onData: () => {},
      place: () => undefined,
      onPlaced: () => {},
      onClose: () => {},
    }
    this.stream = stream
    const deliver = (bytes: Uint8Array) => this.closed || stream.onData(Buffer.from(bytes))
    this.#send = (bytes) => (this.isPrompt ? deliver(bytes) : setImmediate(() => deliver(bytes)))
  }

  close(why: string): void {
    if (this.closed) return
    this.closed = true
    setImmediate(() => this.stream.onClose(why))
  }

  raw(bytes: Uint8Array): void {
    this.#send(bytes)
  }

  /** `counted`: bears a status of its own. */
  answer(
    opcode: number,
    flags: number,
    tag: number,
    fill: (bhs: Buffer) => void,
    data?: Uint8Array,
    counted = true,
  ): void {
    const bhs = newBhs(opcode, flags, tag)
    bhs.writeUInt32BE(this.statSn, 24)
    if (counted) this.statSn = next(this.statSn)
    bhs.writeUInt32BE(this.cmdSn, 28)
    bhs.writeUInt32BE((this.cmdSn + this.window - 1) >>> 0, 32)
    fill(bhs)
    this.#send(Buffer.concat(encodePdu(bhs, data ? [data] : [], NONE)))
  }

  status(tag: number, status: number, sense: readonly number[] = []): void {
    const data = sense.length > 0 ? Buffer.concat([Buffer.of(0, sense.length), Buffer.from(sense)]) : undefined
    this.answer(0x21, 0x80, tag, (bhs) => (bhs[3] = status), data)
  }

  dataIn(tag: number, data: Uint8Array, { offset = 0, sn = 0, size = data.length } = {}): void {
    const residual = size - data.length
    this.answer(
      0x25,
      0x81 | (residual > 0 ? 0x02 : 0),
      tag,
      (bhs) => {
        bhs.writeUInt32BE(NO_TAG, 20)
        bhs.writeUInt32BE(sn, 36)
        bhs.writeUInt32BE(offset, 40)
        bhs.writeUInt32BE(residual, 44)
      },
      data,
    )
  }

  r2t(tag: number, offset: number, length: number, sn = 0): void {
    this.answer(
      0x31,
      0x80,
      tag,
      (bhs) => {
        bhs.writeUInt32BE(7, 20)
        bhs.writeUInt32BE(sn, 36)
        bhs.writeUInt32BE(offset, 40)
        bhs.writeUInt32BE(length, 44)
      },
      undefined,
      false,
    )
  }

  login(pdu: Pdu, pairs: readonly Pair[]): void {
    this.answer(0x23, pdu.bhs[1]!, pdu.bhs.readUInt32BE(16), () => {}, encodeText(pairs))
  }

  loginStatus(pdu: Pdu, status: number): void {
    this.answer(0x23, 0, pdu.bhs.readUInt32BE(16), (bhs) => bhs.writeUInt16BE(status, 36))
  }

  behave(pdu: Pdu, target: ScriptedTarget): void {
    const { bhs } = pdu
    const tag = bhs.readUInt32BE(16)
    switch (bhs[0]! & 0x3f) {
      case op.login:
        this.login(pdu, (bhs[1]! & 0x0c) === 0 ? [['AuthMethod', 'None']] : target.parameters)
        return
      case op.logout:
        this.answer(0x26, 0x80, tag, () => {})
        return
      case op.nopOut:
        if (tag !== NO_TAG) this.answer(0x20, 0x80, tag, (answer) => answer.writeUInt32BE(NO_TAG, 20))
        return
      case op.taskManagement:
        this.answer(0x22, 0x80, tag, () => {})
        return
      case op.command:
        this.cmdSn = next(this.cmdSn)
        this.command(tag, bhs, pdu.data, target)
        return
      case op.dataOut: {
        const write = this.writes.get(tag)
        if (!write) return
        pdu.data.copy(write.data, bhs.readUInt32BE(40))
        write.have += pdu.data.length
        this.#land(tag, target)
      }
    }
  }

  command(tag: number, bhs: Buffer, data: Buffer, target: ScriptedTarget): void {
    const cdb = bhs.subarray(32, 48)
    const size = bhs.readUInt32BE(20)
    const short = (bytes: Buffer): void => this.dataIn(tag, bytes.subarray(0, size), { size })
    const [block, count] = [Number(cdb.readBigUInt64BE(2)), cdb.readUInt32BE(10)]
    switch (cdb[0]) {
      case 0x12:
        short((cdb[1]! & 1) === 0 ? standardInquiry() : page(cdb[2]!, target.serial))
        return
      case 0x9e: {
        const capacity = Buffer.alloc(32)
        capacity.writeBigUInt64BE(BigInt(target.blocks - 1))
        capacity.writeUInt32BE(512, 8)
        short(capacity)
        return
      }
      case 0x5a:
        short(target.modeSense)
        return
      case 0x88:
        this.dataIn(tag, target.disk.subarray(block * 512, (block + count) * 512))
        return
      case 0x8a: {
        const whole = Buffer.alloc(size)
        data.copy(whole)
        this.writes.set(tag, { cdb: Buffer.from(cdb), data: whole, have: data.length })
        if (data.length < size) this.r2t(tag, data.length, size - data.length)
        else this.#land(tag, target)
        return
      }
      default:
        this.status(tag, 0)
    }
  }

  #land(tag: number, target: ScriptedTarget): void {
    const { cdb, data, have } = this.writes.get(tag)!
    if (have < data.length) return
    data.copy(target.disk, Number(cdb.readBigUInt64BE(2)) * 512)
    target.landed++
    this.writes.delete(tag)
    this.status(tag, 0)
  }
}

export class ScriptedTarget {
  readonly disk = Buffer.alloc(1024 * 1024)
  blocks = 2048
  serial = 'one'
  modeSense = Buffer.concat([Buffer.of(0, 26, 0, 0x10, 0, 0, 0, 0), Buffer.of(0x08, 0x12, 0x04), Buffer.alloc(17)])
  /** Commands that it lets be under way. */
  window = 32
  /** Of the operational stage. */
  parameters: readonly Pair[] = [
    ['MaxRecvDataSegmentLength', '8192'],
    ['ImmediateData', 'Yes'],
    ['InitialR2T', 'Yes'],
    ['FirstBurstLength', '4096'],
    ['MaxBurstLength', '65536'],
  ]
  /** False for what the system of the initiator has not taken wholly before `release` is called. */
  takes: ((bytes: Buffer) => boolean) | undefined
  release: () => void = () => {}
  /** True when it has dealt with the request. */
  meddle: ((request: Pdu, served: Served) => boolean) | undefined
  readonly connections: Served[] = []
  /** Why connections were lost, and other warnings. */
  readonly warnings: string[] = []
  /** Writes that reached the disk. */
  landed = 0

  get host(): Host {
    return {
      ...realHost,
      dialer: {
        dial: async () => {
          if (this.connections.length > 20) throw new MatrixError('peer-gone', 'too many tries')
          const served = new Served(this)
          this.connections.push(served)
          return served.stream
        },
      },
    }
  }

  get log(): Log {
    return { ...silentLog, warn: (fields) => void this.warnings.push(String(fields['reason'])) }
  }
}

/** The CDB's operation code; undefined for what is no SCSI command. */
export function operationOf({ bhs }: Pdu): number | undefined {
  return (bhs[0]! & 0x3f) === op.command ? bhs[32] : undefined
}

export function isLogin({ bhs }: Pdu): boolean {
  return (bhs[0]! & 0x3f) === op.login
}

function standardInquiry(): Buffer {
  const data = Buffer.alloc(36)
  data.write('TEST    SCRIPTED        ', 8, 'latin1')
  return data
}

function page(code: number, serial: string): Buffer {
  const body = code === 0 ? Buffer.of(0x00, 0x80) : Buffer.from(serial)
  return Buffer.concat([Buffer.of(0, code, 0, body.length), body])
}
