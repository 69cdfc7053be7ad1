/** A logical unit as the commands that are carried out on it see it. */
import type { Answer } from './answer.ts'
import type { Medium } from './medium.ts'
import type { Access, Nexus, OutRequest, ReservationState } from './reservation-state.ts'
import type { ScsiTask } from './scsi-task.ts'
import type { AttentionName } from './sense-data.ts'

export type UnitIdentity = {
  readonly number: number
  readonly targetName: string
  readonly serial: string
  readonly isReadOnly: boolean
  /** Relative identifiers of the ports of the target. */
  readonly ports: readonly number[]
  /** Numbers of all logical units of the target. */
  readonly luns: () => readonly number[]
}

export interface Unit {
  readonly identity: UnitIdentity
  readonly medium: Medium
  readonly reservations: ReservationState
  /** Id of the nexus that has it by RESERVE(6). */
  legacyHolder: string | undefined
  /** By START STOP UNIT. */
  isStopped: boolean
  takeAttention(nexus: string): AttentionName | undefined
  /** Rejects with `Refused` when the command may not touch the medium any more. */
  access<T>(task: ScsiTask, access: Access, from: number, to: number, io: () => Promise<T>): Promise<T>
  reserve(task: ScsiTask, from: Nexus, request: OutRequest): Promise<Answer>
}
