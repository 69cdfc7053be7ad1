/** Options of scripts that play the same scene many times on targets. */
import { scriptOptions, wrong } from '../helpers/script-options.ts'

export const targetNames = ['tgt', 'own'] as const
export type TargetName = (typeof targetNames)[number]

export type TrialOptions = { readonly count: number; readonly seed: number; readonly targets: readonly TargetName[] }

/** `counted`: the name of the option that says how many, and its default. Ends the process for --help and what is wrong. */
export function trialOptions([counted, byDefault]: readonly [string, number], usage: string): TrialOptions {
  const values = scriptOptions(
    {
      [counted]: { type: 'string', default: String(byDefault) },
      target: { type: 'string', default: targetNames.join(',') },
      seed: { type: 'string', default: '1' },
    },
    usage,
  ) as Record<string, string>
  const [count, seed] = [values[counted], values['seed']].map(Number) as [number, number]
  if (!Number.isSafeInteger(count) || count < 1)
    wrong(`--${counted} takes a whole number from 1, not ${values[counted]}`)
  if (!Number.isSafeInteger(seed)) wrong(`--seed takes a whole number, not ${values['seed']}`)
  const targets = String(values['target'])
    .split(',')
    .map((word) => targetNames.find((each) => each === word) ?? wrong(`--target ${word}: of ${targetNames.join(', ')}`))
  return { count, seed, targets }
}
