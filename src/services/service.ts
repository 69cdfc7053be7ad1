/**
 * What is looked after at every node for the sake of virtual hosts (Fig 5: 514, 516, 518), as the configuration has it:
 *
 *   service       runs at every node, and is probed there; where it fails it may be restarted, and weighs against the node
 *   application   runs where its virtual host is: it is started and stopped with it, and probed meanwhile
 *   device        something that the node needs; a node without it is no place for the virtual hosts that depend on it
 */
import type { ServiceCheck } from './monitors/service-check.ts'

export const recoveryPolicies = ['AUTORECOVER', 'NOAUTORECOVER', 'NOFAILOVER'] as const
/**
 * What a failure means: AUTORECOVER, until it is well again; NOAUTORECOVER, until a person says so; NOFAILOVER, nothing for the place of a virtual
 * host, it is only told.
 */
export type RecoveryPolicy = (typeof recoveryPolicies)[number]

/** A program of the operator: it is run with the action as its one argument. */
export type Script = { readonly path: string; readonly timeoutMs: number }

export type Service = {
  readonly type: 'service' | 'application' | 'device'
  readonly name: string
  /** Names of the virtual hosts that it is for; one for an application. */
  readonly hosts: readonly string[]
  readonly check: ServiceCheck
  readonly policy: RecoveryPolicy
  /** How much its failure weighs against its node. No matter for a device. */
  readonly weight: number
  /** Of an application; both must do no harm when there is nothing to do. */
  readonly start?: Script
  readonly stop?: Script
  /** An application is started before the address comes, and the address waits for it. */
  readonly startsFirst: boolean
  /** Repairs it here. An application without one is stopped and started again. */
  readonly recover?: Script
  /** So often within RESTART_WINDOW_MS it is repaired here before it counts as failed. */
  readonly restarts: number
  /** With AUTORECOVER an application that has failed here may be tried here again after this, ms. */
  readonly recoverAfterMs: number
}

/** What was repaired longer ago than this does not count any more, ms. */
export const RESTART_WINDOW_MS = 5 * 60_000

/** Whether it can be repaired here at all. */
export function isRepairable({ recover, start }: Service): boolean {
  return recover !== undefined || start !== undefined
}
