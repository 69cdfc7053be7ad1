/**
 * A command of which the data is arriving: what came unasked, then what R2Ts ask for, all of it in order. Data beyond what the command wants is taken
 * off the wire and forgotten; the residual tells of it.
 */
import type { Pdu } from '../iscsi/pdu.ts'

export type Burst = {
  readonly transferTag: number
  readonly sn: number
  readonly from: number
  readonly to: number
  /** Next byte, and number of its PDU. */
  at: number
  dataSn: number
}

export type TransferLimits = {
  readonly firstBurstBytes: number
  readonly maxBurstBytes: number
  readonly maxOutstandingR2t: number
}

export class Transfer {
  readonly pieces: Uint8Array[] = []
  /** Bytes that are to come, at most. */
  readonly #wanted: number
  readonly #limits: TransferLimits
  /** Bytes that came, or were asked for. */
  #asked = 0
  #arrived = 0
  /** What comes without being asked for. */
  #unasked: Burst | undefined
  readonly #bursts: Burst[] = []
  #r2tSn = 0

  /** `expected`: bytes that the initiator means to move. `isFinal`: no data follows unasked. */
  constructor(wanted: number, expected: number, isFinal: boolean, limits: TransferLimits) {
    this.#wanted = Math.min(wanted, expected)
    this.#limits = limits
    if (isFinal) return
    const to = Math.min(expected, limits.firstBurstBytes)
    this.#unasked = { transferTag: 0xffffffff, sn: 0, from: 0, to, at: 0, dataSn: 0 }
  }

  get isComplete(): boolean {
    return !this.#unasked && this.#arrived >= this.#wanted
  }

  /** With the command. */
  takeImmediate(data: Buffer): void {
    this.#keep(data, 0)
    if (this.#unasked) this.#unasked.at = data.length
  }

  /** False: it is not the data that was due, so some is lost, and the command cannot be carried out. */
  take({ bhs, data }: Pdu): boolean {
    const [transferTag, dataSn, offset] = [bhs.readUInt32BE(20), bhs.readUInt32BE(36), bhs.readUInt32BE(40)]
    const isLast = (bhs[1]! & 0x80) !== 0
    const burst = transferTag === 0xffffffff ? this.#unasked : this.#bursts[0]
    if (!burst || burst.transferTag !== transferTag || dataSn !== burst.dataSn || offset !== burst.at) return false
    burst.at += data.length
    burst.dataSn++
    if (burst.at > burst.to) return false
    this.#keep(data, offset)
    if (burst === this.#unasked) {
      if (isLast) this.#unasked = undefined
    } else if (isLast !== (burst.at === burst.to)) {
      return false
    } else if (isLast) {
      this.#bursts.shift()
    }
    return true
  }

  #keep(data: Buffer, offset: number): void {
    const useful = Math.max(0, Math.min(data.length, this.#wanted - offset))
    if (useful > 0) this.pieces.push(useful === data.length ? data : data.subarray(0, useful))
    this.#arrived += data.length
    this.#asked = Math.max(this.#asked, this.#arrived)
  }

  /** The bursts to ask for now. */
  ask(newTag: () => number): readonly Burst[] {
    if (this.#unasked) return []
    const asked: Burst[] = []
    const { maxBurstBytes, maxOutstandingR2t } = this.#limits
    while (this.#asked < this.#wanted && this.#bursts.length < maxOutstandingR2t) {
      const from = this.#asked
      const to = Math.min(from + maxBurstBytes, this.#wanted)
      const burst: Burst = { transferTag: newTag(), sn: this.#r2tSn++, from, to, at: from, dataSn: 0 }
      this.#asked = to
      this.#bursts.push(burst)
      asked.push(burst)
    }
    return asked
  }
}
