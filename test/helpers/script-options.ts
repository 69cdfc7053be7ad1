/** Options of the scripts that are run by hand, and how these end when one is wrong. */
import { type ParseArgsConfig, parseArgs } from 'node:util'

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
