/** What every lock that covers rows does when it comes or goes: the image catches up; what was changed under it becomes durable. */
import { brokenRules } from '../base/broken-rules.ts'
import type { MaybePromise } from '../base/maybe-promise.ts'
import { emptyVector, type Vector } from '../base/vector.ts'
import { EX, type LockCallouts, type Mode, PW } from '../locking/index.ts'
import type { VolumeApi } from './volume-api.ts'

/** Locks under which only rows of the image are kept. */
export function journalCallouts(volume: VolumeApi): LockCallouts {
  return {
    acquired: (_rid, _mode, vector) => (volume.hasApplied(vector) ? undefined : volume.applyTo(vector)),
    surrender: (_rid, from) => (mayChange(from) ? durable(volume) : volume.durableVector()),
  }
}

export function mayChange(mode: Mode): boolean {
  return mode === EX || mode === PW
}

/** The durable vector, once everything committed so far is in it: at once when it is. */
export function durable(volume: VolumeApi): MaybePromise<Vector> {
  if (brokenRules.flushOnSurrender) return volume.durableVector()
  if (brokenRules.lvb) return volume.flush().then(() => emptyVector)
  let state: 'waiting' | 'done' | Error = 'waiting'
  let wake: (() => void) | undefined
  volume.afterDurable((error) => {
    state = error ?? 'done'
    wake?.()
  })
  const result = () => {
    if (state instanceof Error) throw state
    return volume.durableVector()
  }
  if ((state as string) === 'done') return volume.durableVector()
  if (state !== 'waiting') return Promise.reject(state)
  return new Promise<void>((resolve) => {
    wake = resolve
  }).then(result)
}
