/**
 * One SCSI command under way on one connection: what of its data has moved, held against every PDU that speaks of it. Data comes and goes
 * strictly in order, as was negotiated, so that one number says how far it is. Everything throws MatrixError 'protocol'.
 */
import { MatrixError } from '../../base/errors.ts'
import type { ScsiAnswer, ScsiCommand } from '../scsi/command.ts'
import { sizeOf } from '../scsi/run-command.ts'
import type { Pdu } from './pdu.ts'

export type TaskEnd = { readonly resolve: (answer: ScsiAnswer) => void; readonly reject: (error: Error) => void }

export class Task {
  readonly command: ScsiCommand
  /** In `clock.now()` milliseconds. */
  readonly deadlineAt: number
  readonly end: TaskEnd
  /** Bytes that the command moves. */
  readonly size: number
  /** Since when it is being aborted, in `clock.now()` milliseconds. */
  abortedAt: number | undefined
  cmdSn = 0
  /** Bytes that have arrived, or have been sent or asked for. */
  #moved = 0
  #dataSn = 0
  #r2tSn = 0

  constructor(command: ScsiCommand, deadlineAt: number, end: TaskEnd) {
    this.command = command
    this.deadlineAt = deadlineAt
    this.end = end
    this.size = command.read?.length ?? sizeOf(command.write ?? [])
  }

  /** Nothing of a write begins to leave from then on. */
  get sendUntil(): number {
    return this.command.write ? this.deadlineAt : Number.POSITIVE_INFINITY
  }

  /** Counts data that is sent without being asked for. */
  sendUnasked(bytes: number): void {
    this.#moved += bytes
  }

  /** Where what a Data-In brings belongs. */
  placeOf(bhs: Buffer, bytes: number): Buffer {
    const { read, name } = this.command
    if (!read) throw new MatrixError('protocol', `data came in for ${name}, which reads none`)
    const [dataSn, offset] = [bhs.readUInt32BE(36), bhs.readUInt32BE(40)]
    if (dataSn !== this.#dataSn || offset !== this.#moved || offset + bytes > read.length)
      throw new MatrixError(
        'protocol',
        `${name}: ${bytes} bytes for ${offset} came, number ${dataSn}; number ${this.#dataSn} for ${this.#moved} of ${read.length} was due`,
      )
    return read.subarray(offset, offset + bytes)
  }

  /** Copies what a Data-In brings to its place, unless it was put there. */
  takeDataIn({ bhs, data }: Pdu): void {
    const place = this.placeOf(bhs, data.length)
    if (data.buffer !== place.buffer || data.byteOffset !== place.byteOffset) data.copy(place)
    this.#dataSn++
    this.#moved += data.length
  }

  /** The bytes that an R2T asks for. */
  takeR2t({ bhs }: Pdu, maxBurstBytes: number): { readonly from: number; readonly to: number } {
    const { write, name } = this.command
    const [sn, from, length] = [bhs.readUInt32BE(36), bhs.readUInt32BE(40), bhs.readUInt32BE(44)]
    const to = from + length
    const isRight = write && sn === this.#r2tSn && from === this.#moved && length > 0 && length <= maxBurstBytes
    if (!isRight || to > this.size)
      throw new MatrixError(
        'protocol',
        `${name}: the target asked for ${length} bytes from ${from}, number ${sn}, which was not its turn (${this.#moved} of ${this.size} bytes are sent)`,
      )
    this.#r2tSn++
    this.#moved = to
    return { from, to }
  }

  /** The answer that ends it. `residual`: as the flags in `bhs` say, bytes that were not moved, or did not fit. */
  answer(bhs: Buffer, status: number, sense: Buffer): ScsiAnswer {
    const [overflow, underflow] = [(bhs[1]! & 0x04) !== 0, (bhs[1]! & 0x02) !== 0]
    const residual = bhs.readUInt32BE(44)
    let transferred = this.size
    if (underflow) transferred -= residual
    else if (overflow) transferred += residual
    if (status === 0 && (transferred < 0 || (overflow && underflow)))
      throw new MatrixError(
        'protocol',
        `${this.command.name}: a residual of ${residual} of ${this.size} bytes cannot be`,
      )
    if (status === 0 && this.#moved < Math.min(transferred, this.size))
      throw new MatrixError(
        'protocol',
        `${this.command.name}: is said to be done after ${this.#moved} of ${transferred} bytes have moved`,
      )
    return { status, sense, transferred }
  }
}

/** Bytes `from` … `to`-1 of `buffers`, as views. */
export function slice(buffers: readonly Uint8Array[], from: number, to: number): Uint8Array[] {
  const parts: Uint8Array[] = []
  let start = 0
  for (const buffer of buffers) {
    const [first, last] = [Math.max(from - start, 0), Math.min(to - start, buffer.length)]
    if (first < last) parts.push(buffer.subarray(first, last))
    start += buffer.length
    if (start >= to) break
  }
  return parts
}
