/** The host's files, as far as a configuration needs them. */
import { readFileSync, statSync } from 'node:fs'

/** What the loader needs of the host's files. */
export interface ConfigFiles {
  /** Throws an error with a `code` as node:fs does. */
  read(path: string): string
  /** Permission bits; undefined where the system has none. */
  mode(path: string): number | undefined
}

export const realFiles: ConfigFiles = {
  read: (path) => readFileSync(path, 'utf8'),
  mode: (path) => (process.platform === 'win32' ? undefined : statSync(path).mode & 0o777),
}
