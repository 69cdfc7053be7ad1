/** Files that only their owner may read: keys and passwords that a configuration names. */
import type { ConfigFiles } from './files.ts'

/** What is wrong with it, if anything; `key`: the key of the configuration that names it. */
export function privateFileProblem(key: string, path: string, files: Pick<ConfigFiles, 'mode'>): string | undefined {
  try {
    const mode = files.mode(path)
    if (mode === undefined || (mode & 0o077) === 0) return undefined
    return `${key}: ${path} has mode ${octal(mode)}; allowed is 600 or 400 (chmod 600 ${path})`
  } catch (error) {
    return `${key}: cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`
  }
}

/** The first line of such a file, without spaces around it; undefined when it cannot be read. What is wrong is added to `problems`. */
export function privateLine(key: string, path: string, files: ConfigFiles, problems: string[]): string | undefined {
  try {
    const [line = ''] = files.read(path).split('\n', 1)
    const problem = privateFileProblem(key, path, files)
    if (problem !== undefined) problems.push(problem)
    return line.trim()
  } catch (error) {
    problems.push(`${key}: cannot read ${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
    return undefined
  }
}

export function octal(mode: number): string {
  return mode.toString(8).padStart(3, '0')
}
