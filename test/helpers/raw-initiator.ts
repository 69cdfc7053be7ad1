/** Single SCSI commands, and single PDUs, at an iSCSI target: for tests that need what no LUN driver sends. */

import { realHost } from '../../src/platform/real/host.ts'
import type { PeerAddress } from '../../src/platform/transport.ts'
import { Connection } from '../../src/san/iscsi/connection.ts'
import { dialTarget } from '../../src/san/iscsi/dial.ts'
import { newBhs, type Pdu } from '../../src/san/iscsi/pdu.ts'
import type { PduStream } from '../../src/san/iscsi/pdu-stream.ts'
import { parseIscsiUrl } from '../../src/san/iscsi/url.ts'
import { encodeLun } from '../../src/san/scsi/answers.ts'
import type { ScsiAnswer } from '../../src/san/scsi/command.ts'
import { parseSense } from '../../src/san/scsi/sense.ts'

/** Generous: the machine may be busy with other tests. */
const LIMIT_MS = 30_000
/** Deadlines are looked at four times in it. */
const ABORT_MS = 4000

export type RawOptions = { readonly initiator?: string; readonly isid?: number }

const loginOf = (target: string, { initiator = 'iqn.x:a', isid = 1 }: RawOptions) => ({
  initiatorName: initiator,
  targetName: target,
  isid: Buffer.of(0x80, 0, 0, 0, 0, isid),
  digests: false,
  random: realHost.random,
})

export type PrAction = 'register' | 'reserve' | 'release' | 'clear' | 'preempt' | 'preempt-abort' | 'register-ignore'
/** By their codes. */
const prActions: readonly PrAction[] = [
  'register',
  'reserve',
  'release',
  'clear',
  'preempt',
  'preempt-abort',
  'register-ignore',
]

export class RawInitiator {
  readonly #connection: Connection
  ended: string | undefined

  static async open(url: string, options: RawOptions = {}): Promise<RawInitiator> {
    const { addresses, target, lun } = parseIscsiUrl(url)
    const { clock } = realHost
    const connection = await dialTarget(
      realHost,
      { address: addresses[0] as PeerAddress, limitMs: LIMIT_MS },
      loginOf(target, options),
      (pdus, parameters) =>
        new Connection(pdus, parameters, encodeLun(lun), { clock, timings: { idleMs: LIMIT_MS, answerMs: ABORT_MS } }),
    )
    return new RawInitiator(connection)
  }

  private constructor(connection: Connection) {
    this.#connection = connection
    connection.onEnd = (reason) => {
      this.ended = reason
    }
  }

  /** `limitMs`: after so long it is aborted. */
  execute(
    cdb: Buffer,
    { read, write, limitMs = LIMIT_MS }: { read?: Buffer; write?: Buffer; limitMs?: number } = {},
  ): Promise<ScsiAnswer> {
    const padded = Buffer.concat([cdb, Buffer.alloc(16)]).subarray(0, 16)
    const command = {
      name: 'raw',
      cdb: padded,
      mayBeShort: true,
      ...(read && { read }),
      ...(write && { write: [write] }),
    }
    return this.#connection.execute(command, realHost.clock.now() + limitMs)
  }

  /** `00`, or the status with key and codes of its sense: `02 6 2a05`. */
  async outcome(...args: Parameters<RawInitiator['execute']>): Promise<string> {
    return describe(await this.execute(...args))
  }

  /** Takes what the target has to tell first. */
  async settle(): Promise<this> {
    while ((await this.outcome(Buffer.alloc(6))).startsWith('02 6')) {}
    return this
  }

  read(block: number, count = 1): Promise<Buffer> {
    const read = Buffer.alloc(512 * count)
    return this.execute(transferCdb(0x28, block, count), { read }).then((answer) => {
      if (answer.status !== 0) throw new Error(describe(answer))
      return read
    })
  }

  write(block: number, data: Buffer, { fua = false, limitMs = LIMIT_MS } = {}): Promise<string> {
    return this.outcome(transferCdb(0x2a, block, data.length / 512, fua), { write: data, limitMs })
  }

