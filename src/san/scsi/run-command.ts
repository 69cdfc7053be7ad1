/**
 * Runs a command to its end: what a device answers instead of executing it (a unit attention, that it is busy) is not the end yet, until the
 * deadline. All of these answers say that nothing was executed, or that it was given up: sending it again is the first real try.
 */
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import { type Clock, sleep } from '../../platform/clock.ts'
import { type ScsiAnswer, type ScsiCommand, scsiStatus } from './command.ts'
import { describeSense, parseSense, type Sense, senseKey } from './sense.ts'

export type RunOptions = {
  /** Of the device, for messages. */
  readonly identity: string
  readonly clock: Clock
  /** In `clock.now()` milliseconds. */
  readonly deadlineAt: number
  /** A unit attention says that what is known of the device may not be so any more. */
  readonly onChanged?: (why: string) => void
}

/** Before a device that is busy is asked again, ms. */
const PAUSE_MS = 20
/** A device has one unit attention for each thing that happened to it, and more commands abort at a time. */
const MAX_AGAIN = 32

/** Bytes that were transferred. Rejects with MatrixError 'lun-reserved', or 'lun-io' with what the device said. */
export async function runCommand(
  execute: (command: ScsiCommand) => Promise<ScsiAnswer>,
  command: ScsiCommand,
  { identity, clock, deadlineAt, onChanged }: RunOptions,
): Promise<number> {
  const failed = (why: string, sense?: Sense) =>
    new MatrixError('lun-io', `${identity}: ${command.name}: ${why}`, { cause: sense })
  for (let again = 0; ; again++) {
    const { status, sense: data, transferred } = await execute(command)
    const sense = status === scsiStatus.checkCondition ? parseSense(data) : undefined
    if (status === scsiStatus.good || sense?.key === senseKey.recoveredError) {
      const wanted = command.read?.length ?? sizeOf(command.write ?? [])
      if (transferred === wanted || command.mayBeShort) return transferred
      throw failed(`${transferred} of ${wanted} bytes were transferred`)
    }
    if (status === scsiStatus.reservationConflict)
      throw new MatrixError(
        'lun-reserved',
        `${identity}: ${command.name}: reservation conflict: another initiator has reserved it; this node was fenced, or strangers use it`,
      )
    const isBusy = status === scsiStatus.busy || status === scsiStatus.taskSetFull || isBecomingReady(sense)
    const why = sense ? describeSense(sense) : describeStatus(status)
    const isTemporary = isBusy || sense?.key === senseKey.unitAttention || sense?.key === senseKey.abortedCommand
    if (!isTemporary) throw failed(why, sense)
    if (clock.now() >= deadlineAt || (!isBusy && again >= MAX_AGAIN)) throw failed(`still, after so many tries: ${why}`)
    if (sense?.key === senseKey.unitAttention && isAboutItself(sense)) onChanged?.(why)
    if (isBusy) await sleep(clock, PAUSE_MS)
    if (command.isSuperseded?.()) throw failed(`${why}; it is not sent again, since a newer write overlaps it`)
  }
}

/** What the device has said against a command; undefined when the error came about in another way. */
export function senseOf(error: unknown): Sense | undefined {
  return isMatrixError(error, 'lun-io') ? (error.cause as Sense | undefined) : undefined
}

/** Mode parameters, capacity or identity. */
function isAboutItself({ asc, ascq }: Sense): boolean {
  return (asc === 0x2a && (ascq === 0x01 || ascq === 0x09)) || (asc === 0x3f && (ascq === 0x03 || ascq === 0x05))
}

function isBecomingReady(sense: Sense | undefined): boolean {
  return sense?.key === senseKey.notReady && sense.asc === 0x04 && (sense.ascq === 0x01 || sense.ascq === 0x0a)
}

function describeStatus(status: number): string {
  const [name] = Object.entries(scsiStatus).find(([, code]) => code === status) ?? []
  const words = name?.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`) ?? 'a status that nobody knows'
  return `${words} (status ${status.toString(16).padStart(2, '0')}h)`
}

export function sizeOf(buffers: readonly Uint8Array[]): number {
  return buffers.reduce((sum, { length }) => sum + length, 0)
}
