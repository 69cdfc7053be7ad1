/**
 * Reservations that outlast a power loss (APTPL): a small file beside the blocks, with two copies of the state that are written in turn, each
 * sealed with a number that grows and a checksum. What a crash leaves: the copy before, or the new one; never none.
 *
 *     0  copy 0, as a line of JSON padded with spaces     32768  copy 1
 */
import * as v from 'valibot'
import { crc32c } from '../../base/crc32c.ts'
import { MatrixError } from '../../base/errors.ts'
import type { RandomAccessFile } from '../../platform/files.ts'
import { noReservations, type ReservationState, type ReservationType, reservationType } from './reservation-state.ts'

export interface ReservationStore {
  /** On stable storage when it resolves. */
  save(state: ReservationState): Promise<void>
  close(): Promise<void>
}

const COPY_BYTES = 32 * 1024
export const STORE_BYTES = 2 * COPY_BYTES
/** `crc` of the text of the state. */
const copy = v.object({ crc: v.number(), text: v.string() })
const record = v.object({
  version: v.literal(1),
  sequence: v.number(),
  generation: v.number(),
  registrations: v.array(v.object({ initiatorPort: v.string(), targetPort: v.number(), key: v.string() })),
  reservation: v.optional(
    v.object({ type: v.picklist(Object.values(reservationType)), holder: v.optional(v.string()) }),
  ),
  aptpl: v.boolean(),
})

export class FileReservationStore implements ReservationStore {
  readonly #file: RandomAccessFile
  #sequence: number

  private constructor(file: RandomAccessFile, sequence: number) {
    this.#file = file
    this.#sequence = sequence
  }

  /** Rejects with MatrixError 'lun-damaged': to go on without reservations would let in whom they kept out. */
  static async open(
    file: RandomAccessFile,
    what: string,
  ): Promise<{ readonly store: FileReservationStore; readonly state: ReservationState }> {
    const bytes = Buffer.alloc(STORE_BYTES)
    await file.read(0, bytes)
    const found = [0, 1].map((i) => decode(bytes.subarray(i * COPY_BYTES, (i + 1) * COPY_BYTES)))
    const best = found.filter((each) => each !== undefined).sort((a, b) => b.sequence - a.sequence)[0]
    if (!best && bytes.some((byte) => byte !== 0))
      throw new MatrixError(
        'lun-damaged',
        `${what} holds no reservations that can be read; delete it to begin without any, once no initiator writes that was kept out`,
      )
    return {
      store: new FileReservationStore(file, best?.sequence ?? 0),
      state: best?.state ?? noReservations,
    }
  }

  async save(state: ReservationState): Promise<void> {
    const sequence = this.#sequence + 1
    const bytes = encode(state, sequence)
    await this.#file.write((sequence % 2) * COPY_BYTES, [bytes])
    await this.#file.flush()
    this.#sequence = sequence
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

function encode({ registrations, ...state }: ReservationState, sequence: number): Buffer {
  const all = [...registrations.entries()].map(([, { key, ...nexus }]) => ({ ...nexus, key: key.toString(16) }))
  const text = JSON.stringify({ version: 1, sequence, ...state, registrations: all })
  const line = `${JSON.stringify({ crc: crc32c(Buffer.from(text)), text })}\n`
  if (Buffer.byteLength(line) > COPY_BYTES)
    throw new MatrixError('no-space', `${registrations.size} registrations are more than outlast a power loss`)
  return Buffer.from(line.padEnd(COPY_BYTES, ' '))
}

function decode(bytes: Buffer): { readonly sequence: number; readonly state: ReservationState } | undefined {
  const sealed = v.safeParse(v.pipe(v.string(), v.trim(), v.parseJson(), copy), bytes.toString('utf8'))
  if (!sealed.success || crc32c(Buffer.from(sealed.output.text)) !== sealed.output.crc) return undefined
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), record), sealed.output.text)
  if (!parsed.success) return undefined
  const { sequence, generation, registrations, reservation, aptpl } = parsed.output
  const all = registrations.map((each) => {
    const registration = { ...each, key: BigInt(`0x${each.key}`) }
    return [`${each.targetPort} ${each.initiatorPort}`, registration] as const
  })
  return {
    sequence,
    state: {
      ...{ generation, aptpl, registrations: new Map(all) },
      reservation: reservation && { type: reservation.type as ReservationType, holder: reservation.holder },
    },
  }
}