  reserveOut(
    action: PrAction,
    key: bigint,
    { second = 0n, type = 0, aptpl = false }: { second?: bigint; type?: number; aptpl?: boolean } = {},
  ): Promise<string> {
    const list = Buffer.alloc(24)
    list.writeBigUInt64BE(key)
    list.writeBigUInt64BE(second, 8)
    list[20] = aptpl ? 1 : 0
    const cdb = Buffer.of(0x5f, prActions.indexOf(action), type, 0, 0, 0, 0, 0, list.length, 0)
    return this.outcome(cdb, { write: list })
  }

  async keys(): Promise<bigint[]> {
    const read = Buffer.alloc(1024)
    await this.execute(Buffer.of(0x5e, 0, 0, 0, 0, 0, 0, 4, 0, 0), { read })
    return Array.from({ length: read.readUInt32BE(4) / 8 }, (_, i) => read.readBigUInt64BE(8 + 8 * i))
  }

  /** Type of the reservation, 0 when there is none. */
  async reservationType(): Promise<number> {
    const read = Buffer.alloc(64)
    await this.execute(Buffer.of(0x5e, 1, 0, 0, 0, 0, 0, 0, 64, 0), { read })
    return read[21]! & 0x0f
  }

  end(): void {
    this.#connection.end('the test is over')
  }
}

export function describe({ status, sense }: ScsiAnswer): string {
  const parsed = parseSense(sense)
  const hex = (byte: number): string => byte.toString(16).padStart(2, '0')
  return `${hex(status)}${parsed ? ` ${parsed.key.toString(16)} ${hex(parsed.asc)}${hex(parsed.ascq)}` : ''}`
}

export function transferCdb(operation: number, block: number, count: number, fua = false): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = operation
  cdb[1] = fua ? 0x08 : 0
  cdb.writeUInt32BE(block, 2)
  cdb.writeUInt16BE(count, 7)
  return cdb
}

/** PDU by PDU, logged in. */
export class RawPdus {
  readonly pdus: PduStream
  readonly received: Pdu[] = []
  readonly #lun: Buffer
  #cmdSn: number
  #wake = (): void => {}
  ended: string | undefined

  static async open(url: string, options: RawOptions = {}): Promise<RawPdus> {
    const { addresses, target, lun } = parseIscsiUrl(url)
    return dialTarget(
      realHost,
      { address: addresses[0] as PeerAddress, limitMs: LIMIT_MS },
      loginOf(target, options),
      (pdus, { cmdSn }) => new RawPdus(pdus, encodeLun(lun), cmdSn),
    )
  }

  private constructor(pdus: PduStream, lun: Buffer, cmdSn: number) {
    this.pdus = pdus
    this.#lun = lun
    this.#cmdSn = cmdSn
    pdus.onPdu = (pdu) => {
      this.received.push(pdu)
      this.#wake()
    }
    pdus.onEnd = (reason) => {
      this.ended = reason
      this.#wake()
    }
  }

  /** A command without immediate data, of which the data is yet to be asked for. */
  command(tag: number, cdb: Buffer, expected: number, flags: number): void {
    const bhs = newBhs(0x01, flags, tag)
    this.#lun.copy(bhs, 8)
    bhs.writeUInt32BE(expected, 20)
    bhs.writeUInt32BE(this.#cmdSn++, 24)
    cdb.copy(bhs, 32)
    this.pdus.send(bhs)
  }

  /** The answer to an R2T, whole. */
  answerR2t(r2t: Pdu, data: Buffer, change: (bhs: Buffer) => void = () => {}): void {
    const bhs = newBhs(0x05, 0x80, r2t.bhs.readUInt32BE(16))
    r2t.bhs.copy(bhs, 8, 8, 16)
    r2t.bhs.copy(bhs, 20, 20, 24)
    r2t.bhs.copy(bhs, 40, 40, 44)
    change(bhs)
    this.pdus.send(bhs, [data])
  }

  async next(): Promise<Pdu> {
    while (this.received.length === 0) {
      if (this.ended !== undefined) throw new Error(`ended: ${this.ended}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.received.shift()!
  }

  end(): void {
    this.pdus.end('the test is over')
  }
}
