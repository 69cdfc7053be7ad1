/** Options of the scripts that are run by hand, and how they end when one is wrong. */
import { type ParseArgsConfig, parseArgs } from 'node:util'

export const targetNames = ['tgt', 'own'] as const
export type TargetName = (typeof targetNames)[number]

export type TrialOptions = { readonly count: number; readonly seed: number; readonly targets: readonly TargetName[] }

/** Wrong option, or the machine lacks something: exit code 2. */
export function wrong(message: string): never {
  console.error(message)
  process.exit(2)
}

type Options = NonNullable<ParseArgsConfig['options']>

/** Of this process, as `parseArgs` gives them. Ends the process for --help, and for options that there are not. */
export function scriptOptions<T extends Options>(
  options: T,
  usage: string,
): ReturnType<typeof parseArgs<{ options: T }>>['values'] {
  if (process.argv.includes('--help')) {
    console.log(usage)
    process.exit(0)
  }
  try {
    return parseArgs({ options }).values
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (!code?.startsWith('ERR_PARSE_ARGS_')) throw error
    return wrong(`${message.split('. ')[0]}; --help tells the options`)
  }
}

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
